"""SQL of the checkpoint: the time up to which all entries were looked at, and what they add up to until then, by account.

An entry carries the time at which its database transaction began, and is visible only once that has committed. So a time may
become the checkpoint's when no transaction is open any more that was open when it was chosen: then nothing recorded before it
can still become visible. It is chosen in one run and used in a later one, and lies three days back, so that each local day is looked
at whole once it has ended, however often somebody runs this by hand. Nothing that waits for the rollup is taken in.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.verifying.sql.invariants.invariant import EVER
from core.verifying.sql.invariants.rollups import SUMS, measured_sums
from core.verifying.sql.invariants.sums import sums_of
from core.verifying.sql.marks import forget_marks, make_marks

HELD_BACK_HOURS = 72
FULL_DAYS = 7

# Each transaction holds the lock of its own id, which everybody may see, unlike its beginning; a prepared one only that of what it
# wrote. Who is nobody, such as autovacuum, writes no entries.
_READ = text(f"""
    SELECT CAST(coalesce(c.recorded_before, '{EVER}') AS text) AS since,
           CASE WHEN NOT c.next_open && o.ids AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
                THEN CAST(c.next_before AS text) END AS until,
           CAST(now() - :held_back_hours * interval '1 hour' AS text) AS next_before, o.ids AS next_open,
           coalesce(c.full_at < now() - :full_days * interval '1 day' + interval '1 hour', true) AS is_full_due,
           coalesce(c.marked, false) AS is_marked
      FROM (SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{{}}') AS ids FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'virtualxid' AND l.pid <> pg_backend_pid() AND a.datname = current_database() AND a.usesysid IS NOT NULL) AS o
      LEFT JOIN reconcile_checkpoint c ON true
""")

# All entries of a batch carry the time of its first.
_UNTIL = text("""
    SELECT CAST(u.until AS text) AS until, u.until > CAST(:since AS timestamptz) AS is_later
      FROM (SELECT least(CAST(:until AS timestamptz),
                         (SELECT min(t.recorded_at) FROM rollup_pending p
                            JOIN batches b ON b.id = p.batch_id JOIN transactions t ON t.id = b.first_transaction_id)) AS until) AS u
""")

_COLUMNS = ("movements", *SUMS)
_ADD = text(f"""
    INSERT INTO reconcile_sums AS s (account_id, {", ".join(_COLUMNS)})
    {sums_of("CAST(:until AS timestamptz)")}
    ON CONFLICT (account_id) DO UPDATE SET {", ".join(f"{name} = s.{name} + excluded.{name}" for name in _COLUMNS)}
""")

_ADD_MEASURES = text(f"""
    INSERT INTO reconcile_measures AS s (account_id, measure, currency, total)
    {measured_sums("CAST(:until AS timestamptz)")}
    ON CONFLICT (account_id, measure, currency) DO UPDATE SET total = s.total + excluded.total
""")

_WRITE = text("""
    INSERT INTO reconcile_checkpoint AS c (recorded_before, next_before, next_open, full_at, marked)
    VALUES (:recorded_before, :next_before, CAST(:next_open AS text[]), CASE WHEN CAST(:is_full AS boolean) THEN now() END, :is_marked)
    ON CONFLICT (one) DO UPDATE SET recorded_before = excluded.recorded_before, next_before = excluded.next_before,
                                    next_open = excluded.next_open, full_at = coalesce(excluded.full_at, c.full_at), marked = excluded.marked
""")

_FORGET = text("""
    WITH sums AS (DELETE FROM reconcile_sums), measures AS (DELETE FROM reconcile_measures) DELETE FROM reconcile_checkpoint
""")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Times as PostgreSQL writes them: `since` when entries are still to be looked at, and `until` when they may be added up next.

    `next_before` and `next_open` are what the run after this one will need to know for that. `is_marked`: the entries before `since`
    have their marks.
    """

    since: str
    until: str | None
    next_before: str
    next_open: list[str]
    is_full_due: bool
    is_marked: bool


def read_checkpoint(connection: Connection) -> Checkpoint:
    """Where the checkpoint stands, and how far it may go. Take the snapshot that is looked at after this."""
    row = connection.execute(_READ, {"held_back_hours": HELD_BACK_HOURS, "full_days": FULL_DAYS}).one()
    return Checkpoint(row.since, row.until, row.next_before, list(row.next_open), row.is_full_due, row.is_marked)


def advance_checkpoint(connection: Connection, checkpoint: Checkpoint, *, is_full: bool) -> None:
    """Adds up what a run has looked at as far as it may, and keeps what the next run needs to know. One at a time does this."""
    since, is_marked = checkpoint.since, checkpoint.is_marked
    if checkpoint.until is not None:
        until = connection.execute(_UNTIL, {"since": since, "until": checkpoint.until}).one()
        if until.is_later:
            make_marks(connection, since if is_marked else None, until.until)
            is_marked = True
            connection.execute(_ADD, {"since": since, "until": until.until})
            connection.execute(_ADD_MEASURES, {"since": since, "until": until.until})
            since = until.until
    connection.execute(
        _WRITE,
        {
            "recorded_before": since,
            "next_before": checkpoint.next_before,
            "next_open": checkpoint.next_open,
            "is_full": is_full,
            "is_marked": is_marked,
        },
    )


def forget_checkpoint(connection: Connection) -> None:
    """The next run looks at everything, and the sums and marks begin anew."""
    connection.execute(_FORGET)
    forget_marks(connection)
