"""SQL of scheduled jobs: each one's effect once per period, however many workers are asked to do it."""

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from core.database.locks import try_hold_job

# The transaction that holds a job's lock reads nothing meanwhile, so it keeps nothing from being cleaned up.
_MAY_BE_IDLE = text("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")

# Waits for whoever is doing the same period right now, then sees that it is done.
_BEGIN = text("""
    INSERT INTO job_runs AS r (job, period, worker) VALUES (:job, :period, :worker)
    ON CONFLICT (job, period) DO UPDATE SET worker = excluded.worker, started_at = now(), ended_at = NULL, error = NULL
     WHERE r.ended_at IS NULL OR r.error IS NOT NULL
    RETURNING 1
""")

_END = (
    text("""
    UPDATE job_runs SET ended_at = clock_timestamp(), counts = counts || :counts WHERE job = :job AND period = :period RETURNING counts
""")
    .bindparams(bindparam("counts", type_=JSONB))
    .columns(counts=JSONB)
)

_FAIL = text("""
    INSERT INTO job_runs AS r (job, period, worker, ended_at, error) VALUES (:job, :period, :worker, clock_timestamp(), :error)
    ON CONFLICT (job, period) DO UPDATE SET worker = excluded.worker, ended_at = excluded.ended_at, error = excluded.error
     WHERE r.ended_at IS NULL OR r.error IS NOT NULL
""")

_LAST_DONE = text("SELECT max(period) FROM job_runs WHERE job = :job AND ended_at IS NOT NULL AND error IS NULL")


def lock_job(connection: Connection, job: str) -> bool:
    """Whether nobody is doing this job now; if so, nobody else does before this transaction ends, however long it is idle."""
    connection.execute(_MAY_BE_IDLE)
    return try_hold_job(connection, job)


def begin_job(connection: Connection, job: str, period: str, worker: str) -> bool:
    """Whether this job is still to be done for this period; if so, nobody else does it before this transaction ends."""
    return connection.execute(_BEGIN, {"job": job, "period": period, "worker": worker}).first() is not None


def end_job(connection: Connection, job: str, period: str, counts: dict[str, int]) -> dict[str, int]:
    """Marks the job as done for the period, with what it counted, and returns all that was counted for it."""
    kept: dict[str, int] = connection.execute(_END, {"job": job, "period": period, "counts": counts}).scalar_one()
    return kept


def fail_job(connection: Connection, job: str, period: str, worker: str, error: str) -> None:
    """Keeps why the job could not be done for the period; it is still to be done."""
    connection.execute(_FAIL, {"job": job, "period": period, "worker": worker, "error": error})


def last_done(connection: Connection, job: str) -> str | None:
    """The greatest period for which the job is done, if there is one."""
    period: str | None = connection.execute(_LAST_DONE, {"job": job}).scalar_one()
    return period
