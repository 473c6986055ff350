"""Closing days: once a day has ended everywhere, all that was recorded of it so far is in the statistics."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from core.database.database import Database, transaction_time
from core.errors import TollbookError
from core.jobs.sql.jobs import begin_job, end_job, fail_job, last_done
from core.periods import last_ended_day
from core.statistics.roll_up import Rollup, roll_up_usage

JOB = "usage.close_day"
CATCH_UP_DAYS_MAX = 400  # of one run; as far back as usage may come late


def close_day(database: Database, *, worker: str, clock: Callable[[Connection], datetime] = transaction_time) -> list[date] | None:
    """Closes every day that has ended in all time zones since the last one that was closed, each once; returns them, the oldest first.

    A closed day is one before whose row in `job_runs` everything that was pending has been rolled up. It freezes nothing:
    usage that comes later still changes its day, month and year. None: all are closed already, or somebody else is rolling
    up just now, and it is for the next run. A failure is kept in `job_runs`. A replay does nothing.

    Args:
        database: under the worker's login.
        worker: the name that the runs carry.
        clock: tells the time (aware). The database's: a worker whose own clock is wrong must not close a day that hasn't ended.

    Raises:
        StorageUnavailable, Misconfigured: the days are still to be closed.
    """
    with database.transaction() as connection:
        newest = last_ended_day(clock(connection))
        days = _days_after(last_done(connection, JOB), newest)
    if not days:
        return None
    try:
        rollup = roll_up_usage(database)
        return _close(database, days, rollup, worker) if rollup.complete else None
    except TollbookError as error:
        with database.transaction() as connection:
            fail_job(connection, JOB, newest.isoformat(), worker, str(error))
        raise


def _close(database: Database, days: list[date], rollup: Rollup, worker: str) -> list[date] | None:
    """A row for each day; what the rollup counted stands in that of the newest."""
    counts = {"batches": rollup.batches, "events": rollup.events}
    with database.transaction() as connection:
        closed = [day for day in days if begin_job(connection, JOB, day.isoformat(), worker)]
        for day in closed:
            end_job(connection, JOB, day.isoformat(), counts if day == closed[-1] else {})
    return closed or None


def _days_after(closed: str | None, newest: date) -> list[date]:
    """The days to close; where none ever was, the newest alone."""
    first = newest if closed is None else max(date.fromisoformat(closed) + timedelta(days=1), newest - timedelta(days=CATCH_UP_DAYS_MAX - 1))
    return [first + timedelta(days=n) for n in range((newest - first).days + 1)]
