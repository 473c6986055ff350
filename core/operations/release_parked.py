"""Releasing parked events: recorded as soon as their mandate is known."""

from collections.abc import Callable
from time import perf_counter

from core.config import Configuration
from core.domain.outcome import BatchResult
from core.errors import BadData
from core.operations.record_usage import utc_now
from core.operations.recording.batch import Settle, committed, settle_batch
from core.operations.recording.delivery import judge
from core.operations.recording.settle import settle, settle_isolating
from core.operations.recording.work import KnownAccounts
from core.storage.database import Database
from core.storage.parked_events import delete_parked, take_releasable

BATCH_EVENTS_MAX = 1000


def release_parked(database: Database, *, config: Configuration, known_accounts: KnownAccounts, worker: str) -> BatchResult:
    """Records the oldest parked events whose mandate is known by now, up to 1,000, and removes them in the same transaction.

    Their age doesn't count any more. Returns one outcome for each; none means that nothing is left to release.
    Running it twice or at once with another is harmless.

    Raises:
        StorageUnavailable: the database can't answer now; nothing is lost, call again.
        Misconfigured: only an operator can help.
    """
    try:
        return _released(settle, database, config, known_accounts, worker)
    except BadData:
        return _released(settle_isolating, database, config, known_accounts, worker)


def release_all_parked(
    database: Database,
    *,
    config: Configuration,
    worker: str,
    batches_max: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> BatchResult:
    """Records parked events batch by batch until none is left to release, or `batches_max` are done; errors as `release_parked`.

    `progress` is told how many were released so far. Repeatable; what was committed stays.
    """
    known_accounts = KnownAccounts()
    results: list[BatchResult] = []
    released = 0
    while batches_max is None or len(results) < batches_max:
        result = release_parked(database, config=config, known_accounts=known_accounts, worker=worker)
        if not result.outcomes:
            break
        results.append(result)
        released += len(result.outcomes)
        progress(released)
    return BatchResult.joined(results)


def _released(settle: Settle, database: Database, config: Configuration, known_accounts: KnownAccounts, worker: str) -> BatchResult:
    started = perf_counter()
    with database.transaction() as connection:
        parked = take_releasable(connection, BATCH_EVENTS_MAX, without_directory=config.unknown_mandates == "create")
        if not parked:
            return BatchResult([])
        deliveries = judge([event.raw for event in parked], utc_now(), config.lateness_days, received_before=True)
        delete_parked(connection, [event.key for event in parked])
        settled = settle_batch(connection, deliveries, settle, config=config, known_accounts=known_accounts, worker=worker, releasing=True)
    known_accounts.add(settled.accounts)
    return committed(perf_counter() - started, deliveries, settled)
