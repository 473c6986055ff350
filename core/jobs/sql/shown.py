"""SQL that shows the runs of scheduled jobs."""

from sqlalchemy import text

from core.database.listing import Listing

LIST = Listing(
    "job_runs",
    "r.job, r.period, r.worker, r.started_at, r.ended_at, r.counts, r.error",
    ("started_at", "job", "period"),
)

LATEST = text("""
    SELECT job, CAST(extract(epoch FROM now() - max(ended_at) FILTER (WHERE error IS NULL)) AS float8) AS age_seconds,
           (array_agg(error IS NOT NULL ORDER BY started_at DESC))[1] AS failed
      FROM job_runs WHERE job <> 'directory.request' GROUP BY job ORDER BY job
""")
