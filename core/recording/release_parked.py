"""Releasing parked events: recorded as soon as their mandate is known, and they have the price that it pays."""

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

from core.config import Configuration
from core.database.database import Database
from core.dialects.all import DIALECTS_REVISION
from core.errors import BadData
from core.events.outcome import BatchResult
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import BatchKind
from core.prices.load import meet_dialects
from core.prices.sql.state import price_state
from core.recording.batch import Settle, committed, settle_batch
from core.recording.delivery import read_events
from core.recording.pricing import is_suspended
from core.recording.settle import settle, settle_isolating
from core.recording.sql.parked_events import Position, find_releasable

BATCH_EVENTS_MAX = 1000


def release_parked(database: Database, *, config: Configuration, known_accounts: KnownAccounts, worker: str) -> BatchResult:
    """Records parked events whose mandate is known by now, up to 1,000, and removes them in the same transaction.

    Mandate by mandate, each one's oldest first; their age doesn't count any more. Returns one outcome for each; none means that
    nothing is left to release, or that somebody else is releasing it. Running it twice or at once with another is harmless.

    Raises:
        StorageUnavailable: the database can't answer now; nothing is lost, call again.
    """
    return _release_next(database, None, config, known_accounts, worker)[0]


def release_all_parked(
    database: Database,
    *,
    config: Configuration,
    worker: str,
    batches_max: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> BatchResult:
    """Records parked events batch by batch, once through all that can be, or until `batches_max` are done; errors as `release_parked`.

    Where this program has newer dialects than all before it, also what they could not read is judged anew. `progress` is told how many
    were released so far. Repeatable; what was committed stays.
    """
    with database.transaction() as connection:
        meet_dialects(connection, DIALECTS_REVISION)
    known_accounts = KnownAccounts()
    results: list[BatchResult] = []
    released, after = 0, None
    while batches_max is None or len(results) < batches_max:
        result, after = _release_next(database, after, config, known_accounts, worker)
        if after is None:
            break
        results.append(result)
        released += len(result.outcomes)
        progress(released)
    return BatchResult.joined(results)


def _release_next(
    database: Database, after: Position | None, config: Configuration, known_accounts: KnownAccounts, worker: str
) -> tuple[BatchResult, Position | None]:
    """Releases the next events after a position and tells that of the last of them; none where there are no more."""
    try:
        return _released(settle, database, after, config, known_accounts, worker)
    except BadData:
        return _released(settle_isolating, database, after, config, known_accounts, worker)


class _NothingTaken(Exception):
    """Others are releasing all of these events: what was written for them is taken back."""


def _released(
    settle: Settle, database: Database, after: Position | None, config: Configuration, known_accounts: KnownAccounts, worker: str
) -> tuple[BatchResult, Position | None]:
    started = perf_counter()
    with suppress(_NothingTaken), database.transaction() as connection:
        everybody, revision = config.unknown_mandates == "create", price_state(connection).revision
        found = find_releasable(connection, after, BATCH_EVENTS_MAX, without_directory=everybody, revision=revision)
        if not found:
            return BatchResult([]), None
        after = found[-1][1]
        deliveries = read_events([event.raw for event, _ in found])
        for delivery, (event, _) in zip(deliveries, found, strict=True):
            delivery.key = event.key  # also of one that this program can't read
        settled = settle_batch(connection, deliveries, settle, config=config, known_accounts=known_accounts, worker=worker, kind=BatchKind.RELEASE)
        taken = [delivery for delivery in deliveries if not delivery.left]
        if not taken and not any(map(is_suspended, deliveries)):
            raise _NothingTaken
    if not taken:
        return BatchResult([]), after
    known_accounts.add(settled.accounts)
    return committed(perf_counter() - started, taken, settled), after
