"""The client: `record` returns at once, a thread sends in batches, and nothing is dropped without a word."""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from tollbook_client.answers import CheckAnswer, HoldAnswer, HoldChange, Outcome
from tollbook_client.asking import Asking, Line
from tollbook_client.contract import EVENT_BYTES_MAX, encoded
from tollbook_client.ending import EXIT_SECONDS
from tollbook_client.errors import ContractError
from tollbook_client.journal import Journal
from tollbook_client.outcomes import taken
from tollbook_client.sending import OnError, Sender
from tollbook_client.sequence import ProducerLife, uuid7
from tollbook_client.tls import Tls
from tollbook_client.transport import Transport

Amount = Decimal | str | int
Self = TypeVar("Self", bound="Client")  # typing has it from Python 3.11 on
_NUMBER_BYTES_MAX = 100  # of producer_id and producer_seq


class Client:
    """Tells Tollbook about AI calls, and asks it before them. Any number of threads may share one; make one per process.

    What is recorded is in this process' memory until the broker has confirmed it. A process that is killed (SIGKILL) or crashes loses what wasn't;
    where that must not happen, write the event into an outbox, in the transaction of your own rows (`tollbook_client.outbox`).

    Args:
        broker_url: as the worker's CELERY_BROKER_URL, which it is read from by default.
        batch_events_max: a batch is sent when it has so many events …
        batch_seconds: … or when its first event has waited so long.
        queue_events_max: how many may be unconfirmed; `record` waits for room, then raises `QueueFull`.
        room_seconds: how long it waits.
        retry_seconds: how long a batch is sent again and again before it is given to `on_error`.
        on_error: is called, in the thread that sends or the one that closes, with the events that could not be delivered, whole, and why; by
            default they are logged. They may have arrived: recording them again as they are is safe, at any time.
        journal: a file in which every event is on disk before it is sent; `tollbook compare` tells what became of each.
        outcomes: a name; refused and parked events come back on the queue `tollbook.outcomes.NAME` (see the method of this name).
        ask_seconds: how long an answer to `check` and `authorise` is waited for, each time.
        ask_attempts: how often is asked.
        tls: for rediss:// and amqps://; by default as TOLLBOOK_BROKER_CA and its like say.

    Raises:
        ValueError: there is no URL, or it can't be used.
        OSError: the journal can't be opened.
    """

    def __init__(
        self,
        broker_url: str | None = None,
        *,
        batch_events_max: int = 100,
        batch_seconds: float = 0.5,
        queue_events_max: int = 10_000,
        room_seconds: float = 5.0,
        retry_seconds: float = 300.0,
        on_error: OnError | None = None,
        journal: Journal | str | Path | None = None,
        outcomes: str | None = None,
        ask_seconds: float = 2.0,
        ask_attempts: int = 5,
        tls: Tls | None = None,
    ) -> None:
        url = broker_url or os.environ.get("CELERY_BROKER_URL", "")
        if not url:
            raise ValueError("name the broker's URL, or set CELERY_BROKER_URL")
        tls = tls or Tls.from_environment()
        self._room_seconds = room_seconds
        self._transport = Transport(url, tls=tls, outcomes=outcomes, patience_seconds=0)
        self._journal = journal if journal is None or isinstance(journal, Journal) else Journal(journal)
        self._sender = Sender(
            self._transport,
            self._journal,
            batch_events_max=batch_events_max,
            batch_seconds=batch_seconds,
            queue_events_max=queue_events_max,
            retry_seconds=retry_seconds,
            on_error=on_error,
        )
        self._asking = Asking(lambda seconds: Line(url, tls=tls, timeout_seconds=seconds), seconds=ask_seconds, attempts=ask_attempts)
        self._life = ProducerLife()
        weakref.finalize(self, self._sender.retire).atexit = False  # one that was dropped still sends what waits; see `ending` for the rest

    def record(
        self,
        *,
        mandate_id: str,
        user_id: str,
        price_chf: Amount | None = None,
        occurred_at: datetime | str | None = None,
        event_id: str | None = None,
        **fields: Any,
    ) -> str:
        """Takes an event over to be sent, and returns its id. Every attempt sends it under this id, so that it is billed once.

        Args:
            mandate_id: who is billed.
            user_id: who made the call.
            price_chf: what it costs; without it Tollbook computes it of the usage object, where the mandate pays so.
            occurred_at: when it happened, aware; now by default.
            event_id: made here by default. Name your own where you may record one call twice, for example after a restart.
            fields: any other field of the contract, such as those of `from_openai`, or `hold_key`.

        Raises:
            ContractError: the event would be refused; nothing was taken over.
            QueueFull: there was no room for it in time; nothing was taken over.
            Closed: the client is closed; nothing was taken over.
        """
        given = {**fields, "mandate_id": mandate_id, "user_id": user_id, "price_chf": price_chf, "occurred_at": occurred_at, "event_id": event_id}
        return self.record_many([given])[0]

    def record_many(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """As `record`, of several events: all of them are taken over, or none.

        Raises:
            ContractError, QueueFull, Closed: as `record`.
        """
        return self._record_many(events, self._room_seconds)

    def check(
        self,
        mandate_id: str,
        user_id: str,
        *,
        estimated_cost: Amount | None = None,
        provider: str | None = None,
        model: str | None = None,
        feature_code: str | None = None,
    ) -> CheckAnswer:
        """Whether a user may make a call now (`allowed`, else `reason`), with what there is; nothing is reserved.

        Args:
            mandate_id: who would pay.
            user_id: who would make the call.
            estimated_cost: CHF.
            provider: for caps on it, as the event will name it.
            model: as `provider`.
            feature_code: as `provider`.

        Raises:
            NoAnswer: nobody answered: decide for yourself. Usage is recorded in any case.
            AnswerError: the question can't be answered as it is.
            ContractError: an amount is a float.
        """
        asked = {"mandate_id": mandate_id, "user_id": user_id, "estimated_cost": _amount("estimated_cost", estimated_cost)}
        answer = self._asking.ask("balance.check", {**asked, "provider": provider, "model": model, "feature_code": feature_code})
        return cast("CheckAnswer", answer)

    def authorise(self, mandate_id: str, user_id: str, *, key: str | None = None, amount: Amount | None = None, **fields: Any) -> HoldAnswer:
        """Holds an amount for one call, in full or not at all: go by `allowed`. Asked again under the same key, nothing more is held.

        Args:
            mandate_id: who pays.
            user_id: who makes the call.
            key: of this call; its event names it as `hold_key`. Made here by default: the answer has it, and so have the exceptions.
            amount: CHF; or `estimated_usage` with `provider` and `model` in its place.
            fields: those, `feature_code`, `ttl_seconds`, and what else `docs/checks.md` names.

        Raises:
            NoAnswer: nobody answered. It may be held all the same: `release` it, or make the call and record its event under this key.
            AnswerError: refused for what was asked, such as `conflict`: another question under the same key.
            ContractError: an amount is a float.
        """
        asked = {"mandate_id": mandate_id, "user_id": user_id, "key": key or uuid7(), "amount": _amount("amount", amount)}
        return cast("HoldAnswer", self._asking.ask("hold.authorise", {**fields, **asked}))

    def release(self, mandate_id: str, *, key: str) -> None:
        """Gives back what a hold keeps, where its call used nothing; returns once the broker has it, within a minute it is done. Repeatable.

        Raises:
            NotDelivered: the broker didn't confirm; the hold ends by itself.
        """
        self._asking.tell("hold.release", {"mandate_id": mandate_id, "key": key})

    def renew(self, mandate_id: str, *, key: str, ttl_seconds: int | None = None) -> HoldChange:
        """Keeps a hold longer, from now on: `done` says whether.

        Raises:
            NoAnswer, AnswerError: as `authorise`.
        """
        return cast("HoldChange", self._asking.ask("hold.renew", {"mandate_id": mandate_id, "key": key, "ttl_seconds": ttl_seconds}))

    def outcomes(self, wait_seconds: float = 1.0) -> Iterator[Outcome]:
        """Takes what was refused, a conflict, or parked off the queue that the option `outcomes` names; ends when none came for so long.

        The same one may come twice, under the same `outcome_id`. Nothing is told on RabbitMQ before this was called once: it makes the queue.

        Raises:
            ValueError: the client has no such queue.
            Exception: whatever the broker's library raises where it can't be asked. Call it again.
        """
        if self._transport.reply_to is None:
            raise ValueError("name a queue: Client(outcomes='my-service')")
        return taken(self._transport, self._transport.reply_to, wait_seconds)

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """Waits until all that was recorded before is confirmed, or was given to `on_error`; False where that takes longer."""
        return self._sender.flush(timeout_seconds)

    def close(self, timeout_seconds: float = EXIT_SECONDS) -> None:
        """Sends what waits, for so long; what isn't confirmed by then is given to `on_error`. Repeatable; nothing is recorded after it."""
        self._sender.close(timeout_seconds)
        self._asking.close()
        if self._journal is not None:
            self._journal.close()

    def __enter__(self: Self) -> Self:  # noqa: PYI019 - as above
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _record_many(self, events: Iterable[Mapping[str, Any]], room_seconds: float) -> list[str]:
        checked = [_checked(event) for event in events]
        self._sender.put(len(checked), lambda: [self._numbered(body) if is_ours else body for _, body, is_ours in checked], room_seconds)
        return [event_id for event_id, _, _ in checked]

    def _numbered(self, body: bytes) -> bytes:
        return b'%s,"producer_id":"%s","producer_seq":%d}' % (body[:-1], self._life.producer_id.encode(), self._life.next())


def _checked(event: Mapping[str, Any]) -> tuple[str, bytes, bool]:
    """The event's id, its JSON, and whether it is ours to number: whoever names a producer counts for himself."""
    whole = {name: value for name, value in event.items() if value is not None}
    whole.setdefault("event_id", uuid7())
    whole.setdefault("occurred_at", datetime.now(timezone.utc))
    body = encoded(whole)
    if "producer_id" in whole or "producer_seq" in whole or whole.get("schema_version") == 1:
        return str(whole["event_id"]), body, False
    if len(body) + _NUMBER_BYTES_MAX > EVENT_BYTES_MAX:
        raise ContractError(
            "event", f"{len(body)} bytes", f"is larger than {EVENT_BYTES_MAX - _NUMBER_BYTES_MAX} bytes", "leave out what is not needed"
        )
    return str(whole["event_id"]), body, True


def _amount(name: str, value: Amount | None) -> str | None:
    if isinstance(value, float):
        raise ContractError(name, value, "is a float, which is not exact", "give a Decimal, or a text such as '0.05'")
    return None if value is None else format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)
