"""Repairing a mandate's statistics: they are counted anew from its transactions."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.request import Reason, Request
from core.operations.moving.once import once
from core.storage.database import Database, allow_time, transaction_time
from core.storage.operation_keys import Operation
from core.storage.statistics import count_anew, hold_statistics

REPAIR_STATISTICS = "repair_statistics"


class StatisticsRepair(Request):
    """The mandate whose statistics are to be counted anew, and why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class StatisticsRepaired:
    """How many rows were written (wrong or missing) and removed, who asked for it, why and when."""

    mandate_id: str
    rows_written: int
    rows_removed: int
    by: str
    reason: str
    recorded_at: datetime
    repeated: bool = False


def repair_statistics(database: Database, asked: StatisticsRepair) -> StatisticsRepaired:
    """Makes the mandate's statistics what its transactions give; what is pending stays pending. A replay returns the first result.

    Raises:
        Conflict: the key was used for another repair.
        StorageUnavailable: it is not known whether it was done, or somebody else counts for long; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    with database.transaction() as connection:
        hold_statistics(connection)
        allow_time(connection)

        def repaired() -> StatisticsRepaired:
            rebuilt = count_anew(connection, asked.mandate_id)
            time = transaction_time(connection)
            return StatisticsRepaired(asked.mandate_id, rebuilt.written, rebuilt.removed, asked.by, asked.reason, time)

        return once(connection, Operation(asked.mandate_id, REPAIR_STATISTICS, asked.key, asked.content()), StatisticsRepaired, repaired)
