"""The doors for usage: `usage.record` takes one event, `usage.record_batch` many, and plain JSON either.

They are ordinary Celery tasks (`apply()`, eager mode, a worker with `intake=celery`); the pump calls their `handle`
with many messages at once instead. Either way the same function of core records them.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from celery import Task, shared_task

from core.config import configuration
from core.database.database import database
from core.errors import Misconfigured, StorageUnavailable
from core.events.message import RECORD, RECORD_BATCH, Message, message_of, raw_events
from core.events.outcome import BatchResult, Outcome
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from tasks.sync_requests import sync_requests

EVENTS_PER_TRANSACTION_MAX = 2000

_known_accounts = KnownAccounts()


def handle(messages: Sequence[Message], worker: str) -> BatchResult:
    """Gives each event of the messages its committed outcome; acknowledge them only after it returns. A replay is safe.

    Raises:
        StorageUnavailable: the database can't answer now; some of the events may be recorded already.
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
    return handle([message_of(RECORD, args, kwargs, self.request.reply_to)], self.request.hostname or "local").summary()


@shared_task(base=UsageDoor, name=RECORD_BATCH, bind=True)
def record_batch(self: Any, *args: Any, **kwargs: Any) -> str:
    """Records up to 1,000 usage `events`; returns their outcomes in words. A replay is a duplicate."""
    return handle([message_of(RECORD_BATCH, args, kwargs, self.request.reply_to)], self.request.hostname or "local").summary()
