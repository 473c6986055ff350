"""Rolling up: what was recorded since is added to the statistics by day, month and year."""

from dataclasses import dataclass

from core.database.database import Database
from core.statistics.sql.statistics import count_pending, try_hold_statistics

BATCHES_MAX, ENTRIES_MAX = 5000, 1_000_000  # of one transaction, which takes seconds
TRANSACTIONS_MAX = 1000  # of one run


@dataclass(frozen=True, slots=True)
class Rollup:
    """What a rollup counted: batches, their events, rows of statistics written; complete: nothing that was pending at its end is left."""

    batches: int
    events: int
    rows_written: int
    complete: bool


def roll_up_usage(database: Database) -> Rollup:
    """Counts every pending batch exactly once, the oldest first, in as many transactions as it takes.

    A crash leaves what it had committed; the rest is still pending. Where somebody else is counting, it leaves the rest to
    them and isn't complete. A replay finds nothing to do.

    Raises:
        StorageUnavailable: the database can't answer now; what isn't counted is still pending.
    """
    batches = events = written = 0
    for _ in range(TRANSACTIONS_MAX):
        with database.transaction() as connection:
            if not try_hold_statistics(connection):
                break
            taken = count_pending(connection, batches_max=BATCHES_MAX, entries_max=ENTRIES_MAX)
        batches, events, written = batches + taken.batches, events + taken.events, written + taken.written
        if not taken.more:
            return Rollup(batches, events, written, complete=True)
    return Rollup(batches, events, written, complete=False)
