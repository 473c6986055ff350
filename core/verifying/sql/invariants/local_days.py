"""The invariant of local days, and what explains an entry that breaks it: a zone's rules that changed after it was recorded."""

from sqlalchemy import text

from core.database.zones import local_day, local_time
from core.verifying.sql.invariants.invariant import Invariant

# All entries with the settings of their versions: a FULL JOIN, which can't be done row by row, whatever the planner takes the two for. An
# entry without its version, or a version without entries, is not looked at.
_OFF_THEIR_DAY = f"""
    SELECT t.id, t.mandate_id, t.occurred_at, t.recorded_at, t.local_date, z.time_zone,
           CASE WHEN z.known THEN {local_time("t.occurred_at", "z.time_zone")} END AS present
      FROM (SELECT * FROM transactions WHERE recorded_at >= :since OFFSET 0) AS t
      FULL JOIN (SELECT h.mandate_id, h.version, h.time_zone, n.name IS NOT NULL AS known
              FROM billing_settings_history h LEFT JOIN pg_timezone_names n ON n.name = h.time_zone OFFSET 0) AS z
        ON z.mandate_id = t.mandate_id AND z.version = t.settings_version
      LEFT JOIN transactions o ON o.id = t.reverses_id AND o.mandate_id = t.mandate_id
     WHERE coalesce(z.version, 0) > 0
       AND CASE WHEN z.known THEN {local_day("t.occurred_at", "z.time_zone")} END IS DISTINCT FROM t.local_date
       AND t.local_date IS DISTINCT FROM o.local_date
       AND NOT EXISTS (SELECT FROM amendments m JOIN transactions b ON b.id = m.reversed_id AND b.recorded_at = m.reversed_recorded_at
                        WHERE m.mandate_id = t.mandate_id AND m.event_id = t.event_id AND m.debit_id = t.id
                          AND b.occurred_at = t.occurred_at AND b.local_date = t.local_date)
"""

# Whoever accepted an offset said that entries recorded until then may stand on the day that it gives; on any other they may not.
UNEXPLAINED = f"""
    SELECT e.* FROM ({_OFF_THEIR_DAY}) AS e
     WHERE e.present IS NULL OR NOT EXISTS (
           SELECT FROM former_offsets f
            WHERE f.time_zone = e.time_zone AND e.occurred_at BETWEEN f.occurred_from AND f.occurred_until AND e.recorded_at < f.recorded_before
              AND CAST(e.occurred_at AT TIME ZONE 'UTC' + make_interval(secs => f.offset_seconds) AS date) = e.local_date)
"""


def local_days_are_those_of_the_time() -> Invariant:
    """I16. A correction may stand in the local day of what it corrects, and what takes an entry's place in that one's.

    A zone that the server doesn't know is reported, not asked for.

    The database only has the rules of today. Where they are others than those of the recording, an operator may have accepted the
    former offset.
    """
    return Invariant(
        "I16",
        "each transaction's local day is that of its time in the mandate's zone as of recording",
        text(f"""
            SELECT format('transaction %s of mandate %s', id, mandate_id) AS subject,
                   CASE WHEN present IS NULL THEN format('time zone %s is not known to the database', time_zone)
                        ELSE format('local day %s, but by the present rules of %s its %s is on %s: if they changed, see `tollbook zones check`',
                                    local_date, time_zone, occurred_at, CAST(present AS date)) END AS detail
              FROM ({UNEXPLAINED}) AS unexplained
        """),
    )
