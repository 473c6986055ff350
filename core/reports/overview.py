"""The usage of some days at a glance: what was used, what it cost, what providers charge, by day, mandate, model, feature and user.

It is read from the stored statistics, so its cost is that of the users' days (or months) in it, not of the events; what waits for the
rollup isn't in it yet.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection

from core.asking.paging import Limit
from core.asking.request import Day
from core.asking.view import view
from core.billing import CapAction, CapDimension, CapPeriod
from core.database.database import allow_time
from core.database.rows import rows
from core.directory.read import Mandates, mandates
from core.errors import RequestRefused
from core.money import ZERO
from core.periods import PeriodType
from core.reports.sql import overview as sql
from core.statistics.read import statistics_as_of

TOP = 10
DAYS_MAX = 92  # a longer time is shown by month
DAYS_AT_ONCE_MAX = 3_660
CAP_ALERTS_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Sums:
    """Usage of one thing; amounts in CHF, what providers charge by currency (root alone is shown it)."""

    event_count: int
    cost: Decimal
    billed_cost: Decimal
    refunded: Decimal
    provider_cost: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class PeriodSums:
    """The usage of one day or month, by its first day."""

    start: date
    sums: Sums


@dataclass(frozen=True, slots=True)
class Share:
    """What one mandate, model, feature or user used, by name and what tells it from others; or (`others`) what so many others used together."""

    name: str
    note: str
    others: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class FullCap:
    """The present window of a cap of which at least half is spent; CHF. Without a user it is everybody's."""

    cap_id: int
    mandate_id: str
    mandate_name: str
    user_id: str | None
    dimension: CapDimension | None
    value: str | None
    period: CapPeriod
    action: CapAction
    limit_chf: Decimal
    spent: Decimal


@dataclass(frozen=True, slots=True)
class Overview:
    """The usage of the local days from `first` to `last`, both included; what was recorded until `as_of` is in it.

    `by_period` has every day, or (`period_type`) every month; the others the dearest first, and what there is
    beyond the first few as one last row. `caps` are the fullest.
    """

    first: date
    last: date
    period_type: PeriodType
    as_of: datetime
    total: Sums
    by_period: list[PeriodSums]
    by_mandate: list[Share]
    by_model: list[Share]
    by_feature: list[Share]
    by_user: list[Share]
    caps: list[FullCap]


class _Found(NamedTuple):
    """One row: a way of adding up, and what of it."""

    way: str
    period: date | None
    mandate_id: str | None
    mandate_name: str | None
    account_id: int | None
    user_id: str | None
    user_name: str | None
    provider: str | None
    model: str | None
    feature_code: str | None
    is_other: bool
    number: int
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    refunded: Decimal

    @property
    def key(self) -> "_Key":
        return self.way, self.period, self.mandate_id, self.account_id, self.provider, self.model, self.feature_code


_Key = tuple[object, ...]
_Costs = Mapping[_Key, dict[str, Decimal]]
_NOTHING = Sums(0, ZERO, ZERO, ZERO, {})


def _without_costs(found: Overview) -> Overview:
    def bare(sums: Sums) -> Sums:
        return replace(sums, provider_cost={})

    def bare_of(shares: list[Share]) -> list[Share]:
        return [replace(one, sums=bare(one.sums)) for one in shares]

    return replace(
        found,
        total=bare(found.total),
        by_period=[PeriodSums(one.start, bare(one.sums)) for one in found.by_period],
        by_mandate=bare_of(found.by_mandate),
        by_model=bare_of(found.by_model),
        by_feature=bare_of(found.by_feature),
        by_user=bare_of(found.by_user),
    )


@view(None, sees=mandates("report the usage"), without=_without_costs)
def overview(connection: Connection, mandate_ids: Mandates = None, *, first: Day, last: Day, limit: Limit = TOP) -> Overview:
    """The usage of these mandates, or of all that the actor may see; of each list the first `limit`, and the others together.

    It takes as long as it takes: seconds, where there are hundreds of thousands of users.

    Raises:
        RequestRefused: the days are more than ten years, or of the year 9999.
    """
    if (last - first).days > DAYS_AT_ONCE_MAX or last.year == date.max.year:
        raise RequestRefused(f"the days from {first} to {last} are too many, or too far ahead", field="to", value=last)
    allow_time(connection)
    connection.execute(sql.PREPARE)
    by = PeriodType.DAY if (last - first).days < DAYS_MAX else PeriodType.MONTH
    named = None if mandate_ids is None else list(mandate_ids)
    asked: dict[str, object] = {"mandate_ids": named, "by": by.value.lower(), **_pieces(by, first, last)}
    found = rows(connection, _Found, sql.USED, **asked, top=limit)
    costs = _provider_costs(connection, asked, found)
    totals = [one for one in found if one.way == "all"]
    total = _sums(totals[0], costs) if totals else _NOTHING
    periods = {one.period: _sums(one, costs) for one in found if one.way == "period" and one.period is not None}
    return Overview(
        first,
        last,
        by,
        statistics_as_of(connection),
        total,
        [PeriodSums(start, periods.get(start, _NOTHING)) for start in _starts(by, first, last)],
        _shares("mandate", found, costs, total),
        _shares("model", found, costs, total),
        _shares("feature", found, costs, total),
        _shares("user", found, costs, total),
        rows(connection, FullCap, sql.FULLEST_CAPS, mandate_ids=named, top=limit, looked_at=CAP_ALERTS_LOOKED_AT),
    )


def _pieces(by: PeriodType, first: date, last: date) -> dict[str, object]:
    """Which stored rows make up the days: all by day, or whole months by month, and the days before and after these by day."""
    pieces = [(PeriodType.DAY, first, last)]
    if by is PeriodType.MONTH:
        whole_first = first if first.day == 1 else _next_month(first)
        whole_end = (last + timedelta(days=1)).replace(day=1)
        pieces = [(PeriodType.MONTH, whole_first, whole_end - timedelta(days=1))]
        pieces += [(PeriodType.DAY, first, whole_first - timedelta(days=1)), (PeriodType.DAY, whole_end, last)]
    pieces = [piece for piece in pieces if piece[1] <= piece[2]]
    types, firsts, lasts = zip(*pieces, strict=True)
    return {"period_types": [one.value for one in types], "firsts": list(firsts), "lasts": list(lasts)}


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _starts(by: PeriodType, first: date, last: date) -> list[date]:
    """The first day of every period that has one of the days."""
    starts, start = [], by.start(first)
    while start <= last:
        starts.append(start)
        start = start + timedelta(days=1) if by is PeriodType.DAY else _next_month(start)
    return starts


def _provider_costs(connection: Connection, asked: Mapping[str, object], found: Sequence[_Found]) -> _Costs:
    """What providers charge for what was found, by its key."""
    models = [(one.provider, one.model) for one in found if one.way == "model" and one.provider is not None]
    shown = {
        "account_ids": [one.account_id for one in found if one.account_id is not None],
        "top_mandates": [one.mandate_id for one in found if one.way == "mandate" and one.mandate_id is not None],
        "providers": [provider for provider, _ in models],
        "models": [model for _, model in models],
        "features": [one.feature_code for one in found if one.feature_code is not None],
    }
    costs: dict[_Key, dict[str, Decimal]] = defaultdict(dict)
    for way, period, mandate_id, account_id, provider, model, feature, currency, total in connection.execute(sql.COSTS, {**asked, **shown}):
        if total:
            costs[way, period, mandate_id, account_id, provider, model, feature][currency] = total
    return costs


def _sums(found: _Found, costs: _Costs) -> Sums:
    return Sums(found.event_count, found.cost, found.billed_cost, found.refunded, costs.get(found.key, {}))


def _shares(way: str, found: Sequence[_Found], costs: _Costs, total: Sums) -> list[Share]:
    shares = [Share(*_name(way, one), one.number if one.is_other else 0, _sums(one, costs)) for one in found if one.way == way]
    if not shares or not shares[-1].others:
        return shares
    named = [one.sums.provider_cost for one in shares[:-1]]
    rest = {currency: cost - sum((one.get(currency, ZERO) for one in named), ZERO) for currency, cost in total.provider_cost.items()}
    others = replace(shares[-1].sums, provider_cost={currency: cost for currency, cost in rest.items() if cost})
    return [*shares[:-1], replace(shares[-1], sums=others)]


def _name(way: str, one: _Found) -> tuple[str, str]:
    """What a row is called, and what tells it apart; the sum of others has no name."""
    names: dict[str, tuple[Any, Any]] = {
        "mandate": (one.mandate_name, one.mandate_id if one.mandate_name != one.mandate_id else ""),
        "model": (one.model, one.provider),
        "feature": (one.feature_code, ""),
        "user": (one.user_name, one.mandate_name),
    }
    name, note = names[way]
    return (name or "", note or "")
