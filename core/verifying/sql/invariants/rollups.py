"""The invariant of rollups: they are what the transactions say."""

from sqlalchemy import text

from core.events.model import TOKEN_KINDS
from core.ledger.kinds import CORRECTIONS, COSTS, REFUND, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.measured import HAS_ANY_OBJECT, IS_MEASURED
from core.verifying.sql.invariants.invariant import Invariant

SUMS = ("event_count", "cost", "billed_cost", "refunded", *TOKEN_KINDS)
_GROUP = ("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code")

# What rows of `booked` add up to.
BOOKED_SUMS = f"""
    sum(events) AS event_count, sum(cost) AS cost, coalesce(sum(cost) FILTER (WHERE billed), 0) AS billed_cost, sum(refunded) AS refunded,
    {", ".join(f"coalesce(sum(sign * {name}), 0) AS {name}" for name in TOKEN_KINDS)}
"""


def booked(until: str | None = None) -> str:
    """The table expression `booked`: what each entry from :since on, and before `until` (SQL), adds to the statistics.

    What a correction refers to decides the group: an amendment's reversal takes the old row's cost and tokens out of the old
    row's local day, and a refund stands beside the old row. The reversal's amount is what it gives back, the cost falls by it.
    """
    looked_at = "t.recorded_at >= :since" if until is None else f"t.recorded_at >= :since AND t.recorded_at < {until}"
    return f"""
    booked AS (
        SELECT t.mandate_id, t.account_id, t.local_date, t.provider, t.model, t.feature_code, t.batch_id,
               CASE t.reference_type WHEN '{USAGE.reference_type}' THEN 1 ELSE 0 END AS events, t.amount AS cost, 0 AS refunded,
               t.balance_account_id IS NOT NULL AS billed, 1 AS sign, {", ".join(f"t.{name}" for name in TOKEN_KINDS)}
          FROM transactions t
         WHERE {looked_at} AND {is_of(COSTS)}
        UNION ALL
        SELECT o.mandate_id, o.account_id, o.local_date, o.provider, o.model, o.feature_code, t.batch_id,
               0, CASE t.reference_type WHEN '{REVERSAL.reference_type}' THEN -t.amount ELSE 0 END,
               CASE t.reference_type WHEN '{REFUND.reference_type}' THEN t.amount ELSE 0 END,
               o.balance_account_id IS NOT NULL, CASE t.reference_type WHEN '{REVERSAL.reference_type}' THEN -1 ELSE 0 END,
               {", ".join(f"o.{name}" for name in TOKEN_KINDS)}
          FROM transactions t
          JOIN transactions o ON o.id = t.reverses_id
         WHERE {looked_at} AND {is_of(CORRECTIONS)}
           AND {is_of(COSTS, "o")}
    )"""


def _summed(rows: str, group: str) -> str:
    return f"SELECT {group}, {', '.join(f'sum({name}) AS {name}' for name in SUMS)} FROM {rows} GROUP BY {group}"


def _of(side: str) -> str:
    return ", ".join(f"coalesce({side}.{name}, 0)" for name in SUMS)


def _shown(side: str) -> str:
    tokens = ", ".join(f"{side}.{name}" for name in TOKEN_KINDS)
    return ", ".join([*(f"coalesce({side}.{name}, 0)" for name in SUMS[:4]), f"concat_ws('/', {tokens})"])


def _detail(source: str) -> str:
    return f"""
    format('statistics have %s events, %s CHF, %s CHF billed, %s CHF refunded, %s tokens; {source} give %s, %s, %s, %s, %s',
           {_shown("s")}, {_shown("e")}) AS detail"""


_DIFFER = f"({_of('s')}) IS DISTINCT FROM ({_of('e')})"
_SUBJECT = """
    format('%s %s of account %s, provider %s, model %s, feature %s', coalesce(s.period_type, e.period_type),
           coalesce(s.period_start, e.period_start), coalesce(s.account_id, e.account_id), coalesce(s.provider, e.provider),
           coalesce(s.model, e.model), coalesce(s.feature_code, e.feature_code)) AS subject
"""
_SAME_GROUP = " AND ".join(f"s.{name} = e.{name}" for name in _GROUP)

# Every entry of a local day was recorded after this time of the day before: days begin up to 14 hours before they do in UTC, and
# an event may be some minutes ahead of its time. So of days and longer periods that began from here on, no entry is missing.
_WHOLE_FROM = "CAST(CAST(:since AS timestamptz) AT TIME ZONE 'UTC' + interval '18 hours' AS date) + 1"
_IS_PART = "CAST(:since AS timestamptz) > '-infinity'"

_PERIODS = """
    (VALUES ('DAY', local_date), ('MONTH', CAST(date_trunc('month', CAST(local_date AS timestamp)) AS date)),
            ('YEAR', CAST(date_trunc('year', CAST(local_date AS timestamp)) AS date))) AS p(period_type, period_start)
"""

# (IS NOT TRUE has each batch looked up in a hash table: a planner without statistics would join row by row.)
# What of the statistics differs from the transactions: of the periods that lie wholly in what is looked at, each group; of the
# older ones the totals by account, with the sums of the checkpoint, and that months and years are the sums of their days.
DIFFERENCES = f"""
    WITH {booked()}, days AS (
        SELECT mandate_id, account_id, local_date, coalesce(provider, 'unknown') COLLATE "C" AS provider,
               coalesce(model, 'unknown') COLLATE "C" AS model, coalesce(feature_code, 'unknown') COLLATE "C" AS feature_code, {BOOKED_SUMS}
          FROM booked
         WHERE (batch_id IN (SELECT batch_id FROM rollup_pending)) IS NOT TRUE
         GROUP BY mandate_id, account_id, local_date, 4, 5, 6
    ), expected AS (
        {_summed(f"days CROSS JOIN LATERAL {_PERIODS} WHERE p.period_start >= {_WHOLE_FROM}", ", ".join(_GROUP))}
    ), totals AS (
        {
    _summed(
        f"(SELECT account_id, {', '.join(SUMS)} FROM reconcile_sums UNION ALL SELECT account_id, {', '.join(SUMS)} FROM days) AS parts", "account_id"
    )
}
    ), stored AS (
        {_summed("usage_statistics WHERE period_type = 'DAY'", "account_id")}
    ), added_up AS (
        {
    _summed(
        f'''(SELECT mandate_id, account_id, period_start AS local_date, provider, model, feature_code, {', '.join(SUMS)}
                        FROM usage_statistics WHERE period_type = 'DAY') AS stored_days
                     CROSS JOIN LATERAL {_PERIODS} WHERE p.period_type <> 'DAY' AND p.period_start < {_WHOLE_FROM}''',
        ", ".join(_GROUP),
    )
}
    )
    SELECT coalesce(s.mandate_id, e.mandate_id) AS mandate_id, {_SUBJECT}, {_detail("transactions")}
      FROM (SELECT * FROM usage_statistics WHERE period_start >= {_WHOLE_FROM}) AS s FULL JOIN expected e ON {_SAME_GROUP}
     WHERE {_DIFFER}
    UNION ALL
    SELECT a.mandate_id, format('all days of account %s', coalesce(s.account_id, e.account_id)), {_detail("transactions")}
      FROM stored s FULL JOIN totals e ON e.account_id = s.account_id
      LEFT JOIN accounts a ON a.id = coalesce(s.account_id, e.account_id)
     WHERE {_IS_PART} AND {_DIFFER}
    UNION ALL
    SELECT coalesce(s.mandate_id, e.mandate_id), {_SUBJECT}, {_detail("its days")}
      FROM (SELECT * FROM usage_statistics WHERE period_type <> 'DAY' AND period_start < {_WHOLE_FROM}) AS s
      FULL JOIN added_up e ON {_SAME_GROUP}
     WHERE {_IS_PART} AND {_DIFFER}
"""


_MEASURED_GROUP = (*_GROUP, "measure", "currency")
_MEASURED_SUBJECT = """
    format('%s of %s %s of account %s, provider %s, model %s, feature %s', concat_ws(' ', measure, nullif(currency, '')), period_type,
           period_start, account_id, provider, model, feature_code) AS subject
"""
_MEASURED_DETAIL = "format('measures have %s, {} give %s', coalesce(s.total, 0), coalesce(e.total, 0)) AS detail"

# What a row of `measured` says, taken apart.
_EACH_MEASURE = """
    (SELECT split_part(leaf, '=', 1) AS measure, '' AS currency, CAST(split_part(leaf, '=', 2) AS numeric) AS amount
       FROM string_to_table(leaves, ',') AS leaf
      UNION ALL
     SELECT 'provider_cost', provider_currency, provider_cost WHERE provider_cost IS NOT NULL)
"""


def _measured(until: str | None = None) -> str:
    """The table expression `measured`: as `booked`, what was used and what it cost at the provider of the entries that say so."""
    looked_at = f"{HAS_ANY_OBJECT} AND t.recorded_at >= :since" + ("" if until is None else f" AND t.recorded_at < {until}")
    return f"""
    measured AS (
        SELECT t.mandate_id, t.account_id, t.local_date, t.provider, t.model, t.feature_code, t.batch_id, 1 AS sign, t.leaves, t.provider_cost,
               t.provider_currency
          FROM transactions t
         WHERE {looked_at} AND {IS_MEASURED.format("t")} AND {is_of(COSTS)}
        UNION ALL
        SELECT o.mandate_id, o.account_id, o.local_date, o.provider, o.model, o.feature_code, t.batch_id, -1, o.leaves, o.provider_cost,
               o.provider_currency
          FROM transactions t
          JOIN transactions o ON o.id = t.reverses_id
         WHERE {looked_at} AND {is_of([REVERSAL])} AND {IS_MEASURED.format("o")} AND {is_of(COSTS, "o")}
    )"""


def measured_sums(until: str) -> str:
    """A query for what each account's entries recorded from :since on and before `until` (SQL) measure, as the checkpoint keeps it."""
    return f"""
        WITH {_measured(until)}
        SELECT account_id, m.measure COLLATE "C" AS measure, m.currency COLLATE "C" AS currency, sum(sign * m.amount) AS total
          FROM measured CROSS JOIN LATERAL {_EACH_MEASURE} AS m GROUP BY 1, 2, 3
    """


# As `DIFFERENCES`: of the periods that lie wholly in what is looked at, each group; of the older ones the totals by account, with those of
# the checkpoint, and that months and years are the sums of their days.
MEASURE_DIFFERENCES = f"""
    WITH {_measured()}, days AS (
        SELECT mandate_id, account_id, local_date, coalesce(provider, 'unknown') COLLATE "C" AS provider,
               coalesce(model, 'unknown') COLLATE "C" AS model, coalesce(feature_code, 'unknown') COLLATE "C" AS feature_code,
               m.measure COLLATE "C" AS measure, m.currency COLLATE "C" AS currency, sum(sign * m.amount) AS total
          FROM measured CROSS JOIN LATERAL {_EACH_MEASURE} AS m
         WHERE (batch_id IN (SELECT batch_id FROM rollup_pending)) IS NOT TRUE
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ), totals AS (
        SELECT account_id, measure, currency, sum(total) AS total
          FROM (SELECT account_id, measure, currency, total FROM reconcile_measures
                UNION ALL
                SELECT account_id, measure, currency, total FROM days) AS parts GROUP BY 1, 2, 3
    ), stored AS (
        SELECT account_id, measure, currency, sum(total) AS total FROM usage_measures WHERE period_type = 'DAY' GROUP BY 1, 2, 3
    ), expected AS (
        SELECT {", ".join(_MEASURED_GROUP)}, sum(total) AS total
          FROM days CROSS JOIN LATERAL {_PERIODS} WHERE p.period_start >= {_WHOLE_FROM} GROUP BY {", ".join(_MEASURED_GROUP)}
    ), added_up AS (
        SELECT {", ".join(_MEASURED_GROUP)}, sum(total) AS total
          FROM (SELECT mandate_id, account_id, period_start AS local_date, provider, model, feature_code, measure, currency, total
                  FROM usage_measures WHERE period_type = 'DAY') AS stored_days
         CROSS JOIN LATERAL {_PERIODS} WHERE p.period_type <> 'DAY' AND p.period_start < {_WHOLE_FROM} GROUP BY {", ".join(_MEASURED_GROUP)}
    )
    SELECT mandate_id, {_MEASURED_SUBJECT}, {_MEASURED_DETAIL.format("transactions")}
      FROM (SELECT * FROM usage_measures WHERE period_start >= {_WHOLE_FROM}) AS s FULL JOIN expected e USING ({", ".join(_MEASURED_GROUP)})
     WHERE coalesce(s.total, 0) <> coalesce(e.total, 0)
    UNION ALL
    SELECT a.mandate_id, format('%s of all days of account %s', concat_ws(' ', measure, nullif(currency, '')), account_id),
           {_MEASURED_DETAIL.format("transactions")}
      FROM stored s FULL JOIN totals e USING (account_id, measure, currency)
      LEFT JOIN accounts a ON a.id = account_id
     WHERE {_IS_PART} AND coalesce(s.total, 0) <> coalesce(e.total, 0)
    UNION ALL
    SELECT mandate_id, {_MEASURED_SUBJECT}, {_MEASURED_DETAIL.format("its days")}
      FROM (SELECT * FROM usage_measures WHERE period_type <> 'DAY' AND period_start < {_WHOLE_FROM}) AS s
      FULL JOIN added_up e USING ({", ".join(_MEASURED_GROUP)})
     WHERE {_IS_PART} AND coalesce(s.total, 0) <> coalesce(e.total, 0)
"""

EVERY_DIFFERENCE = f"SELECT * FROM ({DIFFERENCES}) AS of_statistics UNION ALL SELECT * FROM ({MEASURE_DIFFERENCES}) AS of_measures"


def rollups_are_recomputable() -> Invariant:
    """I6. What the rollup has yet to see is left out; a row of nothing but zeros is as good as none.

    Days, months and years are each compared with the transactions, and so with each other. Looked at in part, what is pending must
    lie in that part: the checkpoint takes nothing in that isn't rolled up (core/verifying/sql/checkpoint.py).
    """
    return Invariant(
        "I6",
        "statistics by day, month and year are what the transactions of the batches rolled up so far give",
        text(f"SELECT subject, detail FROM ({EVERY_DIFFERENCE}) AS differences"),
    )
