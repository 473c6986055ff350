"""SQL of when the directory is to be read anew, and of who may ask for it."""

from sqlalchemy import Connection, text

JOB = "directory.sync"
REQUEST = "directory.request"
PAUSE_SECONDS = 5.0  # between two requests, and between the end of a sync and the next one that somebody asks for

# An unknown mandate is looked for a minute long, since a producer may be ahead of the application's own commit. However many
# unknown ones send usage, reading takes a tenth of the time at most.
_DUE = text("""
    SELECT last.started_at IS NULL
        OR last.started_at < now() - :interval_seconds * interval '1 second'
        OR ((last.ended_at IS NULL OR last.error IS NOT NULL) AND last.started_at < now() - interval '60 seconds')
        OR (last.ended_at + greatest(:pause_seconds * interval '1 second', 10 * (last.ended_at - last.started_at)) < now()
            AND EXISTS (SELECT FROM parked_events WHERE received_at > last.started_at - interval '60 seconds'))
      FROM (SELECT) AS one
      LEFT JOIN (SELECT started_at, ended_at, error FROM job_runs WHERE job = :job ORDER BY started_at DESC LIMIT 1) AS last ON true
""")

# One row for ever: when a sync was asked for last, by whom.
_CLAIM = text("""
    INSERT INTO job_runs AS r (job, period, worker, ended_at) VALUES (:job, 'latest', :worker, now())
    ON CONFLICT (job, period) DO UPDATE SET worker = excluded.worker, started_at = now(), ended_at = now()
     WHERE r.started_at < now() - :pause_seconds * interval '1 second'
    RETURNING 1
""")


def is_sync_due(connection: Connection, interval_seconds: float) -> bool:
    """Whether the last sync was too long ago or failed, or usage of an unknown mandate has come since and there was a pause."""
    due: bool = connection.execute(_DUE, {"job": JOB, "interval_seconds": interval_seconds, "pause_seconds": PAUSE_SECONDS}).scalar_one()
    return due


def claim_request(connection: Connection, worker: str) -> bool:
    """Whether the caller is to ask for a sync now: over all workers at most one does every few seconds."""
    return connection.execute(_CLAIM, {"job": REQUEST, "worker": worker, "pause_seconds": PAUSE_SECONDS}).first() is not None
