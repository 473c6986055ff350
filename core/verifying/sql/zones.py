"""SQL that finds where time zones give trouble: those that aren't known, and entries on days that today's rules don't give."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.database.rows import rows
from core.verifying.sql.invariants.invariant import EVER
from core.verifying.sql.invariants.local_days import UNEXPLAINED

# By whole days of difference, since one offset can't explain both an earlier and a later day.
OFF_DAYS = text(f"""
    SELECT time_zone, count(DISTINCT mandate_id) AS mandates, count(*) AS entries, min(occurred_at) AS first, max(occurred_at) AS last,
           min(present - (occurred_at AT TIME ZONE 'UTC')) AS present,
           max(CAST(local_date AS timestamp) - (occurred_at AT TIME ZONE 'UTC')) AS at_least,
           min(CAST(local_date + 1 AS timestamp) - (occurred_at AT TIME ZONE 'UTC')) AS less_than
      FROM ({UNEXPLAINED}) AS unexplained
     WHERE present IS NOT NULL
     GROUP BY time_zone, local_date - CAST(present AS date)
     ORDER BY time_zone, 4
""")

_EXPLAINED = text(f"""
    SELECT count(*) AS entries, min(occurred_at) AS first, max(occurred_at) AS last FROM ({UNEXPLAINED}) AS unexplained
     WHERE time_zone = :time_zone AND present IS NOT NULL
       AND CAST(occurred_at AT TIME ZONE 'UTC' + make_interval(secs => :offset_seconds) AS date) = local_date
""")

_ACCEPT = text("""
    INSERT INTO former_offsets (time_zone, offset_seconds, occurred_from, occurred_until, accepted_by, reason)
    VALUES (:time_zone, :offset_seconds, :first, :last, :by, :reason)
    RETURNING recorded_before
""")

ACCEPTED = text("""
    SELECT time_zone, offset_seconds, occurred_from, occurred_until, recorded_before, accepted_by, reason FROM former_offsets ORDER BY id
""")


@dataclass(frozen=True, slots=True)
class Explained:
    """Entries whose stored day an offset gives: how many, and when the first and the last of them happened."""

    entries: int
    first: datetime | None
    last: datetime | None


def find_explained(connection: Connection, time_zone: str, offset_seconds: int) -> Explained:
    """Which of the zone's entries that break I16 stand on the day that this offset gives."""
    return rows(connection, Explained, _EXPLAINED, since=EVER, time_zone=time_zone, offset_seconds=offset_seconds)[0]


def accept_offset(connection: Connection, time_zone: str, offset_seconds: int, explained: Explained, by: str, reason: str) -> datetime:
    """Keeps that such entries recorded before now may stand on the offset's day; returns that time."""
    values = {"time_zone": time_zone, "offset_seconds": offset_seconds, "first": explained.first, "last": explained.last, "by": by, "reason": reason}
    recorded_before: datetime = connection.execute(_ACCEPT, values).scalar_one()
    return recorded_before
