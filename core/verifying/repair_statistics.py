"""Repairing a mandate's statistics: they are counted anew from its transactions."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.request import Reason, Request
from core.database.database import allow_time, transaction_time
from core.movements.movement import under_key
from core.statistics.sql.statistics import count_anew, hold_statistics


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


def _held(connection: Connection, _mandate_id: str) -> None:
    hold_statistics(connection)
    allow_time(connection)


@under_key(hold=_held)
def repair_statistics(connection: Connection, _nothing: None, asked: StatisticsRepair) -> StatisticsRepaired:
    """Makes the mandate's statistics what its transactions give; what is pending stays pending. A replay returns the first result."""
    rebuilt = count_anew(connection, asked.mandate_id)
    time = transaction_time(connection)
    return StatisticsRepaired(asked.mandate_id, rebuilt.written, rebuilt.removed, asked.by, asked.reason, time)
