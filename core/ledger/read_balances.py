"""Balances over many mandates and users, for reading: one query each, page by page, each page after the last row of the one before."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit
from core.asking.question import Clock
from core.asking.request import RowId
from core.asking.view import view
from core.billing import AlertKind, BillingModel, alerts_at, available_of
from core.database.rows import rows
from core.directory.read import Mandates, mandates, mandates_of_user
from core.events.contract import Id, Label
from core.ledger.sql import shown_balances as sql


@dataclass(frozen=True, slots=True)
class UserBalance:
    """What pays for a user's usage in one mandate: the own balance or the pool's, by model; amounts in CHF.

    `held` and `available` are as in `EffectiveBalance`: of that balance, so of a pool for all of its users together.
    """

    mandate_id: str
    mandate_name: str
    billing_model: BillingModel
    balance: Decimal
    held: Decimal
    available: Decimal | None
    warning_threshold: Decimal
    is_warning: bool
    credit_limit: Decimal | None


@dataclass(frozen=True, slots=True)
class MandateBalance:
    """What a mandate has: the sum over its users or the pool, by model, 0 under UNLIMITED; amounts in CHF.

    `held` is what open holds keep of it, `available` what there still is to be held or used, as in `EffectiveBalance`: under PREPAY_USER
    sums over the users' accounts; None under UNLIMITED, and under CREDIT_POSTPAY without a credit limit.
    """

    mandate_id: str
    mandate_name: str
    billing_model: BillingModel
    total_balance: Decimal
    held: Decimal
    available: Decimal | None
    user_count: int
    default_user_credit: Decimal
    warning_threshold_percent: Decimal
    block_on_zero_balance: bool


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """A user's own account in one mandate; amounts in CHF. It warns only where it pays under the mandate's model.

    `held` is what open holds keep of its balance, nothing where it doesn't pay, and `available` the balance less that.
    """

    account_id: int
    mandate_id: str
    mandate_name: str
    user_id: str
    user_name: str
    balance: Decimal
    held: Decimal
    available: Decimal
    warning_threshold: Decimal
    is_warning: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class LowBalance:
    """An account that pays and is beyond a line; amounts in CHF. A pool has no user.

    Attributes:
        held: what open holds keep of the balance.
        available: what there still is, None where nothing bounds it.
        beyond: the lines that the balance is beyond: `WARNING`, and maybe `ZERO` or `CREDIT_LIMIT`.
    """

    account_id: int
    mandate_id: str
    mandate_name: str
    user_id: str | None
    user_name: str | None
    billing_model: BillingModel
    balance: Decimal
    held: Decimal
    available: Decimal | None
    warning_threshold: Decimal
    credit_limit: Decimal | None
    beyond: list[AlertKind]


@view("view.balances_of_user", sees=mandates_of_user("read the balances"))
def balances_of_user(
    connection: Connection,
    user_id: Id,
    mandate_ids: Mandates = None,
    *,
    limit: Limit = LIMIT_DEFAULT,
    after: Label = "",
    clock: Clock = None,
) -> list[UserBalance]:
    """What pays for the user's usage in each mandate of which they are an enabled member, by mandate id: the own balance or the pool's.

    UNLIMITED mandates, such without settings and such whose paying account doesn't exist yet are left out.

    Args:
        connection: to read with.
        user_id: whose usage.
        mandate_ids: in which mandates; None: in all in which the actor may see them.
        limit: mandates at most.
        after: the mandate id of the last row already seen.
        clock: the time by which holds end.
    """
    asked = {"user_id": user_id, "mandate_ids": mandate_ids, "after": after, "limit": limit, "clock": clock}
    return rows(connection, _user_balance, sql.OF_USER, **asked)


@view("view.mandate_balances", sees=mandates("read the balances"))
def mandate_balances(
    connection: Connection, mandate_ids: Mandates = None, *, limit: Limit = LIMIT_DEFAULT, after: Label = "", clock: Clock = None
) -> list[MandateBalance]:
    """The balance of each mandate that has settings, by mandate id: the sum over its users or the pool; UNLIMITED with 0.

    `after` is the mandate id of the last row already seen.
    """
    return rows(connection, _mandate_balance, sql.OF_MANDATES, mandate_ids=mandate_ids, after=after, limit=limit, clock=clock)


@view("view.user_balances", sees=mandates("list the user balances"))
def user_balances(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    limit: Limit = LIMIT_DEFAULT,
    after: tuple[Label, Label] = ("", ""),
    clock: Clock = None,
) -> list[AccountBalance]:
    """The user accounts of these mandates with their own balances, by mandate and user id.

    `after` are the mandate and user id of the last row already seen.
    """
    asked = {"mandate_ids": mandate_ids, "after_mandate_id": after[0], "after_user_id": after[1], "limit": limit, "clock": clock}
    return rows(connection, _account_balance, sql.OF_USERS, **asked)


@view("view.low_balances", sees=mandates("read the balances"))
def low_balances(
    connection: Connection, mandate_ids: Mandates = None, *, limit: Limit = LIMIT_DEFAULT, after: RowId | None = None, clock: Clock = None
) -> list[LowBalance]:
    """The accounts of these mandates that pay and warn, by id; of `user_balances` those with `is_warning`, and pools.

    An account that never had credit isn't low: no line was crossed. A page costs what it holds and what was low before, not what there is.
    `after` is the id of the account last seen.
    """
    return rows(connection, _low, sql.LOW, mandate_ids=mandate_ids, limit=limit, after=after or 0, clock=clock)


def _user_balance(*, warning_threshold_percent: Decimal, billing_model: BillingModel, **shown: Any) -> UserBalance:
    beyond = alerts_at(billing_model, shown["balance"], shown["warning_threshold"], shown["credit_limit"], warning_threshold_percent)
    available = available_of(billing_model, shown["balance"], shown["held"], shown["credit_limit"])
    return UserBalance(**shown, billing_model=billing_model, available=available, is_warning=AlertKind.WARNING in beyond)


def _mandate_balance(*, billing_model: BillingModel, credit_limit: Decimal | None, **shown: Any) -> MandateBalance:
    available = available_of(billing_model, shown["total_balance"], shown["held"], credit_limit)
    return MandateBalance(**shown, billing_model=billing_model, available=available)


def _account_balance(*, warning_threshold_percent: Decimal, billing_model: BillingModel, **shown: Any) -> AccountBalance:
    beyond = alerts_at(billing_model, shown["balance"], shown["warning_threshold"], None, warning_threshold_percent)
    warns = billing_model is BillingModel.PREPAY_USER and AlertKind.WARNING in beyond
    return AccountBalance(**shown, available=shown["balance"] - shown["held"], is_warning=warns)


def _low(*, billing_model: BillingModel, warning_threshold_percent: Decimal, **shown: Any) -> LowBalance:
    beyond = alerts_at(billing_model, shown["balance"], shown["warning_threshold"], shown["credit_limit"], warning_threshold_percent)
    available = available_of(billing_model, shown["balance"], shown["held"], shown["credit_limit"])
    return LowBalance(**shown, billing_model=billing_model, available=available, beyond=list(beyond))
