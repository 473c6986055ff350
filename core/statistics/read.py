"""Usage statistics, for reading: as the rollup stores them, or computed from the transactions of any days.

The two agree as far as the rollup has come. Days are the local days of the transactions; refunds stand beside the cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection, TextClause

from core.asking.paging import Limit
from core.asking.request import Day, RowId
from core.asking.view import member, view
from core.database.rows import rows
from core.directory.read import require_known
from core.directory.sql.members import find_member
from core.errors import NotFound, RequestRefused
from core.events.contract import Id, Label
from core.events.model import TOKEN_KINDS, TokenColumns
from core.ledger.read_accounts import of_account
from core.ledger.sql.shown_accounts import find_account_of
from core.money import ZERO
from core.periods import PeriodType, days_of
from core.printable import shown
from core.statistics.measures import Measure, measured
from core.statistics.sql import shown as sql

Year = Annotated[int, Field(strict=True, ge=1, le=9999)]
MonthNumber = Annotated[int, Field(strict=True, ge=1, le=12)]
StatisticKey = tuple[Day, Label, Label, Label]  # period_start, provider, model and feature_code of the last row already seen


@dataclass(frozen=True, slots=True)
class _UsageCosts:
    """A row of the statistics without its tokens."""

    period_start: date
    provider: str
    model: str
    feature_code: str
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    refunded: Decimal


@dataclass(frozen=True, slots=True)
class UsageStatistic(TokenColumns[int], _UsageCosts):
    """Usage of one period by provider, model and feature (`unknown` where the events didn't say); amounts in CHF, tokens summed.

    The tokens are as producers counted them. `leaves` is what was used by class, of events that told their usage object, and
    `provider_cost` what the provider charges for it by currency, which root alone is shown.
    """

    leaves: dict[str, int] = field(default_factory=dict)
    provider_cost: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _CostGroup:
    """Usage events of one provider, model and feature, and their cost in CHF."""

    provider: str
    model: str
    feature_code: str
    event_count: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class ComputedStatistics:
    """What the usage of some days comes to; amounts in CHF, refunds not taken off. `leaves` and `provider_cost` as of a `UsageStatistic`."""

    total_cost_chf: Decimal
    transaction_count: int
    cost_by_provider: dict[str, Decimal]
    cost_by_model: dict[str, Decimal]
    cost_by_feature: dict[str, Decimal]
    leaves: dict[str, int] = field(default_factory=dict)
    provider_cost: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Stored statistics of a mandate, or of one user in it; what was recorded until `as_of` is in them."""

    mandate_id: str
    user_id: str | None
    period_type: PeriodType
    first: date
    last: date
    as_of: datetime
    rows: list[UsageStatistic]


def _without_costs(found: list[UsageStatistic]) -> list[UsageStatistic]:
    return [replace(one, provider_cost={}) for one in found]


@view("view.statistics_of_account", sees=of_account, without=_without_costs)
def statistics_of_account(
    connection: Connection,
    account_id: RowId,
    period_type: PeriodType,
    year: Year,
    month: MonthNumber | None = None,
    *,
    limit: Limit | None = None,
    after: StatisticKey | None = None,
) -> list[UsageStatistic]:
    """The statistics stored for usage about the account, of a year or (DAY only) of one of its months, ascending by period.

    All of them, or the first `limit` after the row with this key.

    Raises:
        RequestRefused: there is no such year or month, or a month is asked of other rows than days.
    """
    if month is not None and period_type is not PeriodType.DAY:
        raise RequestRefused(f"only days are of a month (got {month} and {period_type})", field="month", value=month)
    first, last = days_in(year, month)
    asked = {"account_id": account_id, "period_type": period_type.value, "first": first, "last": last, **_after(after)}
    found = rows(connection, _statistic, sql.OF_ACCOUNT, **asked, limit=limit)
    return _with_measures(connection, found, sql.MEASURES_OF_ACCOUNT, asked)


@view("view.computed_statistics", sees=of_account, without=lambda found: replace(found, provider_cost={}))
def computed_statistics(connection: Connection, account_id: RowId, first: Day, last: Day) -> ComputedStatistics:
    """What the transactions about the account on the local days from `first` to `last`, both included, come to at this moment."""
    asked = {"account_id": account_id, "first": first, "last": last}
    groups = rows(connection, _CostGroup, sql.COMPUTED, **asked)
    used = measured(rows(connection, Measure, sql.COMPUTED_MEASURES, **asked))
    return ComputedStatistics(
        sum((group.cost for group in groups), ZERO),
        sum(group.event_count for group in groups),
        summed((group.provider, group.cost) for group in groups),
        summed((group.model, group.cost) for group in groups),
        summed((group.feature_code, group.cost) for group in groups),
        used.leaves,
        used.provider_cost,
    )


@view("view.statistics_of", sees=member("read the statistics"), without=lambda found: replace(found, rows=_without_costs(found.rows)))
def statistics_of(
    connection: Connection,
    mandate_id: Id,
    user_id: Id | None,
    by: PeriodType,
    first: Day,
    last: Day,
    *,
    limit: Limit | None = None,
    after: StatisticKey | None = None,
) -> Statistics:
    """The statistics stored for the mandate's usage, or one user's, on the local days from `first` to `last`, both included.

    A month or year that lies in that range in part counts in part. All rows, or the first `limit` after the one with this key.

    Raises:
        NotFound: there is no such mandate, or the user has no account in it and is no enabled member.
    """
    whole = by is not PeriodType.DAY and first == by.start(first) and _ends(by, last)
    asked: dict[str, object] = {"by": by.value.lower(), "period_type": (by if whole else PeriodType.DAY).value, "first": first, "last": last}
    asked |= {"mandate_id": mandate_id, "user_id": user_id, **_after(after)}
    found = rows(connection, _statistic, sql.OF_HOLDERS, **asked, limit=limit)
    found = _with_measures(connection, found, sql.MEASURES_OF_HOLDERS, asked)
    as_of = statistics_as_of(connection)
    if not found:
        require_known(connection, [mandate_id])
        if user_id is not None and not _is_there(connection, mandate_id, user_id):
            raise NotFound(f"mandate {shown(mandate_id)} has no account of user {shown(user_id)}")
    return Statistics(mandate_id, user_id, by, first, last, as_of, found)


def statistics_as_of(connection: Connection) -> datetime:
    """Up to when everything that was recorded is in the statistics."""
    moment: datetime = connection.execute(sql.AS_OF).scalar_one()
    return moment


def days_in(year: int, month: int | None = None) -> tuple[date, date]:
    """The first and the last day of the year, or of its month.

    Raises:
        RequestRefused: there is no such year or month.
    """
    try:
        return days_of(year, month)
    except ValueError:
        field, value = ("month", month) if 1 <= year <= date.max.year else ("year", year)
        raise RequestRefused(f"{field}: there is none such (got {value})") from None


def summed(costs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """The sum of the amounts (CHF) under each name, by name."""
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for name, cost in costs:
        sums[name] += cost
    return dict(sorted(sums.items()))


def _statistic(**columns: Any) -> UsageStatistic:
    """As the row has it; sums of whole numbers come as decimals."""
    return UsageStatistic(**columns | {name: int(columns[name]) for name in ("event_count", *TOKEN_KINDS)})


def _with_measures(connection: Connection, found: list[UsageStatistic], statement: TextClause, asked: Mapping[str, object]) -> list[UsageStatistic]:
    """The same rows with what they measure."""
    if not found:
        return found
    until = dict(zip(("until_start", "until_provider", "until_model", "until_feature"), _key_of(found[-1]), strict=True))
    totals: dict[tuple[object, ...], list[Measure]] = defaultdict(list)
    for *key, measure, currency, total in connection.execute(statement, {**asked, **until}):
        totals[tuple(key)].append(Measure(measure, currency, total))
    if not totals:
        return found
    return [replace(row, leaves=used.leaves, provider_cost=used.provider_cost) for row in found for used in [measured(totals.get(_key_of(row), ()))]]


def _key_of(row: UsageStatistic) -> tuple[object, ...]:
    return row.period_start, row.provider, row.model, row.feature_code


def _after(after: StatisticKey | None) -> dict[str, object]:
    return dict(zip(("after_start", "after_provider", "after_model", "after_feature"), after or (None, "", "", ""), strict=True))


def _is_there(connection: Connection, mandate_id: str, user_id: str) -> bool:
    """Whether the user has an account in the mandate, or may get one as its enabled member."""
    return find_account_of(connection, mandate_id, user_id) is not None or find_member(connection, mandate_id, user_id) is not None


def _ends(by: PeriodType, last: date) -> bool:
    """Whether a period ends with this day."""
    return last == date.max or by.start(date.fromordinal(last.toordinal() + 1)) > last
