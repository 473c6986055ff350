"""Recording usage: a batch of raw events in, a committed outcome for each of them out."""

from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

from core.config import Configuration
from core.database.database import Database
from core.errors import BadData
from core.events.outcome import BatchResult
from core.events.parsing import RawEvent
from core.ledger.opening import KnownAccounts
from core.recording.batch import Settle, committed, settle_batch
from core.recording.delivery import Delivery, read_events
from core.recording.settle import settle, settle_isolating
from core.recording.work import Settled


def record_usage(
    database: Database,
    raw_events: Sequence[RawEvent],
    *,
    config: Configuration,
    known_accounts: KnownAccounts,
    worker: str,
    clock: Callable[[], datetime] | None = None,
    hold_clock: datetime | None = None,
) -> BatchResult:
    """Records each event exactly once, in one transaction for the whole batch, and tells what became of each.

    When it returns, everything is committed: keys, debits, balances, alerts, parked events, dead letters and the batch's
    own row. When it raises, nothing is known to be. Either way calling it again with the same events is safe.

    Args:
        database: the books, under the worker's login.
        raw_events: the events' bytes, at most a few thousand; bad ones never harm their neighbours.
        config: the rules that an operator may change.
        known_accounts: account ids met before by this process; shared by its threads.
        worker: the name that the batch's row carries.
        clock: the time of receipt (aware); None: the database's own, so that a worker whose clock is wrong refuses nothing that is timely.
        hold_clock: the time by which holds end (aware); None: the database's own.

    Returns:
        One outcome per event, in the order given.
    """
    started = perf_counter()
    options = {"config": config, "known_accounts": known_accounts, "worker": worker, "hold_clock": hold_clock, "received_at": clock and clock()}
    deliveries = read_events(raw_events)
    try:
        settled = _recorded(settle, database, deliveries, **options)
    except BadData:
        deliveries = read_events(raw_events)
        settled = _recorded(settle_isolating, database, deliveries, **options)
    known_accounts.add(settled.accounts)
    return committed(perf_counter() - started, deliveries, settled)


def _recorded(settle: Settle, database: Database, deliveries: list[Delivery], **options: Any) -> Settled:
    with database.transaction() as connection:
        return settle_batch(connection, deliveries, settle, **options)
