"""Merging the numbers that came: what each batch appended becomes one row for each producer, and one for each gap."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from core.database.database import Database
from core.metrics import PRODUCERS_WITHOUT_ROOM
from core.producers.sql.merging import (
    Gap,
    add_gaps,
    count_gaps,
    count_producers,
    cut_gaps,
    fill_gaps,
    keep_producers,
    mark_incomplete,
    take_ranges,
    try_hold_producers,
)

TRANSACTIONS_MAX = 40  # of one run: the next one goes on
PRODUCERS_MAX = 1_000_000  # further ones are not looked at, and only counted in a metric
GAPS_MAX, GAPS_MAX_WHERE_CROWDED = 1_000, 10  # of one producer; from the next one on nobody looks at it any more
CROWD = 100_000  # gaps of all producers together


@dataclass(frozen=True, slots=True)
class Merged:
    """What a run came to."""

    producers: int = 0  # of which anything came; one may count in several transactions
    without_room: int = 0
    told_changed: bool = False  # whether anything changed of what findings tell


def merge_producers(database: Database, *, transactions_max: int = TRANSACTIONS_MAX) -> Merged:
    """Merges what batches appended, the oldest first, in transactions of at most 5,000 rows or 1 MiB.

    What is merged is removed in the same transaction: killed at any moment, nothing is lost or merged twice, and twice would change nothing.
    Of two runs at once the second does nothing. A range of numbers is missing from when a later number came; it ends as it fills. A producer
    with more than 1,000 gaps is looked at only up to there, and says so.

    Raises:
        StorageUnavailable: the database can't answer now; call again.
    """
    producers = without_room = 0
    told_changed = False
    for _ in range(transactions_max):
        with database.transaction() as connection:
            part = _merge_some(connection) if try_hold_producers(connection) else None
        if part is None or not part.producers:
            break
        producers, without_room = producers + part.producers, without_room + part.without_room
        told_changed = told_changed or part.told_changed
    PRODUCERS_WITHOUT_ROOM.inc(without_room)
    return Merged(producers, without_room, told_changed)


def _merge_some(connection: Connection) -> Merged:
    came, missing = take_ranges(connection, GAPS_MAX)
    if not came:
        return Merged()
    new = sorted(one.producer_id for one in came if one.is_new)
    room = max(0, PRODUCERS_MAX - count_producers(connection, PRODUCERS_MAX)) if new else 0
    refused = set(new[room:])
    kept = [one for one in came if one.producer_id not in refused]
    told_changed = False
    if kept:
        keep_producers(connection, kept)
        missing = [gap for gap in missing if gap.producer_id not in refused]
        told_changed = fill(connection, [(one.producer_id, one.seen) for one in kept], missing)
    return Merged(len(came), len(refused), told_changed)


def fill(connection: Connection, seen: Iterable[tuple[str, str]], missing: Iterable[Gap] = ()) -> bool:
    """Of each (producer, multirange) takes what came out of its gaps, and adds what is newly missing; `Lock.PRODUCERS` is held.

    Returns whether what findings tell has changed.
    """
    ranges = list(seen)
    left, told_changed = fill_gaps(connection, ranges)
    gaps = [*left, *missing]
    add_gaps(connection, gaps)
    cut = []
    if gaps:
        crowded = count_gaps(connection, CROWD) >= CROWD
        cut = cut_gaps(connection, {gap.producer_id for gap in gaps}, GAPS_MAX_WHERE_CROWDED if crowded else GAPS_MAX)
    mark_incomplete(connection, {producer_id for producer_id, _ in ranges})
    return told_changed or bool(cut)
