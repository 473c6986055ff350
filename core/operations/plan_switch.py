"""The dry run of a switch of the billing model: who would get what."""

from dataclasses import dataclass
from decimal import Decimal

from core.domain.money import ZERO
from core.operations.moving.switch_legs import ModelSwitch, SwitchResult, switch_legs, switch_result
from core.operations.switch_billing_model import present_model
from core.storage.billing_settings import find_billed_model
from core.storage.database import Database, transaction_time
from core.storage.mandate_accounts import MandateAccount, members_without_account, read_mandate_accounts


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """What one account, the pool without a user, would get, and its balance afterwards (CHF). Without an id it would be opened first."""

    account_id: int | None
    user_id: str | None
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """What the switch would come to now, and each of its legs, the pool's last."""

    result: SwitchResult
    legs: list[PlannedLeg]


def plan_switch(database: Database, asked: ModelSwitch) -> SwitchPlan:
    """What `switch_billing_model` would do if nothing happened before it; it writes nothing, keeps no key and lets recorders go on.

    Raises:
        NotFound: the mandate has no settings.
        Conflict: the settings have another version than the expected one.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        current = present_model(connection, asked)
        time = transaction_time(connection)
        accounts = read_mandate_accounts(connection, asked.mandate_id)
        before_unlimited = find_billed_model(connection, asked.mandate_id)
        absent = [] if asked.billing_model is current.billing_model else members_without_account(connection, asked.mandate_id)
    old, new = current.billing_model, asked.billing_model
    to_open: list[str | None] = list(absent)
    if new is not old and new.pool_pays and all(account.user_id is not None for account in accounts):
        to_open.append(None)
    accounts += [
        MandateAccount(None, asked.mandate_id, user_id, enabled=True, balance=ZERO, warning_threshold=ZERO, credit_limit=None) for user_id in to_open
    ]
    legs = switch_legs(old, before_unlimited, new, accounts)
    planned = [PlannedLeg(account.id, account.user_id, amount, account.balance + amount) for account, amount in legs.legs]
    version = current.version + (new is not old)
    return SwitchPlan(switch_result(asked, old, legs, version=version, opened=len(to_open), time=time), planned)
