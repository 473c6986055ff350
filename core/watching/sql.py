"""SQL of the condition of the books. Each statement goes by an index, and counts up to a limit, so that none reads a table whole."""

from sqlalchemy import text

from core.caps.sql.conditions import window_start
from core.database.zones import local_day
from core.ledger.kinds import USAGE
from core.ledger.sql.entry_kinds import listed
from core.ledger.sql.held import is_over

# Whatever the planner knows, or doesn't: rows come in the order of an index until the limit is reached, so that nothing is read first and
# sorted or hashed after. Before PostgreSQL 18 what is off and yet without alternative looks so dear that it would be compiled.
BY_INDEX = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
""")

_FROM_DELIVERIES = "b.kind IN ('usage', 'release', 'replay')"

# Ids are drawn when a batch begins, so the newest ones are, but for those under way, the last committed.
RECENT = text(f"""
    SELECT clock_timestamp() AS at, max(b.committed_at) AS last_commit,
           CAST(coalesce(extract(epoch FROM clock_timestamp() - min(b.committed_at)), 0) AS float8) AS covered_seconds,
           count(*) = :batches_max AS more,
           coalesce(sum(b.recorded) FILTER (WHERE b.of_now), 0) AS recorded, coalesce(sum(b.duplicate) FILTER (WHERE b.of_now), 0) AS duplicate,
           coalesce(sum(b.conflict) FILTER (WHERE b.of_now), 0) AS conflict, coalesce(sum(b.rejected) FILTER (WHERE b.of_now), 0) AS rejected,
           coalesce(sum(b.parked) FILTER (WHERE b.of_now), 0) AS parked
      FROM (SELECT b.*, b.committed_at > clock_timestamp() - :seconds * interval '1 second' AS of_now
              FROM (SELECT * FROM batches ORDER BY id DESC LIMIT :batches_max) AS b WHERE {_FROM_DELIVERIES}) AS b
""")

# Of what producers sent: parked events and dead letters that come into the books are old by nature. Entries carry the time at which their
# transaction began, a little before the batch.
LAG = text(f"""
    WITH latest AS (
        SELECT b.id, b.started_at FROM (SELECT * FROM batches ORDER BY id DESC LIMIT :batches_max) AS b
         WHERE b.kind = 'usage' AND b.recorded > 0 AND b.committed_at > clock_timestamp() - :seconds * interval '1 second'
    ), entries AS (
        SELECT t.batch_id, t.recorded_at, t.occurred_at, t.reference_type FROM transactions t
         WHERE (t.recorded_at AT TIME ZONE 'UTC') >= ((SELECT min(started_at) FROM latest) - interval '10 seconds') AT TIME ZONE 'UTC'
         ORDER BY (t.recorded_at AT TIME ZONE 'UTC') DESC LIMIT :entries_max
    )
    SELECT CAST(percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM e.recorded_at - e.occurred_at)) AS float8)
      FROM entries e JOIN latest l ON l.id = e.batch_id WHERE e.reference_type IN {listed((USAGE.reference_type,))}
""")


def _by_reason(table: str, where: str, key: str, since: str) -> str:
    """For each reason that there is, leaping from one to the next: how many rows, up to the limit, and since when the first waits.

    The reason is told as a range and sorted by, or the planner could go by another index through all that have another reason.
    """
    return f"""
        WITH RECURSIVE reasons AS (
            (SELECT r.reason FROM {table} r WHERE {where} ORDER BY r.reason LIMIT 1)
            UNION ALL
            SELECT (SELECT r.reason FROM {table} r WHERE {where} AND r.reason > reasons.reason ORDER BY r.reason LIMIT 1)
              FROM reasons WHERE reasons.reason IS NOT NULL
        )
        SELECT reasons.reason, least(found.number, :counted_max) AS number, found.number > :counted_max AS more,
               CAST(extract(epoch FROM clock_timestamp() - first.since) AS float8) AS oldest_seconds
          FROM reasons
         CROSS JOIN LATERAL (SELECT count(*) AS number
                               FROM (SELECT FROM {table} r WHERE {where} AND r.reason BETWEEN reasons.reason AND reasons.reason
                                      ORDER BY r.reason, r.{key} LIMIT :counted_max + 1) AS counted) AS found
         CROSS JOIN LATERAL (SELECT r.{since} AS since FROM {table} r WHERE {where} AND r.reason BETWEEN reasons.reason AND reasons.reason
                              ORDER BY r.reason, r.{key} LIMIT 1) AS first
         WHERE reasons.reason IS NOT NULL ORDER BY reasons.reason
    """


OPEN_LETTERS = text(_by_reason("dead_letters", "r.status = 'OPEN'", "id", "first_seen_at"))
PARKED = text(_by_reason("parked_events", "true", "received_at", "received_at"))

# By the counts that triggers keep: what others park in this moment is not counted yet.
PARKED_ALTOGETHER = text("""
    SELECT CAST(coalesce(sum(events), 0) AS bigint) AS parked, CAST(coalesce(sum(suspended), 0) AS bigint) AS suspense
      FROM parked_counts WHERE mandate_id = ''
""")

# What still waits for an event that is parked isn't overdue; of the first thousand at most.
HOLDS = text(f"""
    SELECT found.number AS number, found.number = :holds_max AS more, found.held_chf,
           (SELECT CAST(coalesce(extract(epoch FROM clock_timestamp() - min(o.expires_at)), 0) AS float8)
              FROM (SELECT * FROM holds WHERE settled_at IS NULL AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT 1000) AS o
             WHERE {is_over("o")}) AS overdue_seconds
      FROM (SELECT count(*) AS number, coalesce(sum(h.amount - h.captured), 0.000000000) AS held_chf
              FROM (SELECT amount, captured FROM holds WHERE settled_at IS NULL AND expires_at > (SELECT clock_timestamp())
                     ORDER BY expires_at LIMIT :holds_max) AS h) AS found
""")

# Windows of now, whose spending was told to have reached the whole limit and still has: the limit may be another one since.
CAPS_REACHED = text(f"""
    WITH told AS MATERIALIZED (
        SELECT cap_id, user_id, window_start FROM cap_alerts
         WHERE share = 100 AND NOT recovered
           AND (window_start = date '0001-01-01' OR window_start >= CAST(now() - interval '33 days' AS date))
         ORDER BY window_start DESC LIMIT :counted_max + 1
    )
    SELECT least(count(*), :counted_max) AS number, (SELECT count(*) > :counted_max FROM told) AS more
      FROM told
      JOIN caps c ON c.id = told.cap_id AND c.removed_at IS NULL
      JOIN billing_settings s ON s.mandate_id = c.mandate_id
      JOIN cap_counters n ON n.cap_id = told.cap_id AND n.user_id = told.user_id AND n.window_start = told.window_start
     WHERE n.spent >= c.limit_chf AND told.window_start = {window_start("c", local_day("now()", "s.time_zone"))}
""")

# Candidates are the lines that alerts say an account is beyond. Each is judged again, since alerts of an account that no longer pays stay as
# they are. A postpaid pool's own line of warning is as its last alert says: it moves with the settings, which write one.
_BEYOND = """
    FROM (SELECT account_id FROM crossed_lines WHERE kind = :kind ORDER BY account_id LIMIT :counted_max + 1) AS told
    JOIN accounts a ON a.id = told.account_id
    JOIN billing_settings s ON s.mandate_id = a.mandate_id
   WHERE CASE WHEN (s.billing_model, a.account_type) IN (('PREPAY_USER', 'USER'), ('PREPAY_MANDATE', 'MANDATE'))
              THEN CASE :kind WHEN 'WARNING' THEN a.balance <= a.warning_threshold WHEN 'ZERO' THEN a.balance < 0 END
              WHEN (s.billing_model, a.account_type) = ('CREDIT_POSTPAY', 'MANDATE')
              THEN CASE :kind WHEN 'WARNING' THEN a.balance <= 0 AND a.credit_limit IS NOT NULL
                              WHEN 'CREDIT_LIMIT' THEN -a.balance > a.credit_limit END END
"""

BEYOND = text(f"""
    SELECT count(*) AS number, (SELECT count(*) FROM (SELECT FROM crossed_lines WHERE kind = :kind LIMIT :counted_max + 1) AS all_told)
           > :counted_max AS more {_BEYOND}
""")

LOW = text(f"""
    SELECT a.id AS account_id, a.mandate_id, a.user_id, s.billing_model, a.balance, a.warning_threshold, a.credit_limit {_BEYOND}
     ORDER BY a.balance, a.id LIMIT :limit
""")

PRODUCER_GAPS = text("""
    SELECT least(count(*), :counted_max) AS number, count(*) > :counted_max AS more,
           (SELECT CAST(coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0) AS float8) FROM producer_gaps) AS oldest_seconds
      FROM (SELECT FROM producer_gaps LIMIT :counted_max + 1) AS g
""")

OUTCOMES_WAITING = text("""
    SELECT least(count(*), :counted_max) AS number, count(*) > :counted_max AS more
      FROM (SELECT FROM outcome_messages LIMIT :counted_max + 1) AS o
""")
