"""SQL of scheduled jobs: each one's effect once per period, however many workers are asked to do it."""

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

# Waits for whoever is doing the same period right now, then sees that it is done.
_BEGIN = text("""
    INSERT INTO job_runs AS r (job, period, worker) VALUES (:job, :period, :worker)
    ON CONFLICT (job, period) DO UPDATE SET worker = excluded.worker, started_at = now(), error = NULL WHERE r.ended_at IS NULL
    RETURNING 1
""")

_END = text("UPDATE job_runs SET ended_at = clock_timestamp(), counts = :counts WHERE job = :job AND period = :period").bindparams(
    bindparam("counts", type_=JSONB)
)

_FAIL = text("""
    INSERT INTO job_runs AS r (job, period, worker, error) VALUES (:job, :period, :worker, :error)
    ON CONFLICT (job, period) DO UPDATE SET worker = excluded.worker, error = excluded.error WHERE r.ended_at IS NULL
""")

_LAST_DONE = text("SELECT max(period) FROM job_runs WHERE job = :job AND ended_at IS NOT NULL")

_ENSURE_PARTITIONS = text("SELECT ensure_partitions(:months_ahead)")


def begin_job(connection: Connection, job: str, period: str, worker: str) -> bool:
    """Whether this job is still to be done for this period; if so, nobody else does it before this transaction ends."""
    return connection.execute(_BEGIN, {"job": job, "period": period, "worker": worker}).first() is not None


def end_job(connection: Connection, job: str, period: str, counts: dict[str, int]) -> None:
    """Marks the job as done for the period, with what it counted."""
    connection.execute(_END, {"job": job, "period": period, "counts": counts})


def fail_job(connection: Connection, job: str, period: str, worker: str, error: str) -> None:
    """Keeps why the job could not be done for the period; it is still to be done."""
    connection.execute(_FAIL, {"job": job, "period": period, "worker": worker, "error": error})


def last_done(connection: Connection, job: str) -> str | None:
    """The greatest period for which the job is done, if there is one."""
    period: str | None = connection.execute(_LAST_DONE, {"job": job}).scalar_one()
    return period


def ensure_partitions(connection: Connection, months_ahead: int) -> list[str]:
    """Makes the monthly partitions from this month on that don't exist yet, and names them."""
    return list(connection.execute(_ENSURE_PARTITIONS, {"months_ahead": months_ahead}).scalars())
