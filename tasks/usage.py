"""The doors for usage: `usage.record` takes one event, `usage.record_batch` many, and plain JSON either.

They are ordinary Celery tasks (`apply()`, eager mode, a worker with `intake=celery`); the pump calls their `handle`
with many messages at once instead. Either way the same function of core records them.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec
from celery import Task, shared_task

from core.config import configuration
from core.domain.outcome import BatchResult, Outcome
from core.domain.parsing import RawEvent
from core.domain.rejection import Reason, Rejection, one_line, shown
from core.errors import Misconfigured, StorageUnavailable
from core.operations.record_usage import record_usage
from core.operations.recording.work import KnownAccounts
from core.storage.database import database
from tasks.message import Message, message_of
from tasks.sync_requests import sync_requests

RECORD, RECORD_BATCH = "usage.record", "usage.record_batch"
EVENTS_PER_MESSAGE_MAX = 1000
EVENTS_PER_TRANSACTION_MAX = 2000

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_known_accounts = KnownAccounts()


def handle(messages: Sequence[Message], worker: str) -> BatchResult:
    """Gives each event of the messages its committed outcome; acknowledge them only after it returns. A replay is safe.

    Raises:
        StorageUnavailable: the database can't answer now; some of the events may be recorded already.
        Misconfigured: only an operator can help.
    """
    events = (event for message in messages for event in raw_events(message))
    results = []
    while part := list(islice(events, EVENTS_PER_TRANSACTION_MAX)):
        results.append(record_usage(database(), part, config=configuration(), known_accounts=_known_accounts, worker=worker))
    result = BatchResult.joined(results)
    if Outcome.PARKED in result.outcomes:
        sync_requests.ask(worker)
    return result


class UsageDoor(Task):  # type: ignore[type-arg]
    """A usage task: `handle` for the pump, and Celery's own retries where Celery runs it."""

    abstract = True
    handle = staticmethod(handle)
    autoretry_for = (StorageUnavailable, Misconfigured)  # a failed task is acknowledged, so it must not fail for these
    max_retries = None
    retry_backoff = True
    retry_backoff_max = 60


@shared_task(base=UsageDoor, name=RECORD, bind=True)
def record(self: Any, *args: Any, **kwargs: Any) -> str:
    """Records one usage `event` (contract: docs/producers.md); returns its outcome in words. A replay is a duplicate."""
    return handle([message_of(RECORD, args, kwargs)], self.request.hostname or "local").summary()


@shared_task(base=UsageDoor, name=RECORD_BATCH, bind=True)
def record_batch(self: Any, *args: Any, **kwargs: Any) -> str:
    """Records up to 1,000 usage `events`; returns their outcomes in words. A replay is a duplicate."""
    return handle([message_of(RECORD_BATCH, args, kwargs)], self.request.hostname or "local").summary()


def raw_events(message: Message) -> Iterator[RawEvent]:
    """The raw events of a message; of one that can't be read, a single one that carries the whole entry and the defect."""
    origin = _origin(message.queue, None if message.plain else message.task)
    try:
        if message.defect is not None and message.defect.reason is not Reason.CRASH_LOOP:
            raise message.defect
        bodies = _plain_bodies(message) if message.plain else _argument_bodies(message)
    except Rejection as defect:
        yield RawEvent(message.entry(), origin, typed_json=not message.plain, defect=message.defect or defect)
        return
    for body in bodies:
        yield RawEvent(body, origin, typed_json=not message.plain, defect=message.defect)


@lru_cache(maxsize=100)
def _origin(queue: str, task: str | None) -> str:
    return one_line(queue if task is None else f"{queue}/{task}")  # a task's name may be anything


def _plain_bodies(message: Message) -> list[bytes]:
    entry = message.entry()
    return _elements(entry) if entry.lstrip()[:1] == b"[" else [entry]


def _argument_bodies(message: Message) -> list[bytes]:
    if message.task == RECORD:
        return [bytes(_argument(message, "event"))]
    if message.task == RECORD_BATCH:
        return _elements(_argument(message, "events"))
    raise Rejection(Reason.UNKNOWN_TASK, f"no task is called {shown(message.task)}")


def _argument(message: Message, name: str) -> msgspec.Raw:
    if len(message.args) == 1 and not message.kwargs:
        return message.args[0]
    if not message.args and message.kwargs.keys() == {name}:
        return message.kwargs[name]
    given = f"{len(message.args)} positional and {shown(sorted(message.kwargs))}"
    raise Rejection(Reason.MALFORMED_ARGUMENTS, f"{message.task} takes one argument, {name} (got {given})")


def _elements(array: msgspec.Raw | bytes) -> list[bytes]:
    try:
        bodies = [bytes(body) for body in _ARRAY.decode(array)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Rejection(Reason.MALFORMED_ARGUMENTS, f"events is not an array of JSON objects: {shown(str(error))}") from None
    if len(bodies) > EVENTS_PER_MESSAGE_MAX:
        raise Rejection(Reason.TOO_MANY_EVENTS, f"{len(bodies)} events; a message holds at most {EVENTS_PER_MESSAGE_MAX}")
    return bodies
