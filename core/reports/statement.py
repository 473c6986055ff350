"""The statement of a mandate for one month: what its balances were before and after, what moved them, and what was used.

Everything goes by local days. An entry counts for the month in which its local day lies, whenever it was recorded; the reversal of
an amendment counts for the day of what it takes back. So opening + movements = closing to the last unit, and the closing balance
of a month is the opening balance of the next one, when both are asked as of the same moment. A month is never closed for good: a
later moment may know of more.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from sqlalchemy import Connection

from core.asking.question import INSIDE_ONLY, Clock
from core.asking.request import Day, Moment
from core.asking.rights import Actor, require_root
from core.asking.view import Arguments, member, view
from core.billing import BillingModel
from core.database.database import allow_time
from core.database.rows import row, rows
from core.directory.read import without_settings
from core.errors import NotFound, RequestRefused
from core.events.contract import Id
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import LINES
from core.money import ZERO
from core.periods import days_of
from core.printable import shown
from core.reports.sql import statements as sql
from core.reports.sql.stated_entries import Item, Moved, UsageSum, statements_for
from core.reports.sql.statements import Balances, HeldNow, Scope, StatedMandate
from core.reports.stated import (
    BalanceMonth,
    DayUsage,
    FeatureUsage,
    ModelSince,
    ModelUsage,
    PartUsage,
    StatedMovement,
    Statement,
    UsageFigures,
    UserUsage,
)
from core.reports.used_by_model import ModelMeasures, used_by_model
from core.settings.sql.shown import find_settings
from core.statistics.measures import added_up

LISTED_MAX, LISTED_MAX_BY_MESSAGE = 10_000, 1_000  # movements, and likewise parts of the usage; the rest is counted
_YEARS = range(1, 9999)  # the day after the last one must be a day that Python has


class _Moves(NamedTuple):
    """What the month did to the pool and to the users' accounts, thing by thing, what refunds gave back beside them, and what is held now."""

    pool: BalanceMonth
    users: BalanceMonth
    items: list[StatedMovement]
    unbilled_refunds: Decimal
    held: HeldNow


class _Whose(NamedTuple):
    """Whom a statement is about: a mandate, or a user with an account in it."""

    account_id: int | None = None
    user_id: str | None = None
    user_name: str | None = None


def _sees(actor: Actor, given: Arguments) -> Callable[[Connection], object] | None:
    if given["provider_cost"]:
        require_root(actor, "see what providers charge")
    return member("read the statement")(actor, given)


@view("view.statement", sees=_sees)
def statement(
    connection: Connection,
    mandate_id: Id,
    month: Day,
    as_of: Moment | None = None,
    *,
    user_id: Id | None = None,
    provider_cost: bool = False,
    patient: Annotated[bool, INSIDE_ONLY] = False,
    clock: Clock = None,
) -> Statement:
    """What moved the mandate's balances and what it used on the local days of a month, at one moment; or the same of one user in it.

    The same moment gives the same figures for ever; only of the seconds right before it something may still be on its way into
    the books. Names are those of today, and so is what is held, which stands on the statement of the present month as of now alone.

    Args:
        connection: to read with.
        mandate_id: whose.
        month: any day of it.
        as_of: only what was recorded before this moment (aware) counts; without one, or of one ahead, it is now.
        user_id: of this user's account alone.
        provider_cost: with what providers charge, which root alone may ask for.
        patient: whoever asks waits as long as it takes, and gets up to 10,000 movements and parts of the usage. Without, each query ends
            after `TOLLBOOK_STATEMENT_TIMEOUT_SECONDS`, and up to 1,000 are listed.
        clock: the time by which holds end.

    Raises:
        NotFound: the mandate has no billing settings, or had none yet at that moment; or the user has no account in it.
        RequestRefused: the year is 9999.
    """
    first, last = _days_of(month)
    listed_max = _patience(connection) if patient else LISTED_MAX_BY_MESSAGE
    stated = _stated_mandate(connection, mandate_id, first, last, as_of)
    whose = _Whose() if user_id is None else _user(connection, mandate_id, user_id)
    scope = Scope(mandate_id, first, last, stated.as_of, whose.account_id)
    models = [(BillingModel(version.billing_model), version.day) for version in connection.execute(sql.MODELS, scope._asdict())]
    connection.execute(sql.PREPARE)
    moves = _moves(connection, scope, clock)
    sums = rows(connection, UsageSum, statements_for(whose.account_id).used, **scope._asdict(), ends_at=stated.ends_at, parts_max=listed_max)
    found = _with_measures(_stated(scope, stated, models, moves, sums), used_by_model(connection, scope, costs=provider_cost), costs=provider_cost)
    return replace(
        found,
        held=moves.held if stated.is_present else None,
        movements=moves.items[:listed_max],
        movements_left_out=max(0, len(moves.items) - listed_max),
        user_id=whose.user_id,
        user_name=whose.user_name,
    )


def _patience(connection: Connection) -> int:
    """Takes as long as it takes; how many movements and parts are listed then."""
    allow_time(connection)
    return LISTED_MAX


def _with_measures(found: Statement, measures: list[ModelMeasures], *, costs: bool) -> Statement:
    whole = added_up((one.leaves, one.provider_cost or {}) for one in measures)
    return replace(found, leaves=whole.leaves, provider_cost=whole.provider_cost if costs else None, measures_by_model=measures)


def _days_of(month: date) -> tuple[date, date]:
    if month.year not in _YEARS:
        raise RequestRefused(f"{month.isoformat()[:7]} is too far ahead", field="month", value=month)
    return days_of(month.year, month.month)


def _stated_mandate(connection: Connection, mandate_id: str, first: date, last: date, as_of: datetime | None) -> StatedMandate:
    stated = row(connection, StatedMandate, sql.MANDATE, mandate_id=mandate_id, first=first, last=last, as_of=as_of)
    if stated is not None:
        return stated
    if as_of is None or find_settings(connection, mandate_id) is None:
        raise without_settings(connection, mandate_id)
    raise NotFound(f"mandate {shown(mandate_id)} had no billing settings yet at {as_of.isoformat()}")


def _user(connection: Connection, mandate_id: str, user_id: str) -> _Whose:
    account = connection.execute(sql.USER, {"mandate_id": mandate_id, "user_id": user_id}).one_or_none()
    if account is None:
        raise NotFound(f"mandate {shown(mandate_id)} has no account of user {shown(user_id)}", field="user", value=user_id)
    return _Whose(account.id, user_id, account.user_name)


def _stated(scope: Scope, stated: StatedMandate, models: list[tuple[BillingModel, date]], moves: _Moves, sums: list[UsageSum]) -> Statement:
    by_day = sorted((DayUsage(**_figures(s), day=s.day) for s in sums if s.day is not None), key=lambda usage: usage.day)
    total = _total(by_day)
    parts = [s for s in sums if s.parts is not None]
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
        [ModelUsage(**_figures(s), **_named(s, "provider", "model")) for s in sums if s.model is not None and s.parts is None],
        [FeatureUsage(**_figures(s), **_named(s, "feature_code")) for s in sums if s.feature_code is not None and s.parts is None],
        [UserUsage(**_figures(s), **_named(s, "user_id", "user_name")) for s in sums if s.user_id is not None and s.parts is None],
        by_user_model_feature=[PartUsage(**_figures(s), **_named(s, "user_id", "user_name", "provider", "model", "feature_code")) for s in parts],
        parts_left_out=parts[0].parts - len(parts) if parts and parts[0].parts is not None else 0,
    )


def _named(found: UsageSum, *names: str) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}


def _moves(connection: Connection, scope: Scope, clock: datetime | None) -> _Moves:
    """The pool and the users' accounts together, read off what they hold now: less what counts later, less the month itself."""
    queries = statements_for(scope.account_id)
    balances = sql.BALANCES if scope.account_id is None else sql.BALANCES_OF_USER
    present = rows(connection, Balances, balances, mandate_id=scope.mandate_id, account_id=scope.account_id, clock=clock)[0]
    of = scope._asdict() | {"pool_id": present.pool_id}
    after = of | {"first": scope.last + timedelta(days=1), "last": date.max}
    within = rows(connection, Item, queries.itemised, **of)
    later = [*rows(connection, Moved, queries.moved, **after), *rows(connection, Moved, queries.moved_since, **of)]
    pool, users = _month_of(present.pool, within, later, is_pool=True), _month_of(present.users, within, later, is_pool=False)
    unbilled = sum((m.amount for m in within if m.is_pool is None), ZERO)
    held = HeldNow(present.pool_held + present.users_held, present.pool_held, present.users_held)
    return _Moves(pool, users, _movements(within), unbilled, held)


def _month_of(now: Decimal, within: Iterable[Item], later: Iterable[Moved], *, is_pool: bool) -> BalanceMonth:
    lines = dict.fromkeys(LINES.values(), ZERO)
    for m in within:
        if m.is_pool is is_pool:
            lines[LINES[m.kind]] += m.amount
    closing = now - sum((m.amount for m in later if m.is_pool is is_pool), ZERO)
    return BalanceMonth(opening=closing - sum(lines.values(), ZERO), closing=closing, **lines)


def _movements(items: Sequence[Item]) -> list[StatedMovement]:
    """All that moved a balance beside usage, each by itself."""
    return [
        StatedMovement(
            item.day,
            LINES[item.kind],
            item.amount,
            item.reason,
            item.key,
            item.asked_by,
            item.user_id,
            item.user_name,
            item.is_pool,
            item.transaction_id,
            item.entry_count,
        )
        for item in items
        if item.day is not None and item.is_pool is not None
    ]


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
