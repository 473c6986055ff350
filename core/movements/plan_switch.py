"""The dry run of a switch of the billing model: who would get what."""

from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.ledger.hold import require_version, whole_settings
from core.ledger.post import balance_after
from core.ledger.sql.mandate_accounts import MandateAccount, members_without_account, read_mandate_accounts
from core.money import ZERO
from core.movements.switch import ModelSwitch
from core.movements.switch_legs import SwitchSummary, summary_of, switch_legs
from core.settings.sql.settings import find_billed_model


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """What one account, the pool without a user, would get, and its balance afterwards (CHF). Without an id it would be opened first."""

    account_id: int | None
    user_id: str | None
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPlan(SwitchSummary):
    """What a switch would come to now, with each of its legs, the pool's last."""

    legs: list[PlannedLeg]


def plan_switch(database: Database, actor: Actor, asked: ModelSwitch) -> SwitchPlan:
    """What `switch_billing_model` would do if nothing happened before it; it writes nothing, keeps no key and lets recorders go on.

    Raises:
        NotFound: the mandate has no settings.
        Conflict: the settings have another version than the expected one.
        RequestRefused: a balance would become more than the books can hold.
    """
    require_root(actor, "plan a switch of a billing model")
    with database.snapshot() as connection:
        current = whole_settings(connection, asked.mandate_id)
        require_version(current, asked.expected_version)
        old, new = current.billing_model, asked.billing_model
        accounts = read_mandate_accounts(connection, asked.mandate_id)
        to_open = [] if new is old else _to_open(connection, asked, accounts)
        legs = switch_legs(old, find_billed_model(connection, asked.mandate_id), new, accounts + to_open)
    planned = [PlannedLeg(a.id, a.user_id, amount, balance_after(a.id, a.balance, amount)) for a, amount in legs.legs]
    summary = summary_of(legs, asked.mandate_id, old, new, version=current.version + (new is not old), opened=len(to_open))
    return SwitchPlan(**asdict(summary), legs=planned)


def _to_open(connection: Connection, asked: ModelSwitch, accounts: list[MandateAccount]) -> list[MandateAccount]:
    """The accounts that the switch would open, users' in the order in which they would get their ids."""
    holders: list[str | None] = list(members_without_account(connection, asked.mandate_id))
    if asked.billing_model.pool_pays and all(account.user_id is not None for account in accounts):
        holders.append(None)
    return [MandateAccount(None, asked.mandate_id, user_id, True, ZERO, ZERO, None) for user_id in holders]
