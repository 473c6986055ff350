"""SQL that shows usage statistics: as they are stored, or added up from the transactions themselves."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.domain.kinds import COSTS, REVERSAL, USAGE
from core.domain.periods import PeriodType
from core.storage.entry_kinds import is_of

_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_SUMS = ("event_count", "cost", "billed_cost", "refunded", *_TOKENS)

_AFTER = """
    (coalesce(CAST(:after_start AS date), '-infinity'), CAST(:after_provider AS text), CAST(:after_model AS text), CAST(:after_feature AS text))
"""

_OF_ACCOUNT = text(f"""
    SELECT s.period_start, s.provider, s.model, s.feature_code, {", ".join(f"s.{name}" for name in _SUMS)}
      FROM usage_statistics s
     WHERE s.mandate_id = (SELECT mandate_id FROM accounts WHERE id = :account_id) AND s.account_id = :account_id
       AND s.period_type = :period_type AND s.period_start BETWEEN :first AND :last
       AND (s.period_start, s.provider, s.model, s.feature_code) > {_AFTER}
     ORDER BY s.period_start, s.provider, s.model, s.feature_code LIMIT CAST(:limit AS bigint)
""")

# By account, since the key of the statistics goes on with the account after the mandate.
_OF_HOLDERS = text(f"""
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

_AS_OF = text("SELECT least(now(), min(b.committed_at)) FROM rollup_pending p JOIN batches b ON b.id = p.batch_id")

# Usage is recorded after it happened, by clocks that don't differ by days: older partitions needn't be looked into.
_SINCE = "t.account_id = :account_id AND t.recorded_at >= CAST(:first AS date) - 7"

_COMPUTED = text(f"""
    SELECT coalesce(provider, 'unknown'), coalesce(model, 'unknown'), coalesce(feature_code, 'unknown'), sum(event), sum(cost)
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


class StatisticsPage(NamedTuple):
    """So many rows, None: all, after the row with this period, provider, model and feature."""

    limit: int | None = None
    after: tuple[date, str, str, str] | None = None

    def parameters(self) -> dict[str, object]:
        """As the queries take them."""
        names = ("after_start", "after_provider", "after_model", "after_feature")
        return {"limit": self.limit} | dict(zip(names, self.after or (None, "", "", ""), strict=True))


@dataclass(frozen=True, slots=True)
class UsageStatistic:
    """Usage of one period by provider, model and feature (`unknown` where the events didn't say); amounts in CHF, tokens summed."""

    period_start: date
    provider: str
    model: str
    feature_code: str
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    refunded: Decimal
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class CostGroup:
    """Usage events of one provider, model and feature, and their cost in CHF."""

    provider: str
    model: str
    feature_code: str
    event_count: int
    cost: Decimal


def list_statistics_of_account(
    connection: Connection, account_id: int, period_type: PeriodType, first: date, last: date, page: StatisticsPage
) -> list[UsageStatistic]:
    """The account's stored rows of the periods that begin from `first` to `last`, ascending."""
    parameters = {"account_id": account_id, "period_type": period_type.value, "first": first, "last": last, **page.parameters()}
    return [_statistic(*row) for row in connection.execute(_OF_ACCOUNT, parameters)]


def list_statistics_of_holders(
    connection: Connection, mandate_id: str, user_id: str | None, by: PeriodType, stored: PeriodType, first: date, last: date, page: StatisticsPage
) -> list[UsageStatistic]:
    """The stored rows of the mandate's users, or of one, that begin from `first` to `last`, added up to periods of `by`, ascending."""
    days = {"by": by.value.lower(), "period_type": stored.value, "first": first, "last": last}
    parameters = {"mandate_id": mandate_id, "user_id": user_id, **days, **page.parameters()}
    return [_statistic(*row) for row in connection.execute(_OF_HOLDERS, parameters)]


def statistics_as_of(connection: Connection) -> datetime:
    """Up to when everything that was recorded is in the statistics."""
    moment: datetime = connection.execute(_AS_OF).scalar_one()
    return moment


def compute_costs(connection: Connection, account_id: int, first: date, last: date) -> list[CostGroup]:
    """What the transactions about the account on these local days, both included, come to, with their amendments."""
    parameters = {"account_id": account_id, "first": first, "last": last}
    rows = connection.execute(_COMPUTED, parameters)
    return [CostGroup(provider, model, feature_code, int(events), cost) for provider, model, feature_code, events, cost in rows]


def _statistic(
    period_start: date,
    provider: str,
    model: str,
    feature_code: str,
    event_count: int,
    cost: Decimal,
    billed: Decimal,
    refunded: Decimal,
    *tokens: int,
) -> UsageStatistic:
    return UsageStatistic(period_start, provider, model, feature_code, int(event_count), cost, billed, refunded, *map(int, tokens))
