"""Rebuilding statistics: they are counted anew from the transactions, and what differs is set right."""

from collections.abc import Callable
from dataclasses import dataclass

from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time
from core.errors import NotFound
from core.printable import shown
from core.statistics.sql.statistics import count_anew, hold_statistics, mandates_with_statistics, may_have_statistics

Told = Callable[[int], None]  # of how many mandates are done so far


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What a rebuild found: mandates, their rows of statistics, rows that were wrong or missing and rows that shouldn't be."""

    mandates: int
    rows: int
    rows_written: int
    rows_removed: int


def rebuild_statistics(database: Database, actor: Actor, mandate_id: str | None = None, *, progress: Told = lambda _: None) -> Rebuild:
    """Makes the statistics of the mandate, or of all, what the transactions give; a transaction per mandate.

    Usage is recorded meanwhile as ever; what is pending stays pending. Rows that are right stay as they are, so a rebuild of
    statistics in order writes nothing, and neither does a replay.

    Raises:
        NotFound: the mandate has neither billing settings nor statistics.
        StorageUnavailable: the database can't answer, or somebody else counts for long; what was committed stays. Call it again.
    """
    require_root(actor, "rebuild statistics")
    with database.transaction() as connection:
        if mandate_id is None:
            mandates = mandates_with_statistics(connection)
        elif may_have_statistics(connection, mandate_id):
            mandates = [mandate_id]
        else:
            raise NotFound(f"mandate {shown(mandate_id)} has neither billing settings nor statistics")
    rows = written = removed = 0
    for number, one in enumerate(mandates, 1):
        with database.transaction() as connection:
            hold_statistics(connection)
            allow_time(connection)
            rebuilt = count_anew(connection, one)
        rows, written, removed = rows + rebuilt.rows, written + rebuilt.written, removed + rebuilt.removed
        progress(number)
    return Rebuild(len(mandates), rows, written, removed)
