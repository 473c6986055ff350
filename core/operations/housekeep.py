"""Keeping the books in order: monthly partitions are there before they are needed."""

from collections.abc import Callable
from datetime import datetime

from core.config import Configuration
from core.errors import TollbookError
from core.operations.record_usage import utc_now
from core.storage.database import Database
from core.storage.jobs import begin_job, end_job, ensure_partitions, fail_job

JOB = "books.housekeep"
_PERIOD_HOURS = 6


def housekeep(database: Database, *, config: Configuration, worker: str, clock: Callable[[], datetime] = utc_now) -> dict[str, int] | None:
    """Makes missing partitions of this month and the configured months ahead, once per period of six hours (UTC).

    Returns what it counted, or none if this period is done already. Repeatable; a failure is kept in `job_runs`.

    Raises:
        StorageUnavailable, Misconfigured: it is still to be done for this period.
    """
    now = clock()
    period = f"{now:%Y-%m-%dT}{now.hour // _PERIOD_HOURS * _PERIOD_HOURS:02}"
    try:
        with database.transaction() as connection:
            if not begin_job(connection, JOB, period, worker):
                return None
            counts = {"partitions_made": len(ensure_partitions(connection, config.partitions_ahead))}
            end_job(connection, JOB, period, counts)
            return counts
    except TollbookError as error:
        with database.transaction() as connection:
            fail_job(connection, JOB, period, worker, str(error))
        raise
