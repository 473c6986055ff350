"""Scheduled jobs, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import jobs
from core.storage.reading.jobs import JobAge, JobRun
from core.views.paging import LIMIT_DEFAULT, check_page


def list_job_runs(database: Database, actor: Actor, *, job: str | None = None, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[JobRun]:
    """Runs of scheduled jobs, the latest first.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list jobs")
    check_page(limit, offset)
    with database.snapshot() as connection:
        return jobs.list_job_runs(connection, job, limit, offset)


def job_ages(database: Database, actor: Actor) -> list[JobAge]:
    """How long ago each job was last done: the one number that tells whether beat and the maintenance workers are at work.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list jobs")
    with database.snapshot() as connection:
        return jobs.job_ages(connection)
