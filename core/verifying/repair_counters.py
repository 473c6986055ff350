"""Repairing the counters of a mandate's caps: they are counted anew from its transactions and open holds."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.request import Reason, Request
from core.caps.recount import recount
from core.database.database import allow_time, transaction_time
from core.database.locks import hold_mandates
from core.movements.movement import under_key


class CountersRepair(Request):
    """The mandate whose caps are to be counted anew, and why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class CountersRepaired:
    """How many counters were wrong or missing, who asked for it, why and when."""

    mandate_id: str
    counters: int
    by: str
    reason: str
    recorded_at: datetime
    repeated: bool = False


def _held_alone(connection: Connection, mandate_id: str) -> None:
    hold_mandates(connection, [mandate_id])
    allow_time(connection)


@under_key(hold=_held_alone)
def repair_counters(connection: Connection, _nothing: None, asked: CountersRepair) -> CountersRepaired:
    """Makes the counters of the mandate's present caps what its transactions and open holds give. A replay returns the first result.

    Usage of the mandate waits meanwhile. An alert tells each share of a present window that is thereby reached or left, once.
    """
    counters = recount(connection, asked.mandate_id)
    return CountersRepaired(asked.mandate_id, counters, asked.by, asked.reason, transaction_time(connection))
