"""SQL that shows how far the statistics have come."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

_STATUS = text("""
    SELECT count(*) AS pending_batches, CAST(coalesce(sum(b.recorded), 0) AS bigint) AS pending_events, min(b.committed_at) AS oldest_committed_at,
           CAST(coalesce(extract(epoch FROM clock_timestamp() - min(b.committed_at)), 0) AS float8) AS oldest_seconds,
           (SELECT CAST(max(period) AS date) FROM job_runs WHERE job = 'usage.close_day' AND ended_at IS NOT NULL) AS closed_until
      FROM rollup_pending p JOIN batches b ON b.id = p.batch_id
""")


@dataclass(frozen=True, slots=True)
class RollupStatus:
    """Batches that the statistics lack and the usage in them, since when the oldest waits, its age in seconds, and the last closed day."""

    pending_batches: int
    pending_events: int
    oldest_committed_at: datetime | None
    oldest_seconds: float
    closed_until: date | None


def find_rollup_status(connection: Connection) -> RollupStatus:
    """What is pending now."""
    return RollupStatus(*connection.execute(_STATUS).one())
