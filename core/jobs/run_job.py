"""Running a scheduled job: once per period, by one worker at a time, with what came of it kept."""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from core.database.database import Database
from core.errors import TollbookError
from core.jobs.sql.jobs import begin_job, end_job, fail_job, lock_job


def run_job(
    database: Database, job: str, do: Callable[[str], dict[str, int]], *, worker: str, due: Callable[[Connection], str | None]
) -> dict[str, int] | None:
    """Does the job for the period that is due, and keeps in `job_runs` what it counted, or why it failed.

    While it runs nobody else does the job, whatever the period; a worker that dies lets go of it, and the period is still to
    be done. A replay for a period that is done does nothing.

    Args:
        database: under the worker's login; needs two connections beside each other.
        job: its name.
        do: does it for a period, in transactions of its own, and returns what it counted.
        worker: the name that the run carries.
        due: asked when nobody else is at it: the period to be done, or none.

    Returns:
        What was counted, or none where nothing was due, it is done already, or somebody else is at it.

    Raises:
        StorageUnavailable, Misconfigured, RequestRefused: whatever `do` raises; it is still to be done for this period.
    """
    with database.transaction() as alone:
        if not lock_job(alone, job):
            return None
        with database.transaction() as connection:
            period = due(connection)
            if period is None or not begin_job(connection, job, period, worker):
                return None
        try:
            counts = do(period)
        except Exception as error:
            with suppress(TollbookError), database.transaction() as connection:
                fail_job(connection, job, period, worker, str(error))
            raise
        with database.transaction() as connection:
            return end_job(connection, job, period, counts)
