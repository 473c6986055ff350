"""SQL of the overview: stored statistics of some days, added up in several ways at once, each way's dearest first."""

from sqlalchemy import TextClause, text

from core.caps.sql.conditions import window_start
from core.database.zones import local_day
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name

# By account, since the key of the statistics goes on with the account after the mandate: what is read is what is asked for, in that order.
_PIECES = "unnest(CAST(:period_types AS text[]), CAST(:firsts AS date[]), CAST(:lasts AS date[])) AS p(period_type, first, last)"


def _stored(table: str, columns: str, condition: str = "true") -> str:
    return f"""
        SELECT a.mandate_id, a.id AS account_id, CAST(date_trunc(:by, CAST(s.period_start AS timestamp)) AS date) AS period,
               s.provider, s.model, s.feature_code, {columns}
          FROM accounts a
         CROSS JOIN {_PIECES}
         CROSS JOIN LATERAL (SELECT * FROM {table} WHERE mandate_id = a.mandate_id AND account_id = a.id AND period_type = p.period_type
                                AND period_start BETWEEN p.first AND p.last OFFSET 0) AS s
         WHERE a.user_id IS NOT NULL AND (CAST(:mandate_ids AS text[]) IS NULL OR a.mandate_id = ANY(:mandate_ids)) AND {condition}
    """


_WAYS = "(), (period), (mandate_id), (provider, model), (feature_code), (mandate_id, account_id)"
_WAY = """CASE WHEN account_id IS NOT NULL THEN 'user' WHEN mandate_id IS NOT NULL THEN 'mandate' WHEN provider IS NOT NULL THEN 'model'
               WHEN feature_code IS NOT NULL THEN 'feature' WHEN period IS NOT NULL THEN 'period' ELSE 'all' END AS way"""

# What lies behind the first `:top` of its way is one row without names: `number` tells of how many.
USED = text(f"""
    WITH sums AS (
        SELECT {_WAY}, period, mandate_id, account_id, provider, model, feature_code, sum(event_count) AS event_count, sum(cost) AS cost,
               sum(billed_cost) AS billed_cost, sum(refunded) AS refunded
          FROM ({_stored("usage_statistics", "s.event_count, s.cost, s.billed_cost, s.refunded")}) AS stored
         GROUP BY GROUPING SETS ({_WAYS})
    ), ranked AS (
        SELECT sums.*, row_number() OVER by_cost > :top AND way NOT IN ('all', 'period') AS is_other
          FROM sums WHERE way <> 'all' OR event_count IS NOT NULL
        WINDOW by_cost AS (PARTITION BY way ORDER BY cost DESC, event_count DESC, mandate_id, account_id, provider, model, feature_code)
    ), shown AS (
        SELECT way, period, mandate_id, account_id, provider, model, feature_code, is_other, 1 AS number, event_count, cost, billed_cost,
               refunded
          FROM ranked WHERE NOT is_other
         UNION ALL
        SELECT way, NULL, NULL, NULL, NULL, NULL, NULL, true, count(*), sum(event_count), sum(cost), sum(billed_cost), sum(refunded)
          FROM ranked WHERE is_other GROUP BY way
    )
    SELECT s.way, s.period, s.mandate_id, {mandate_name("s.mandate_id")} AS mandate_name, s.account_id, a.user_id,
           {user_name("a.user_id")} AS user_name,
           s.provider, s.model, s.feature_code, s.is_other, s.number, s.event_count, s.cost, s.billed_cost, s.refunded
      FROM shown s
      LEFT JOIN LATERAL (SELECT * FROM accounts WHERE id = s.account_id OFFSET 0) AS a ON true
      {join_mandate("s.mandate_id")} {join_user("a.user_id")}
     ORDER BY s.way, s.is_other, s.period, s.cost DESC, s.event_count DESC, s.mandate_id, s.account_id, s.provider, s.model, s.feature_code
""")

# Of the same ways, those alone that are shown.
COSTS = text(f"""
    SELECT {_WAY}, period, mandate_id, account_id, provider, model, feature_code, currency, trim_scale(sum(total)) AS total
      FROM ({_stored("usage_measures", "s.currency, s.total", "s.measure = 'provider_cost'")}) AS stored
     GROUP BY GROUPING SETS ((currency), (period, currency), (mandate_id, currency), (provider, model, currency), (feature_code, currency),
                             (mandate_id, account_id, currency))
    HAVING account_id = ANY(:account_ids) OR account_id IS NULL AND (
           mandate_id = ANY(:top_mandates) OR (provider, model) IN (SELECT * FROM unnest(CAST(:providers AS text[]), CAST(:models AS text[])))
           OR feature_code = ANY(:features) OR mandate_id IS NULL AND provider IS NULL AND feature_code IS NULL)
     ORDER BY currency
""")

_PRESENT = window_start("c", local_day("now()", "s.time_zone"))


def _fullest_caps() -> TextClause:
    """Present windows of caps, the fullest first, of those of which an alert told that half or more is spent."""
    return text(f"""
    SELECT c.id AS cap_id, c.mandate_id, {mandate_name("c.mandate_id")} AS mandate_name, nullif(n.user_id, '') AS user_id, c.dimension, c.value,
           c.period, c.action, c.limit_chf, n.spent
      FROM (SELECT DISTINCT a.cap_id, a.user_id, a.window_start FROM (
                SELECT * FROM cap_alerts
                 WHERE share >= 50 AND (window_start = date '0001-01-01' OR window_start >= CAST(now() - interval '33 days' AS date))
                 ORDER BY id DESC LIMIT :looked_at) AS a) AS told
      JOIN caps c ON c.id = told.cap_id AND c.removed_at IS NULL
      JOIN billing_settings s ON s.mandate_id = c.mandate_id
      JOIN cap_counters n ON n.cap_id = told.cap_id AND n.user_id = told.user_id AND n.window_start = told.window_start
      {join_mandate("c.mandate_id")}
     WHERE told.window_start = {_PRESENT} AND n.spent * 2 >= c.limit_chf
       AND (CAST(:mandate_ids AS text[]) IS NULL OR c.mandate_id = ANY(:mandate_ids))
     ORDER BY n.spent / greatest(c.limit_chf, 0.000000001) DESC, c.id LIMIT :top
    """)


FULLEST_CAPS = _fullest_caps()

PREPARE = text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
