"""What a switch of the billing model comes to for the accounts of a mandate, before any of it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.billing import BillingModel
from core.ledger.sql.mandate_accounts import MandateAccount
from core.money import ZERO
from core.movements.switch_rules import Transfer, Unmoved, deltas, transfer

Leg = tuple[MandateAccount, Decimal]  # an account, and what it gets in CHF, never 0


@dataclass(frozen=True, slots=True)
class SwitchSummary:
    """What a switch comes to; amounts in CHF.

    `migrated_amount` went from the users to the pool or the other way, `user_count` user accounts gave or got some of it.
    Where the pool's balance had to stay although the users pay from now on, `unmoved_reason` says why.
    """

    mandate_id: str
    old_model: BillingModel
    new_model: BillingModel
    settings_version: int
    migrated_amount: Decimal
    user_count: int
    leg_count: int
    accounts_opened: int
    unmoved_amount: Decimal
    unmoved_reason: Unmoved | None


@dataclass(frozen=True, slots=True)
class SwitchLegs:
    """Who gets what, by account id and the pool last, and what of it a summary tells."""

    legs: list[Leg]
    migrated_amount: Decimal = ZERO
    user_count: int = 0
    unmoved_amount: Decimal = ZERO
    unmoved_reason: Unmoved | None = None


def switch_legs(old: BillingModel, before_unlimited: BillingModel | None, new: BillingModel, accounts: Sequence[MandateAccount]) -> SwitchLegs:
    """The legs of a switch from `old` to `new`, which sum to 0.

    Args:
        old: the present model.
        before_unlimited: the last other model that the mandate had, if it had one.
        new: the model to come.
        accounts: all of the mandate, in the order of their ids; those still to be opened come last.
    """
    if new is old:
        return SwitchLegs([])
    users = [account for account in accounts if account.user_id is not None]
    pool = next((account for account in accounts if account.user_id is None), None)
    pool_balance = ZERO if pool is None else pool.balance
    way = transfer(old, before_unlimited, new)
    parts = deltas(way, pool_balance, [(account.balance, account.enabled) for account in users])
    legs = [(account, part) for account, part in zip(users, parts.users, strict=True) if part]
    user_count = len(legs)
    if parts.pool:
        assert pool is not None, "a switch that moves a pool's balance has the pool among its accounts"
        legs.append((pool, parts.pool))
    migrated = parts.pool if way is Transfer.USERS_TO_POOL else -parts.pool + 0
    return SwitchLegs(legs, migrated, user_count, pool_balance if parts.unmoved else ZERO, parts.unmoved)


def summary_of(legs: SwitchLegs, mandate_id: str, old: BillingModel, new: BillingModel, *, version: int, opened: int) -> SwitchSummary:
    """The summary of a switch that made these legs under settings `version` and opened so many accounts, or would."""
    return SwitchSummary(
        mandate_id,
        old,
        new,
        version,
        legs.migrated_amount,
        legs.user_count,
        len(legs.legs),
        opened,
        legs.unmoved_amount,
        legs.unmoved_reason,
    )
