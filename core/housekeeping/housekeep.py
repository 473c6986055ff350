"""Keeping the books in order: partitions are there before they are needed, and nothing is kept beyond its time."""

from collections.abc import Callable
from datetime import datetime

from core.clock import utc_now
from core.config import Configuration
from core.database.database import Database, allow_time
from core.housekeeping.sql.housekeeping import age_out_dead_letters, ensure_partitions, move_default_month, remove_findings, remove_job_runs
from core.jobs.model import period_at
from core.jobs.run_job import run_job
from core.producers.forget import forget_producers

JOB = "books.housekeep"
PERIOD_SECONDS = 6 * 3600
MONTHS_MAX = 120
LETTERS_PER_TRANSACTION_MAX = 1_000
LETTER_TRANSACTIONS_MAX = 1_000


def housekeep(database: Database, *, config: Configuration, worker: str, clock: Callable[[], datetime] = utc_now) -> dict[str, int] | None:
    """Once per period of six hours (UTC): partitions ahead, rows out of the default partition, old dead letters, job runs and producers gone.

    Returns what it counted, or none if this period is done already. Repeatable; a failure is kept in `job_runs`.

    Raises:
        StorageUnavailable, Misconfigured: it is still to be done for this period.
    """
    return run_job(database, JOB, lambda period: _keep(database, config, period), worker=worker, due=lambda _: period_at(clock(), PERIOD_SECONDS))


def _keep(database: Database, config: Configuration, period: str) -> dict[str, int]:
    moved = _moved_from_default(database)
    with database.transaction() as connection:
        made = ensure_partitions(connection, config.partitions_ahead)
    for _ in range(LETTER_TRANSACTIONS_MAX):
        with database.transaction() as connection:
            days, rows_max = config.dead_letter_retention_days, LETTERS_PER_TRANSACTION_MAX
            if age_out_dead_letters(connection, JOB, period, days=days, rows_max=rows_max) < rows_max:
                break
    with database.transaction() as connection:
        runs = remove_job_runs(connection, config.job_retention_days)
        findings = remove_findings(connection, config.job_retention_days)
    forgotten = forget_producers(database, config.producer_retention_days)
    counts = {"partitions_made": len(made), "rows_moved_from_default": moved, "job_runs_removed": runs, "findings_removed": findings}
    return counts | {"producers_removed": forgotten}


def _moved_from_default(database: Database) -> int:
    """The rows that recording had to put into the default partition, each month moved in a transaction of its own."""
    moved = 0
    for _ in range(MONTHS_MAX):
        with database.transaction() as connection:
            allow_time(connection)
            month = move_default_month(connection)
        if month is None:
            break
        moved += month[1]
    return moved
