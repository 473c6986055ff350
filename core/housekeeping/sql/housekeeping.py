"""SQL that keeps tables in order: partitions ahead of time, nothing left in the default one, old rows gone."""

from sqlalchemy import Connection, text

from core.verifying.sql.invariants.dead_letters import AGED_OUT

_ENSURE_PARTITIONS = text("SELECT ensure_partitions(:months_ahead)")
_MOVE_DEFAULT_MONTH = text("SELECT partition_name, rows_moved FROM move_default_month()")

_MISSING_MONTHS = text("""
    SELECT to_char(month, 'YYYY-MM')
      FROM generate_series(date_trunc('month', now()), date_trunc('month', now()) + :months_ahead * interval '1 month', '1 month') AS month
     WHERE to_regclass('public.transactions_' || to_char(month, 'YYYY_MM')) IS NULL
     ORDER BY month
""")
_THIS_MONTH = text("SELECT to_char(now(), 'YYYY-MM')")
_IN_DEFAULT = text("SELECT EXISTS (SELECT FROM public.transactions_default)")

# In the statement that removes letters the attempts that go with them are counted: I8 adds both up.
_AGE_OUT = text("""
    WITH gone AS (
        DELETE FROM dead_letters
         WHERE id = ANY(ARRAY(SELECT id FROM dead_letters
                               WHERE status <> 'OPEN' AND greatest(resolved_at, last_seen_at) < now() - :days * interval '1 day'
                               ORDER BY greatest(resolved_at, last_seen_at) LIMIT :rows_max FOR UPDATE SKIP LOCKED))
        RETURNING attempts
    ), counted AS (
        SELECT count(*) AS letters, coalesce(sum(attempts), 0) AS attempts FROM gone
    )
    UPDATE job_runs r
       SET counts = r.counts || jsonb_build_object(
               'dead_letters_aged_out', coalesce(CAST(r.counts ->> 'dead_letters_aged_out' AS bigint), 0) + c.letters,
               CAST(:aged_out AS text), coalesce(CAST(r.counts ->> :aged_out AS bigint), 0) + c.attempts)
      FROM counted c
     WHERE r.job = :job AND r.period = :period
    RETURNING c.letters
""")

_REMOVE_RUNS = text("""
    DELETE FROM job_runs
     WHERE started_at < now() - :days * interval '1 day' AND coalesce(CAST(counts ->> :aged_out AS bigint), 0) = 0
""")

# What an operator has decided is kept with that operator's word.
_REMOVE_FINDINGS = text("DELETE FROM reconcile_findings WHERE resolved_at < now() - :days * interval '1 day' AND NOT jsonb_exists(detail, 'by')")


def ensure_partitions(connection: Connection, months_ahead: int) -> list[str]:
    """Makes the monthly partitions from this month on that don't exist yet, and names them."""
    return list(connection.execute(_ENSURE_PARTITIONS, {"months_ahead": months_ahead}).scalars())


def missing_months(connection: Connection, months_ahead: int) -> list[str]:
    """Of this month (UTC) and so many after it those that have no partition, such as 2026-01."""
    return list(connection.execute(_MISSING_MONTHS, {"months_ahead": months_ahead}).scalars())


def this_month(connection: Connection) -> str:
    """The month (UTC) in which the transaction began, such as 2026-01."""
    month: str = connection.execute(_THIS_MONTH).scalar_one()
    return month


def has_rows_in_default(connection: Connection) -> bool:
    """Whether entries stand in the default partition."""
    there: bool = connection.execute(_IN_DEFAULT).scalar_one()
    return there


def move_default_month(connection: Connection) -> tuple[str, int] | None:
    """Moves the oldest month in the default partition into one of its own: its name and the rows moved; none if there was nothing.

    Whoever reads or writes entries waits meanwhile. Locks are given up after two seconds.
    """
    row = connection.execute(_MOVE_DEFAULT_MONTH).one()
    return None if row.partition_name is None else (row.partition_name, row.rows_moved)


def age_out_dead_letters(connection: Connection, job: str, period: str, *, days: int, rows_max: int) -> int:
    """Removes up to `rows_max` dead letters resolved and last seen more than `days` ago, and counts them in the job's run."""
    parameters = {"days": days, "rows_max": rows_max, "aged_out": AGED_OUT, "job": job, "period": period}
    letters: int = connection.execute(_AGE_OUT, parameters).scalar_one()
    return letters


def remove_job_runs(connection: Connection, days: int) -> int:
    """Removes the runs that began more than `days` ago, but for those that I8 needs; returns how many."""
    return connection.execute(_REMOVE_RUNS, {"days": days, "aged_out": AGED_OUT}).rowcount


def remove_findings(connection: Connection, days: int) -> int:
    """Removes the findings that were gone more than `days` ago, but for those that an operator has decided; returns how many."""
    return connection.execute(_REMOVE_FINDINGS, {"days": days}).rowcount
