"""Questions that Tollbook answers at once: may a call be made, and money held for it. `docs/checks.md` says what the answers mean."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import amqp
import redis
from kombu.exceptions import KombuError

from tollbook_client.answers import answer_in
from tollbook_client.envelope import CHECKS, Message, compact_json, task_message
from tollbook_client.errors import AnswerError, NoAnswer
from tollbook_client.forking import tell_of_forks
from tollbook_client.tls import Tls
from tollbook_client.transport import NotDelivered, Transport

REPLY_PREFIX = "tollbook.reply."
EXPIRES_SECONDS = 60  # nobody works on a question any more then
_SPARE_SECONDS = 1.0  # for the broker, beside the answer
_ERRORS = (amqp.AMQPError, KombuError, redis.RedisError, OSError)
Answer = dict[str, Any]


class Line(Transport):
    """A connection over which one question after another is asked. One thread at a time may have it."""

    def __init__(self, broker_url: str, *, tls: Tls | None, timeout_seconds: float) -> None:
        super().__init__(broker_url, tls=tls, timeout_seconds=timeout_seconds, patience_seconds=0)
        self._answers: list[tuple[str | None, Answer]] = []
        if self.is_amqp:  # one queue for all that is asked; on Redis a list for each question
            self.reply_to = f"{REPLY_PREFIX}{uuid4()}"

    def asked(self, message: Message, seconds: float) -> Answer | None:
        """The answer, or None where there is none within `seconds`.

        Raises:
            NotDelivered, amqp.AMQPError, KombuError, redis.RedisError, OSError: the broker can't be asked; the line is of no use any more.
        """
        if not self.is_amqp:
            name = f"{REPLY_PREFIX}{message.id}"
            self.send([message], reply_to=name)
            found = self._channel.client.blpop([name], timeout=seconds)
            return None if found is None else answer_in(found[1])
        self.send([message])
        deadline = time.monotonic() + seconds
        while True:
            for about, answer in self._answers:
                if about == message.id:  # others are late answers to earlier questions
                    return answer
            self._answers.clear()
            if (left := deadline - time.monotonic()) <= 0:
                return None
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=left)

    def _connect(self) -> None:
        super()._connect()
        self._answers = []
        if self.is_amqp:
            channel = self._connection.channel()
            channel.queue_declare(self.reply_to, exclusive=True, auto_delete=True, durable=False)
            channel.basic_consume(self.reply_to, no_ack=True, callback=self._answered)

    def _answered(self, reply: Any) -> None:
        self._answers.append((reply.properties.get("correlation_id"), answer_in(reply.body)))


class Asking:
    """Asks over connections of its own, as many as there are threads that wait at the same moment; they are kept open.

    Args:
        open_line: makes a line, given for how many seconds it waits for the broker.
        seconds: how long an answer is waited for, each time.
        attempts: how often a question is asked at most; each is safe to repeat.
    """

    def __init__(self, open_line: Callable[[float], Line], *, seconds: float, attempts: int) -> None:
        self._open_line, self._seconds, self._attempts = open_line, seconds, attempts
        self.forked()
        tell_of_forks(self)

    def forked(self) -> None:
        """Begins anew: the parent's lines are the parent's."""
        self._lock, self._idle = threading.Lock(), list[Line]()

    def ask(self, task: str, fields: Mapping[str, object]) -> Answer:
        """What is answered. It takes no longer than all attempts, and one more for a broker that doesn't answer.

        Raises:
            NoAnswer: nobody answered, however often it was asked; it may be done all the same.
            AnswerError: it is refused.
            ValueError, TypeError: a field can't be written as JSON.
        """
        key, body = fields.get("key"), compact_json({name: value for name, value in fields.items() if value is not None})
        told, deadline = "", time.monotonic() + self._seconds * self._attempts
        for attempt in range(self._attempts):
            try:
                answer = self._over_some_line(lambda line: line.asked(_message(task, body), self._seconds))
            except (*_ERRORS, NotDelivered) as error:
                answer, told = None, f"the broker can't be asked: {error}"
                if isinstance(error, NotDelivered) and error.refused:
                    break
            else:
                told = f"no answer within {self._seconds} s, asked {attempt + 1} times"
            if answer is not None:
                if "result" in answer:
                    result: Answer = answer["result"]
                    return result
                kind, told = answer["error"]["kind"], answer["error"]["message"]
                if kind != "unavailable":
                    raise AnswerError(kind, told, None if key is None else str(key))
            pause = 0.0 if told.startswith("no answer") else min(1.0, 0.1 * 2**attempt)
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        raise NoAnswer(f"{task}: {told}", None if key is None else str(key))

    def tell(self, task: str, fields: Mapping[str, object]) -> None:
        """Has something done of which nobody waits for the answer; returns once the broker has it.

        Raises:
            NotDelivered: the broker didn't confirm.
        """
        message = _message(task, compact_json(fields))
        self._over_some_line(lambda line: line.send([message]))

    def close(self) -> None:
        """Ends the connections over which nobody waits."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _over_some_line(self, use: Callable[[Line], Any]) -> Any:
        with self._lock:
            line = self._idle.pop() if self._idle else None
        line = line or self._open_line(self._seconds + _SPARE_SECONDS)
        try:
            done = use(line)
        except BaseException:
            line.close()
            raise
        with self._lock:
            self._idle.append(line)
        return done


def _message(task: str, body: bytes) -> Message:
    message = task_message(CHECKS, task, body)
    message.headers["expires"] = (datetime.now(timezone.utc) + timedelta(seconds=EXPIRES_SECONDS)).isoformat()
    return message
