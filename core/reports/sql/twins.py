"""SQL of likely twins: usage that differs in its event id and, by seconds, in its time, and in nothing else that is billed."""

from sqlalchemy import text

from core.database.event_columns import columns
from core.database.local_days import entries_in_days
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import USAGE

_ALIKE = ("account_id", "provider", "model", *TOKEN_KINDS, "amount")
_IN_COMMON = ", ".join(_ALIKE)
_EVENT_IDS_MAX = 10  # of one group, in the order of their times

_USAGE = entries_in_days(
    f"t.id, t.event_id, t.occurred_at, {columns('t', _ALIKE)}", f"t.mandate_id = h.mandate_id AND t.reference_type = '{USAGE.reference_type}'"
)

# Sorted once by what must be alike and then by time, each event is in the group of the one before it if it came soon enough after it.
# The mandates come in the order of the page, so that no more of them are looked at than it needs.
FIND = text(f"""
    SELECT h.mandate_id, {mandate_name("h.mandate_id")} AS mandate_name, a.user_id, {user_name("a.user_id")} AS user_name,
           g.provider, g.model, {columns("g", TOKEN_KINDS)}, g.amount AS price, g.event_count,
           g.amount * (g.event_count - 1) AS excess,
           (SELECT coalesce(sum(r.amount), 0.000000000) FROM refunds r
             WHERE r.mandate_id = h.mandate_id AND r.transaction_id = ANY(g.transaction_ids)) AS refunded,
           g.first_at, g.last_at, g.event_ids[1:{_EVENT_IDS_MAX}] AS event_ids, g.transaction_id
      FROM (SELECT s.mandate_id FROM billing_settings s
             WHERE (CAST(:mandate_ids AS text[]) IS NULL OR s.mandate_id = ANY(CAST(:mandate_ids AS text[]))) AND s.mandate_id >= :after_mandate_id
             ORDER BY s.mandate_id) AS h
     CROSS JOIN LATERAL (
           SELECT {_IN_COMMON}, count(*) AS event_count, min(occurred_at) AS first_at, max(occurred_at) AS last_at, min(id) AS transaction_id,
                  array_agg(event_id ORDER BY occurred_at, id) AS event_ids, array_agg(id) AS transaction_ids
             FROM (SELECT b.*, count(*) FILTER (WHERE b.begins) OVER alike AS number
                     FROM (SELECT e.*, lag(e.occurred_at) OVER alike + make_interval(secs => :seconds) < e.occurred_at AS begins
                             FROM ({_USAGE}) AS e WINDOW alike AS (PARTITION BY {_IN_COMMON} ORDER BY occurred_at, id)) AS b
                   WINDOW alike AS (PARTITION BY {_IN_COMMON} ORDER BY occurred_at, id)) AS grouped
            GROUP BY {_IN_COMMON}, number
           HAVING count(*) >= :at_least AND (h.mandate_id > :after_mandate_id OR min(id) > :after_id)
            ORDER BY min(id) LIMIT :limit) AS g
      JOIN accounts a ON a.id = g.account_id
      {join_mandate("h.mandate_id")}
      {join_user("a.user_id")}
     ORDER BY h.mandate_id, g.transaction_id LIMIT :limit
""")
