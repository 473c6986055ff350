"""SQL that shows how far the statistics have come."""

from sqlalchemy import text

STATUS = text("""
    SELECT count(*) AS pending_batches, CAST(coalesce(sum(b.recorded), 0) AS bigint) AS pending_events, min(b.committed_at) AS oldest_committed_at,
           CAST(coalesce(extract(epoch FROM clock_timestamp() - min(b.committed_at)), 0) AS float8) AS oldest_seconds,
           (SELECT CAST(max(period) AS date) FROM job_runs WHERE job = 'usage.close_day' AND ended_at IS NOT NULL) AS closed_until
      FROM rollup_pending p JOIN batches b ON b.id = p.batch_id
""")
