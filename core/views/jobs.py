"""Scheduled jobs, for reading."""

from datetime import datetime

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import jobs
from core.storage.reading.jobs import JobAge, JobRun
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_job_runs(
    database: Database,
    actor: Actor,
    *,
    job: str | None = None,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    before: tuple[datetime, str, str] | None = None,
) -> list[JobRun]:
    """Runs of scheduled jobs, the latest first; `before` is `started_at`, job and period of the last row already seen.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list jobs")
    page = rows_of(limit, offset, before)
    with database.snapshot() as connection:
        return jobs.list_job_runs(connection, job, page)


def job_ages(database: Database, actor: Actor) -> list[JobAge]:
    """How long ago each job was last done: the one number that tells whether beat and the maintenance workers are at work.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list jobs")
    with database.snapshot() as connection:
        return jobs.job_ages(connection)
