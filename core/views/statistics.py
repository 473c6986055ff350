"""Usage statistics, for reading: as the rollup stores them, or computed from the transactions of any days.

The two agree as far as the rollup has come. Days are the local days of the transactions; refunds stand beside the cost.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.money import ZERO
from core.domain.periods import PeriodType, days_of
from core.domain.rejection import shown
from core.domain.rights import Actor, require_member
from core.errors import NotFound, RequestRefused
from core.storage.database import Database
from core.storage.reading.accounts import find_account_of
from core.storage.reading.members import find_member
from core.storage.reading.statistics import (
    StatisticsPage,
    UsageStatistic,
    compute_costs,
    list_statistics_of_account,
    list_statistics_of_holders,
    statistics_as_of,
)
from core.views.accounts import readable_account
from core.views.mandates import require_known
from core.views.paging import check_days, check_page

StatisticKey = tuple[date, str, str, str]  # period_start, provider, model and feature_code of the last row already seen


@dataclass(frozen=True, slots=True)
class ComputedStatistics:
    """What the usage of some days comes to; amounts in CHF, refunds not taken off."""

    total_cost_chf: Decimal
    transaction_count: int
    cost_by_provider: dict[str, Decimal]
    cost_by_model: dict[str, Decimal]
    cost_by_feature: dict[str, Decimal]


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


def statistics_of_account(
    database: Database,
    actor: Actor,
    account_id: int,
    period_type: PeriodType,
    year: int,
    month: int | None = None,
    *,
    limit: int | None = None,
    after: StatisticKey | None = None,
) -> list[UsageStatistic]:
    """The statistics stored for usage about the account, of a year or (DAY only) of one of its months, ascending by period.

    All of them, or the first `limit` after the row with this key.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: there is no such account.
        RequestRefused: there is no such year or month, a month is asked of other rows than days, or the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    if month is not None and period_type is not PeriodType.DAY:
        raise RequestRefused(f"month: only days are of a month (got {month} and {period_type})")
    first, last = days_in(year, month)
    page = _page(limit, after)
    with database.snapshot() as connection:
        readable_account(connection, actor, account_id)
        return list_statistics_of_account(connection, account_id, period_type, first, last, page)


def computed_statistics(database: Database, actor: Actor, account_id: int, first: date, last: date) -> ComputedStatistics:
    """What the transactions about the account on the local days from `first` to `last`, both included, come to at this moment.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: there is no such account.
        RequestRefused: `last` is before `first`.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_days(first, last)
    with database.snapshot() as connection:
        readable_account(connection, actor, account_id)
        groups = compute_costs(connection, account_id, first, last)
    return ComputedStatistics(
        sum((group.cost for group in groups), ZERO),
        sum(group.event_count for group in groups),
        summed((group.provider, group.cost) for group in groups),
        summed((group.model, group.cost) for group in groups),
        summed((group.feature_code, group.cost) for group in groups),
    )


def statistics_of(
    database: Database,
    actor: Actor,
    mandate_id: str,
    user_id: str | None,
    by: PeriodType,
    first: date,
    last: date,
    *,
    limit: int | None = None,
    after: StatisticKey | None = None,
) -> Statistics:
    """The statistics stored for the mandate's usage, or one user's, on the local days from `first` to `last`, both included.

    A month or year that lies in that range in part counts in part. All rows, or the first `limit` after the one with this key.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: there is no such mandate, or the user has no account in it and is no enabled member.
        RequestRefused: `last` is before `first`, or the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_days(first, last)
    require_member(actor, mandate_id, user_id, "read the statistics")
    page = _page(limit, after)
    whole = by is not PeriodType.DAY and first == by.start(first) and _ends(by, last)
    with database.snapshot() as connection:
        rows = list_statistics_of_holders(connection, mandate_id, user_id, by, by if whole else PeriodType.DAY, first, last, page)
        as_of = statistics_as_of(connection)
        if not rows:
            require_known(connection, [mandate_id])
            if user_id is not None and not _is_there(connection, mandate_id, user_id):
                raise NotFound(f"mandate {shown(mandate_id)} has no account of user {shown(user_id)}")
    return Statistics(mandate_id, user_id, by, first, last, as_of, rows)


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


def _page(limit: int | None, after: StatisticKey | None) -> StatisticsPage:
    if limit is not None:
        check_page(limit)
    return StatisticsPage(limit, after)


def _is_there(connection: Connection, mandate_id: str, user_id: str) -> bool:
    """Whether the user has an account in the mandate, or may get one as its enabled member."""
    return find_account_of(connection, mandate_id, user_id) is not None or find_member(connection, mandate_id, user_id) is not None


def _ends(by: PeriodType, last: date) -> bool:
    """Whether a period ends with this day."""
    return last == date.max or by.start(date.fromordinal(last.toordinal() + 1)) > last
