"""The statement of a mandate for one month: what its balances were before and after, what moved them, and what was used.

Everything goes by local days. An entry counts for the month in which its local day lies, whenever it was recorded; the reversal of
an amendment counts for the day of what it takes back. So opening + movements = closing to the last unit, and the closing balance
of a month is the opening balance of the next one, when both are asked as of the same moment. A month is never closed for good: a
later moment may know of more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from sqlalchemy import Connection

from core.asking.question import INSIDE_ONLY, Clock
from core.asking.request import Day, Moment
from core.asking.rights import Actor, require_root
from core.asking.view import Arguments, mandate, view
from core.billing import BillingModel
from core.database.database import allow_time
from core.database.rows import row, rows
from core.directory.read import without_settings
from core.errors import NotFound, RequestRefused
from core.events.contract import Id
from core.events.model import TOKEN_KINDS, TokenColumns
from core.ledger.kinds import LINES
from core.money import ZERO
from core.periods import days_of
from core.printable import shown
from core.reports.sql import statements as sql
from core.reports.sql.statements import Balances, HeldNow, Moved, Scope, StatedMandate, UsageSum
from core.reports.used_by_model import ModelMeasures, used_by_model
from core.settings.sql.shown import find_settings
from core.statistics.measures import added_up

_YEARS = range(1, 9999)  # the day after the last one must be a day that Python has


@dataclass(frozen=True, slots=True)
class BalanceMonth:
    """What a month did to a balance, in CHF; each movement with the sign that it has for the balance.

    `usage` is what was billed, as recorded; `amendments` is what corrections of it came to.
    """

    opening: Decimal
    top_ups: Decimal
    grants: Decimal
    refunds: Decimal
    adjustments: Decimal
    switches: Decimal
    amendments: Decimal
    usage: Decimal
    closing: Decimal


@dataclass(frozen=True, slots=True)
class _Costs:
    """How many usage events, what they cost in CHF, which part of that moved a balance and which none."""

    event_count: int
    cost: Decimal
    billed_cost: Decimal
    unbilled_cost: Decimal


@dataclass(frozen=True, slots=True)
class UsageFigures(TokenColumns[int], _Costs):
    """Usage events, as amended: their costs, and their tokens as the producers counted them.

    Whether cached or reasoning tokens are also among the input or output is the producers' business.
    """


@dataclass(frozen=True, slots=True)
class DayUsage(UsageFigures):
    """The usage of one local day."""

    day: date


@dataclass(frozen=True, slots=True)
class ModelUsage(UsageFigures):
    """The usage of one provider's model, `unknown` where events don't say."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class FeatureUsage(UsageFigures):
    """The usage of one feature, `unknown` where events don't say."""

    feature_code: str


@dataclass(frozen=True, slots=True)
class UserUsage(UsageFigures):
    """The usage of one user."""

    user_id: str
    user_name: str


@dataclass(frozen=True, slots=True)
class ModelSince:
    """A billing model and the first local day of the month under it; None where it held before the month."""

    billing_model: BillingModel
    since: date | None


@dataclass(frozen=True, slots=True)
class Statement:
    """A mandate's month, both days included, by all that was recorded before `as_of`; amounts in CHF.

    `total` is the pool and the users' accounts together. `unbilled_refunds` is what refunds gave back that moved no balance, since
    nobody had paid: it stands beside the cost. `late_event_count` events were recorded after the month had ended.
    Days ascend; models, features and users come dearest first. `ended`: by the mandate's clocks the month was over at `as_of`.
    `leaves` is what was used by class, of events that told their usage object, and `provider_cost` what providers charge for it by
    currency, None unless it was asked for; `measures_by_model` has both by model, those without a usage object left out.
    `held` stands beside the closing balance of the present month as of now; of any other month or moment it is None.
    """

    mandate_id: str
    mandate_name: str
    billing_address: dict[str, str]
    settings_version: int
    time_zone: str
    first: date
    last: date
    ended: bool
    as_of: datetime
    billing_models: list[ModelSince]
    total: BalanceMonth
    pool: BalanceMonth
    users: BalanceMonth
    usage: UsageFigures
    unbilled_refunds: Decimal
    late_event_count: int
    by_day: list[DayUsage]
    by_model: list[ModelUsage]
    by_feature: list[FeatureUsage]
    by_user: list[UserUsage]
    leaves: dict[str, int] = field(default_factory=dict)
    provider_cost: dict[str, Decimal] | None = None
    measures_by_model: list[ModelMeasures] = field(default_factory=list)
    held: HeldNow | None = None


class _Moves(NamedTuple):
    """What the month did to the pool and to the users' accounts, what refunds gave back beside them, and what is held now."""

    pool: BalanceMonth
    users: BalanceMonth
    unbilled_refunds: Decimal
    held: HeldNow


def _sees(actor: Actor, given: Arguments) -> Callable[[Connection], object] | None:
    if given["provider_cost"]:
        require_root(actor, "see what providers charge")
    return mandate("read the statement")(actor, given)


@view("view.statement", sees=_sees)
def statement(
    connection: Connection,
    mandate_id: Id,
    month: Day,
    as_of: Moment | None = None,
    *,
    provider_cost: bool = False,
    patient: Annotated[bool, INSIDE_ONLY] = False,
    clock: Clock = None,
) -> Statement:
    """What moved the mandate's balances and what it used on the local days of a month, at one moment.

    The same moment gives the same figures for ever; only of the seconds right before it something may still be on its way into
    the books. Names are those of today, and so is what is held, which stands on the statement of the present month as of now alone.

    Args:
        connection: to read with.
        mandate_id: whose.
        month: any day of it.
        as_of: only what was recorded before this moment (aware) counts; without one, or of one ahead, it is now.
        provider_cost: with what providers charge, which root alone may ask for.
        patient: whoever asks waits as long as it takes; without, each query ends after `TOLLBOOK_STATEMENT_TIMEOUT_SECONDS`.
        clock: the time by which holds end.

    Raises:
        NotFound: the mandate has no billing settings, or had none yet at that moment.
        RequestRefused: the year is 9999.
    """
    if month.year not in _YEARS:
        raise RequestRefused(f"{month.isoformat()[:7]} is too far ahead", field="month", value=month)
    first, last = days_of(month.year, month.month)
    if patient:
        allow_time(connection)
    stated = row(connection, StatedMandate, sql.MANDATE, mandate_id=mandate_id, first=first, last=last, as_of=as_of)
    if stated is None:
        if as_of is None or find_settings(connection, mandate_id) is None:
            raise without_settings(connection, mandate_id)
        raise NotFound(f"mandate {shown(mandate_id)} had no billing settings yet at {as_of.isoformat()}")
    scope = Scope(mandate_id, first, last, stated.as_of)
    models = [(BillingModel(version.billing_model), version.day) for version in connection.execute(sql.MODELS, scope._asdict())]
    connection.execute(sql.PREPARE)
    moves = _moves(connection, scope, clock)
    sums = rows(connection, UsageSum, sql.USED, **scope._asdict(), ends_at=stated.ends_at)
    measures = used_by_model(connection, scope, costs=provider_cost)
    whole = added_up((one.leaves, one.provider_cost or {}) for one in measures)
    costs, held = whole.provider_cost if provider_cost else None, moves.held if stated.is_present else None
    found = _stated(scope, stated, models, moves, sums)
    return replace(found, leaves=whole.leaves, provider_cost=costs, measures_by_model=measures, held=held)


def _stated(scope: Scope, stated: StatedMandate, models: list[tuple[BillingModel, date]], moves: _Moves, sums: list[UsageSum]) -> Statement:
    by_day = sorted((DayUsage(**_figures(s), day=s.day) for s in sums if s.day is not None), key=lambda usage: usage.day)
    total = _total(by_day)
    return Statement(
        scope.mandate_id,
        stated.mandate_name,
        stated.billing_address,
        stated.settings_version,
        stated.time_zone,
        scope.first,
        scope.last,
        stated.as_of >= stated.ends_at,
        stated.as_of,
        _models_in(models, scope, total.billed_cost),
        _added(moves.pool, moves.users),
        moves.pool,
        moves.users,
        total,
        moves.unbilled_refunds,
        sum(s.late_event_count for s in sums if s.day is not None),
        by_day,
        [ModelUsage(**_figures(s), provider=s.provider, model=s.model) for s in sums if s.provider is not None and s.model is not None],
        [FeatureUsage(**_figures(s), feature_code=s.feature_code) for s in sums if s.feature_code is not None],
        [UserUsage(**_figures(s), user_id=s.user_id, user_name=s.user_name) for s in sums if s.user_id is not None and s.user_name is not None],
    )


def _moves(connection: Connection, scope: Scope, clock: datetime | None) -> _Moves:
    """The pool and the users' accounts together, read off what they hold now: less what counts later, less the month itself."""
    present = rows(connection, Balances, sql.BALANCES, mandate_id=scope.mandate_id, clock=clock)[0]
    of = scope._asdict() | {"pool_id": present.pool_id}
    after = of | {"first": scope.last + timedelta(days=1), "last": date.max}
    within = rows(connection, Moved, sql.MOVED, **of)
    later = [*rows(connection, Moved, sql.MOVED, **after), *rows(connection, Moved, sql.MOVED_SINCE, **of)]
    pool, users = _month_of(present.pool, within, later, is_pool=True), _month_of(present.users, within, later, is_pool=False)
    unbilled = sum((m.amount for m in within if m.is_pool is None), ZERO)
    return _Moves(pool, users, unbilled, HeldNow(present.pool_held + present.users_held, present.pool_held, present.users_held))


def _month_of(now: Decimal, within: Iterable[Moved], later: Iterable[Moved], *, is_pool: bool) -> BalanceMonth:
    lines = dict.fromkeys(LINES.values(), ZERO)
    for m in within:
        if m.is_pool is is_pool:
            lines[LINES[m.kind]] += m.amount
    closing = now - sum((m.amount for m in later if m.is_pool is is_pool), ZERO)
    return BalanceMonth(opening=closing - sum(lines.values(), ZERO), closing=closing, **lines)


def _added(one: BalanceMonth, other: BalanceMonth) -> BalanceMonth:
    return BalanceMonth(**{f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(BalanceMonth)})


def _figures(usage: UsageSum) -> dict[str, Any]:
    """The fields of `UsageFigures`."""
    tokens = zip(TOKEN_KINDS, map(int, usage.tokens), strict=True)
    costs = {"cost": usage.cost, "billed_cost": usage.billed_cost, "unbilled_cost": usage.cost - usage.billed_cost}
    return {"event_count": usage.event_count, **costs, **dict(tokens)}


def _total(days: Iterable[DayUsage]) -> UsageFigures:
    rows, nothing = list(days), {"cost": ZERO, "billed_cost": ZERO, "unbilled_cost": ZERO}
    names = [f.name for f in fields(UsageFigures)]
    sums: dict[str, Any] = {name: sum((getattr(row, name) for row in rows), nothing.get(name, 0)) for name in names}
    return UsageFigures(**sums)


def _models_in(models: list[tuple[BillingModel, date]], scope: Scope, billed: Decimal) -> list[ModelSince]:
    """The model that the month began with, if there was one, and each that came in it.

    Usage billed of a month before the settings was recorded under the first one.
    """
    known = [(model, day) for model, day in models if day <= scope.last]
    if not known and billed != 0:
        return [ModelSince(models[0][0], None)]
    before = [ModelSince(model, None) for model, day in known if day < scope.first]
    return before[-1:] + [ModelSince(model, day) for model, day in known if day >= scope.first]
