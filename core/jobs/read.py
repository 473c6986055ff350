"""Scheduled jobs, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.database.rows import rows
from core.jobs.sql import shown as sql


@dataclass(frozen=True, slots=True)
class JobRun:
    """One job in one period: not ended yet, done, or failed with an error; what it counted."""

    job: str
    period: str
    worker: str
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, int]
    error: str | None


@dataclass(frozen=True, slots=True)
class JobAge:
    """How long ago a job was last done, in seconds, if it ever was, and whether its latest run failed."""

    job: str
    age_seconds: float | None
    failed: bool


@view(None, sees=root("list jobs"))
def list_job_runs(
    connection: Connection,
    *,
    job: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: tuple[datetime, str, str] | None = None,
) -> list[JobRun]:
    """Runs of scheduled jobs, the latest first; `before` is `started_at`, job and period of the last row already seen."""
    return sql.LIST.rows(connection, JobRun, Rows(limit, offset, before), None if job is None else {"job": [job]})


@view(None, sees=root("list jobs"))
def job_ages(connection: Connection) -> list[JobAge]:
    """How long ago each job was last done: the one number that tells whether beat and the maintenance workers are at work."""
    return rows(connection, JobAge, sql.LATEST)
