"""SQL that shows the runs of scheduled jobs."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.storage.reading.listing import Listing, Rows

_LIST = Listing(
    "job_runs",
    "r.job, r.period, r.worker, r.started_at, r.ended_at, r.counts, r.error",
    ("started_at", "job", "period"),
)

_LATEST = text("""
    SELECT job, extract(epoch FROM now() - max(ended_at) FILTER (WHERE error IS NULL)) AS age_seconds,
           (array_agg(error IS NOT NULL ORDER BY started_at DESC))[1] AS failed
      FROM job_runs WHERE job <> 'directory.request' GROUP BY job ORDER BY job
""")


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


def list_job_runs(connection: Connection, job: str | None, page: Rows) -> list[JobRun]:
    """Runs, the latest first."""
    return [JobRun(*row) for row in _LIST.rows(connection, page, None if job is None else {"job": [job]})]


def job_ages(connection: Connection) -> list[JobAge]:
    """Each job that was ever begun and is not forgotten."""
    return [JobAge(row.job, None if row.age_seconds is None else float(row.age_seconds), row.failed) for row in connection.execute(_LATEST)]
