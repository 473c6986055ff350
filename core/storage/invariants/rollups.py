"""The invariant of rollups: they are what the transactions say."""

from sqlalchemy import text

from core.storage.invariants.invariant import Invariant

# What a correction refers to decides the group: an amendment's reversal takes the old row's cost and tokens out of the old
# row's local day, and a refund stands beside the old row. The reversal's amount is what it gives back, the cost falls by it.
_BOOKED = """
    WITH booked AS (
        SELECT t.id, t.mandate_id, t.account_id, t.local_date, t.provider, t.model, t.feature_code, t.batch_id,
               CASE t.reference_type WHEN 'WORKFLOW' THEN 1 ELSE 0 END AS events, t.amount AS cost, 0 AS refunded,
               t.balance_account_id IS NOT NULL AS billed, 1 AS sign,
               t.input_tokens, t.output_tokens, t.cached_input_tokens, t.cache_write_tokens, t.reasoning_tokens
          FROM transactions t
         WHERE t.transaction_type = 'DEBIT' AND t.reference_type IN ('WORKFLOW', 'AMENDMENT')
        UNION ALL
        SELECT t.id, o.mandate_id, o.account_id, o.local_date, o.provider, o.model, o.feature_code, t.batch_id,
               0, CASE t.reference_type WHEN 'AMENDMENT' THEN -t.amount ELSE 0 END, CASE t.reference_type WHEN 'REFUND' THEN t.amount ELSE 0 END,
               o.balance_account_id IS NOT NULL, CASE t.reference_type WHEN 'AMENDMENT' THEN -1 ELSE 0 END,
               o.input_tokens, o.output_tokens, o.cached_input_tokens, o.cache_write_tokens, o.reasoning_tokens
          FROM transactions t
          JOIN transactions o ON o.id = t.reverses_id
         WHERE t.transaction_type = 'ADJUSTMENT' AND t.reference_type IN ('REFUND', 'AMENDMENT')
           AND o.transaction_type = 'DEBIT' AND o.reference_type IN ('WORKFLOW', 'AMENDMENT')
    ), expected AS (
        SELECT b.mandate_id, b.account_id, p.period_type, p.period_start, coalesce(b.provider, 'unknown') COLLATE "C" AS provider,
               coalesce(b.model, 'unknown') COLLATE "C" AS model, coalesce(b.feature_code, 'unknown') COLLATE "C" AS feature_code,
               sum(b.events) AS event_count, sum(b.cost) AS cost, coalesce(sum(b.cost) FILTER (WHERE b.billed), 0) AS billed_cost,
               sum(b.refunded) AS refunded, coalesce(sum(b.sign * b.input_tokens), 0) AS input_tokens,
               coalesce(sum(b.sign * b.output_tokens), 0) AS output_tokens, coalesce(sum(b.sign * b.cached_input_tokens), 0) AS cached_input_tokens,
               coalesce(sum(b.sign * b.cache_write_tokens), 0) AS cache_write_tokens,
               coalesce(sum(b.sign * b.reasoning_tokens), 0) AS reasoning_tokens
          FROM booked b
         CROSS JOIN LATERAL (VALUES ('DAY', b.local_date), ('MONTH', CAST(date_trunc('month', CAST(b.local_date AS timestamp)) AS date)),
                                    ('YEAR', CAST(date_trunc('year', CAST(b.local_date AS timestamp)) AS date))) AS p(period_type, period_start)
         WHERE NOT EXISTS (SELECT FROM rollup_pending r WHERE r.batch_id = b.batch_id)
         GROUP BY b.mandate_id, b.account_id, p.period_type, p.period_start, 5, 6, 7
    )
"""

_DIFFERENCES = """
    SELECT format('%s %s of account %s, provider %s, model %s, feature %s', coalesce(s.period_type, e.period_type),
                  coalesce(s.period_start, e.period_start), coalesce(s.account_id, e.account_id), coalesce(s.provider, e.provider),
                  coalesce(s.model, e.model), coalesce(s.feature_code, e.feature_code)) AS subject,
           format('statistics have %s events, %s CHF, %s CHF billed, %s CHF refunded, %s tokens; transactions give %s, %s, %s, %s, %s',
                  coalesce(s.event_count, 0), coalesce(s.cost, 0), coalesce(s.billed_cost, 0), coalesce(s.refunded, 0),
                  concat_ws('/', s.input_tokens, s.output_tokens, s.cached_input_tokens, s.cache_write_tokens, s.reasoning_tokens),
                  coalesce(e.event_count, 0), coalesce(e.cost, 0), coalesce(e.billed_cost, 0), coalesce(e.refunded, 0),
                  concat_ws('/', e.input_tokens, e.output_tokens, e.cached_input_tokens, e.cache_write_tokens, e.reasoning_tokens)) AS detail
      FROM usage_statistics s
      FULL JOIN expected e
        ON e.mandate_id = s.mandate_id AND e.account_id = s.account_id AND e.period_type = s.period_type AND e.period_start = s.period_start
       AND e.provider = s.provider AND e.model = s.model AND e.feature_code = s.feature_code
     WHERE (coalesce(s.event_count, 0), coalesce(s.cost, 0), coalesce(s.billed_cost, 0), coalesce(s.refunded, 0), coalesce(s.input_tokens, 0),
            coalesce(s.output_tokens, 0), coalesce(s.cached_input_tokens, 0), coalesce(s.cache_write_tokens, 0), coalesce(s.reasoning_tokens, 0))
        IS DISTINCT FROM
           (coalesce(e.event_count, 0), coalesce(e.cost, 0), coalesce(e.billed_cost, 0), coalesce(e.refunded, 0), coalesce(e.input_tokens, 0),
            coalesce(e.output_tokens, 0), coalesce(e.cached_input_tokens, 0), coalesce(e.cache_write_tokens, 0), coalesce(e.reasoning_tokens, 0))
"""


def rollups_are_recomputable() -> Invariant:
    """I6. What the rollup has yet to see is left out; a row of nothing but zeros is as good as none.

    Days, months and years are each compared with the transactions, and so with each other.
    """
    return Invariant(
        "I6", "statistics by day, month and year are what the transactions of the batches rolled up so far give", text(_BOOKED + _DIFFERENCES)
    )
