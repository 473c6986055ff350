"""How far the statistics have come, for reading."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from core.asking.view import root, view
from core.database.rows import rows
from core.statistics.sql import progress as sql


@dataclass(frozen=True, slots=True)
class RollupStatus:
    """Batches that the statistics lack and the usage in them, since when the oldest waits, its age in seconds, and the last closed day."""

    pending_batches: int
    pending_events: int
    oldest_committed_at: datetime | None
    oldest_seconds: float
    closed_until: date | None


@view(None, sees=root("read the status of the rollup"))
def rollup_status(connection: Connection) -> RollupStatus:
    """What the statistics lack, and up to which day they are closed."""
    return rows(connection, RollupStatus, sql.STATUS)[0]
