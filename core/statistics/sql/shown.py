"""SQL that shows usage statistics: as they are stored, or added up from the transactions themselves."""

from sqlalchemy import text

from core.database.event_columns import columns
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import COSTS, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.measured import IS_MEASURED, measures, measures_taken_back, taken_apart

_SUMS = ("event_count", "cost", "billed_cost", "refunded", *TOKEN_KINDS)

_AFTER = """
    (coalesce(CAST(:after_start AS date), '-infinity'), CAST(:after_provider AS text), CAST(:after_model AS text), CAST(:after_feature AS text))
"""

OF_ACCOUNT = text(f"""
    SELECT s.period_start, s.provider, s.model, s.feature_code, {columns("s", _SUMS)}
      FROM usage_statistics s
     WHERE s.mandate_id = (SELECT mandate_id FROM accounts WHERE id = :account_id) AND s.account_id = :account_id
       AND s.period_type = :period_type AND s.period_start BETWEEN :first AND :last
       AND (s.period_start, s.provider, s.model, s.feature_code) > {_AFTER}
     ORDER BY s.period_start, s.provider, s.model, s.feature_code LIMIT CAST(:limit AS bigint)
""")

# By account, since the key of the statistics goes on with the account after the mandate.
OF_HOLDERS = text(f"""
    SELECT CAST(date_trunc(:by, CAST(s.period_start AS timestamp)) AS date) AS period_start, s.provider, s.model, s.feature_code,
           {", ".join(f"sum(s.{name}) AS {name}" for name in _SUMS)}
      FROM accounts a
      JOIN usage_statistics s ON s.mandate_id = a.mandate_id AND s.account_id = a.id
     WHERE a.mandate_id = :mandate_id AND a.user_id = coalesce(:user_id, a.user_id)
       AND s.period_type = :period_type AND s.period_start BETWEEN greatest(:first, CAST(:after_start AS date)) AND :last
     GROUP BY 1, 2, 3, 4
    HAVING (CAST(date_trunc(:by, CAST(s.period_start AS timestamp)) AS date), s.provider, s.model, s.feature_code) > {_AFTER}
     ORDER BY 1, 2, 3, 4 LIMIT CAST(:limit AS bigint)
""")

# What the rows of a page measure: from the first to the last of them, by the same key.
_UNTIL = "(CAST(:until_start AS date), CAST(:until_provider AS text), CAST(:until_model AS text), CAST(:until_feature AS text))"

MEASURES_OF_ACCOUNT = text(f"""
    SELECT m.period_start, m.provider, m.model, m.feature_code, m.measure, m.currency, trim_scale(m.total) AS total
      FROM usage_measures m
     WHERE m.mandate_id = (SELECT mandate_id FROM accounts WHERE id = :account_id) AND m.account_id = :account_id
       AND m.period_type = :period_type AND m.period_start BETWEEN :first AND :last
       AND (m.period_start, m.provider, m.model, m.feature_code) > {_AFTER} AND (m.period_start, m.provider, m.model, m.feature_code) <= {_UNTIL}
""")

_PERIOD = "CAST(date_trunc(:by, CAST(m.period_start AS timestamp)) AS date)"
MEASURES_OF_HOLDERS = text(f"""
    SELECT {_PERIOD} AS period_start, m.provider, m.model, m.feature_code, m.measure, m.currency, trim_scale(sum(m.total)) AS total
      FROM accounts a
      JOIN usage_measures m ON m.mandate_id = a.mandate_id AND m.account_id = a.id
     WHERE a.mandate_id = :mandate_id AND a.user_id = coalesce(:user_id, a.user_id)
       AND m.period_type = :period_type AND m.period_start BETWEEN greatest(:first, CAST(:after_start AS date)) AND :last
     GROUP BY 1, 2, 3, 4, 5, 6
    HAVING ({_PERIOD}, m.provider, m.model, m.feature_code) > {_AFTER} AND ({_PERIOD}, m.provider, m.model, m.feature_code) <= {_UNTIL}
""")

AS_OF = text("SELECT least(now(), min(b.committed_at)) FROM rollup_pending p JOIN batches b ON b.id = p.batch_id")

# Usage is recorded after it happened, by clocks that don't differ by days: older partitions needn't be looked into.
_SINCE = "t.account_id = :account_id AND t.recorded_at >= CAST(:first AS date) - 7"

COMPUTED = text(f"""
    SELECT coalesce(provider, 'unknown') AS provider, coalesce(model, 'unknown') AS model, coalesce(feature_code, 'unknown') AS feature_code,
           sum(event) AS event_count, sum(cost) AS cost
      FROM (SELECT t.provider, t.model, t.feature_code, CASE t.reference_type WHEN '{USAGE.reference_type}' THEN 1 ELSE 0 END AS event,
                   t.amount AS cost
              FROM transactions t
             WHERE {_SINCE} AND {is_of(COSTS)}
               AND t.local_date BETWEEN :first AND :last
            UNION ALL
            SELECT o.provider, o.model, o.feature_code, 0, -t.amount
              FROM transactions t
             CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = t.reverses_id OFFSET 0) AS o
             WHERE {_SINCE} AND {is_of([REVERSAL])}
               AND o.local_date BETWEEN :first AND :last) AS entries
     GROUP BY 1, 2, 3
""")

_MEASURED_IN_DAYS = f"{{0}}.local_date BETWEEN :first AND :last AND {IS_MEASURED}"
COMPUTED_MEASURES = text(f"""
    SELECT m.measure, m.currency, trim_scale(sum(m.total)) AS total
      FROM (SELECT {measures("t")} AS measures FROM transactions t WHERE {_SINCE} AND {is_of(COSTS)} AND {_MEASURED_IN_DAYS.format("t")}
            UNION ALL
            SELECT {measures_taken_back("o")}
              FROM transactions t
             CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = t.reverses_id OFFSET 0) AS o
             WHERE {_SINCE} AND {is_of([REVERSAL])} AND {_MEASURED_IN_DAYS.format("o")}) AS entries
     CROSS JOIN LATERAL ({taken_apart("entries.measures")}) AS m
     GROUP BY m.measure, m.currency
""")
