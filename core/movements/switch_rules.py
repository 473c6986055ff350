"""What a switch of the billing model moves: pure rules, exact to the last unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.billing import BillingModel
from core.money import QUANTUM, ZERO


class Transfer(StrEnum):
    """Which way the money goes."""

    USERS_TO_POOL = "USERS_TO_POOL"
    POOL_TO_USERS = "POOL_TO_USERS"
    NOTHING = "NOTHING"


class Unmoved(StrEnum):
    """Why the pool's balance stays where it is, although the users pay from now on."""

    POOL_NOT_POSITIVE = "POOL_NOT_POSITIVE"
    NO_ENABLED_USER_ACCOUNT = "NO_ENABLED_USER_ACCOUNT"


@dataclass(frozen=True, slots=True)
class Deltas:
    """What each balance gets, in CHF: the users' in the order given, and the pool's; together 0."""

    users: list[Decimal]
    pool: Decimal
    unmoved: Unmoved | None = None


def transfer(old: BillingModel, before_unlimited: BillingModel | None, new: BillingModel) -> Transfer:
    """Which way the money goes from `old` to `new`.

    UNLIMITED moves nothing when it begins, so when it ends the money goes as from the model before it. Where there was none it
    goes as from the other side: nobody knows where balances came from, and none may be stranded.

    Args:
        old: the present model.
        before_unlimited: the last other model that the mandate had, where `old` is UNLIMITED.
        new: the model to come.
    """
    if old is BillingModel.UNLIMITED:
        old = before_unlimited or (BillingModel.PREPAY_USER if new.pool_pays else BillingModel.PREPAY_MANDATE)
    if old is BillingModel.PREPAY_USER and new.pool_pays:
        return Transfer.USERS_TO_POOL
    if old.pool_pays and new is BillingModel.PREPAY_USER:
        return Transfer.POOL_TO_USERS
    return Transfer.NOTHING


def deltas(way: Transfer, pool: Decimal, users: Sequence[tuple[Decimal, bool]]) -> Deltas:
    """What the transfer gives to each balance.

    Args:
        way: which way the money goes.
        pool: the pool's balance in CHF.
        users: balance and whether it is enabled of each user account, by account id.
    """
    nothing = [ZERO] * len(users)
    match way:
        case Transfer.USERS_TO_POOL:  # all of them: negative ones and those of disabled accounts too
            return Deltas([-balance + 0 for balance, _ in users], sum((balance for balance, _ in users), ZERO))
        case Transfer.NOTHING:
            return Deltas(nothing, ZERO)
    receivers = sum(enabled for _, enabled in users)
    if pool <= 0:
        return Deltas(nothing, ZERO, Unmoved.POOL_NOT_POSITIVE)
    if not receivers:
        return Deltas(nothing, ZERO, Unmoved.NO_ENABLED_USER_ACCOUNT)
    parts = iter(equal_shares(pool, receivers))
    return Deltas([next(parts) if enabled else ZERO for _, enabled in users], -pool)


def equal_shares(amount: Decimal, receivers: int) -> list[Decimal]:
    """`amount` (CHF, at least 0, of nine places) in equal shares by largest remainder; they sum to it exactly.

    All remainders are equal, so the units that are left over go one each to the first receivers.
    """
    each, left_over = divmod(int(amount / QUANTUM), receivers)
    return [(each + (n < left_over)) * QUANTUM for n in range(receivers)]
