"""How another service gets an answer: it names where it waits (`reply_to`), and the answer is put there, once, for a minute.

On Redis and Valkey that is a list under `tollbook.reply.`, which vanishes by itself; on RabbitMQ a queue of the caller's own. An
answer is one JSON object: `{"result": …}` or `{"error": {"kind": …, "message": …}}`. Who names no place gets none.
"""

from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, Task

from core.errors import Conflict, Forbidden, Misconfigured, NotFound, RequestRefused, StorageUnavailable, TollbookError
from core.json_text import json_text
from core.metrics import REQUESTS, UNDELIVERED

log = structlog.get_logger()

ANSWER_SECONDS = 60  # a caller that hasn't fetched its answer by then never will
ANSWER_CHARACTERS_MAX = 8_000_000  # it stands in the broker's memory, beside the usage that waits
REPLY_TO_CHARACTERS_MAX = 255  # as in AMQP
REPLY_PREFIX = "tollbook.reply."  # no other list may be named: it would be filled, and then expire
_BROKER_NAMED = "amq."  # queues that RabbitMQ itself names for a caller
_KINDS = {
    NotFound: "not_found",
    Conflict: "conflict",
    Forbidden: "forbidden",
    StorageUnavailable: "unavailable",
    Misconfigured: "unavailable",
}
ANSWER_KINDS = ("result", *sorted({*_KINDS.values(), "refused", "failed"}))
_TRY_AGAIN = (StorageUnavailable, Misconfigured)
Answer = dict[str, object]


class AnsweringTask(Task):  # type: ignore[type-arg]
    """A task that other services call: whatever is asked, however wrongly, is answered."""

    abstract = True
    waits_for_database = False  # whether it is tried again until the database answers, or that it can't is the answer

    def answer(self, arguments: tuple[object, ...], do: Callable[[], object]) -> Answer:
        """Does what was asked and sends what came of it, a result or an error.

        Args:
            arguments: those without a name, of which there must be none.
            do: the work; its result is made of JSON values, decimals, times and dataclasses.

        Raises:
            StorageUnavailable, Misconfigured: only where the task waits for the database; nothing was sent.
        """
        try:
            self._refuse_unnamed(arguments)
            answer: Answer = {"result": do()}
        except TollbookError as error:
            if self.waits_for_database and isinstance(error, _TRY_AGAIN):
                log.warning("answer.waits_for_database", error=str(error))
                raise
            answer = error_answer(_KINDS.get(type(error), "refused"), str(error))
        self._send(answer)
        return answer

    def on_failure(self, *_: object) -> None:
        """Celery's hook for whatever else was raised: that it failed is sent too."""
        self._send(error_answer("failed", f"{self.name} failed; the worker's log tells why"))

    def _refuse_unnamed(self, arguments: tuple[object, ...]) -> None:
        if arguments:
            raise RequestRefused(f"{self.name} takes named ones (kwargs), got {len(arguments)} without a name", field="arguments", value=arguments)

    def _send(self, answer: Answer) -> None:
        REQUESTS.labels(self.name, _kind(answer)).inc()
        send_answer(self.app, self.request.reply_to, self.request.correlation_id, answer)


class WaitingTask(AnsweringTask):
    """An answering task that is never given up for a database that is away: it must be safe to repeat."""

    abstract = True
    waits_for_database = True
    autoretry_for = _TRY_AGAIN
    max_retries = None
    retry_backoff = True
    retry_backoff_max = 60


def error_answer(kind: str, message: str) -> Answer:
    """The answer that says why there is no result."""
    return {"error": {"kind": kind, "message": message}}


def send_answer(app: Celery, reply_to: object, correlation_id: object, answer: Answer) -> None:
    """Puts the answer where the caller waits; never raises. One that the broker doesn't take is lost: the caller asks again."""
    if not isinstance(reply_to, str) or len(reply_to) > REPLY_TO_CHARACTERS_MAX:
        return
    body = json_text(answer)
    if len(body) > ANSWER_CHARACTERS_MAX:
        why = f"the answer has {len(body):,} characters, more than {ANSWER_CHARACTERS_MAX:,}: ask for fewer rows, or by command"
        body = json_text(error_answer("refused", why))
    try:
        with app.producer_or_acquire() as producer:
            producer.connection.ensure_connection(max_retries=1, interval_start=0.1)  # by itself kombu would try for ever
            if producer.connection.transport.driver_type == "redis":
                if reply_to.startswith(REPLY_PREFIX):
                    _push(producer.connection.default_channel.client, reply_to, body)
            elif reply_to.startswith((REPLY_PREFIX, _BROKER_NAMED)):
                producer.publish(
                    body,
                    exchange="",
                    routing_key=reply_to,
                    correlation_id=correlation_id,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=1,
                    expiration=ANSWER_SECONDS,
                    retry=False,
                )
    except Exception as error:  # noqa: BLE001 - whatever a broker connection raises
        UNDELIVERED.inc()
        log.warning("answer.not_delivered", reply_to=reply_to[:128], error=str(error))


def _push(client: Any, name: str, body: str) -> None:
    with client.pipeline(transaction=True) as pipeline:  # together, or a caller that is gone leaves a list behind for ever
        pipeline.lpush(name, body)
        pipeline.expire(name, ANSWER_SECONDS)
        pipeline.execute()


def _kind(answer: Answer) -> str:
    error = answer.get("error")
    return str(error["kind"]) if isinstance(error, dict) else "result"
