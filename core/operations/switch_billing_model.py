"""Switching the billing model: another balance pays from now on, and the money goes there, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.billing import BillingModel, ReferenceType, TransactionType
from core.domain.request import Request, RowId
from core.domain.rights import Actor, require_root
from core.domain.settings import BillingSettings
from core.operations.moving.accounts import expected_settings
from core.operations.moving.move import Rules, alerts_between, book
from core.operations.moving.once import once
from core.operations.moving.switch_legs import Leg, SwitchLegs, SwitchSummary, summary_of, switch_legs
from core.storage.accounts import LockedAccount
from core.storage.balance_alerts import write_alerts
from core.storage.billing_settings import change_settings, find_billed_model, load_settings
from core.storage.database import Database, transaction_time
from core.storage.locks import hold_mandates
from core.storage.mandate_accounts import MandateAccount, lock_mandate_accounts, open_mandate_accounts
from core.storage.movements import Movement
from core.storage.operation_keys import Operation

SWITCH_BILLING_MODEL = "switch_billing_model"


class ModelSwitch(Request):
    """The model that a mandate is to have from now on; `expected_version` is the settings version that the caller has seen."""

    billing_model: BillingModel
    expected_version: RowId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchResult(SwitchSummary):
    """What a switch has done, and when."""

    recorded_at: datetime
    repeated: bool = False


def switch_billing_model(database: Database, actor: Actor, asked: ModelSwitch) -> SwitchResult:
    """Makes `billing_model` the mandate's model and moves the balances that go with it; the legs (ADJUSTMENT, SWITCH) sum to 0.

    Usage in flight is recorded wholly before or wholly after it. Every enabled member has an account afterwards, without a
    grant. To the model that the mandate has already, nothing happens. A replay returns the first result and never switches
    again, whatever the model has become since.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings.
        Conflict: the key was used for another switch, or the settings have another version than the expected one.
        RequestRefused: a balance would become more than the books can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "switch a billing model")
    with database.transaction() as connection:
        hold_mandates(connection, [asked.mandate_id])
        operation = Operation(asked.mandate_id, SWITCH_BILLING_MODEL, asked.key, asked.content())
        return once(connection, operation, SwitchResult, lambda: _switched(connection, asked))


def _switched(connection: Connection, asked: ModelSwitch) -> SwitchResult:
    current = expected_settings(connection, asked.mandate_id, asked.expected_version)
    old, new, time = current.billing_model, asked.billing_model, transaction_time(connection)
    if new is old:
        unchanged = summary_of(SwitchLegs([]), asked.mandate_id, old, new, version=current.version, opened=0)
        return SwitchResult(**asdict(unchanged), recorded_at=time)
    before_unlimited = find_billed_model(connection, asked.mandate_id)
    change_settings(connection, asked.mandate_id, {**asdict(current), "billing_model": new.value}, asked.by)
    settings = load_settings(connection, [asked.mandate_id])[0][asked.mandate_id]
    opened = open_mandate_accounts(
        connection, asked.mandate_id, with_pool=new.pool_pays, grant_due=old is BillingModel.UNLIMITED, version=settings.version
    )
    accounts = lock_mandate_accounts(connection, asked.mandate_id)
    legs = switch_legs(old, before_unlimited, new, accounts)
    _move(connection, asked, current, settings, accounts, legs.legs)
    return SwitchResult(**asdict(summary_of(legs, asked.mandate_id, old, new, version=settings.version, opened=opened)), recorded_at=time)


def _move(
    connection: Connection, asked: ModelSwitch, old: Rules, settings: BillingSettings, accounts: Sequence[MandateAccount], legs: Sequence[Leg]
) -> None:
    """Writes the legs, the balances, and an alert for each account that pays from now on and is beyond a line where it wasn't."""
    description = f"Switch from {old.billing_model} to {settings.billing_model}"
    movements = [_movement(account.locked, amount, description, asked) for account, amount in legs]
    before = {account.id: account for account in (found.locked for found in accounts)}
    after: Mapping[int, LockedAccount] = book(connection, movements, before, settings, None).accounts if movements else before
    write_alerts(connection, [alert for i, account in before.items() for alert in alerts_between(account, after[i], settings, old)], None)


def _movement(account: LockedAccount, amount: Decimal, description: str, asked: ModelSwitch) -> Movement:
    return Movement(account.id, account.id, TransactionType.ADJUSTMENT, amount, ReferenceType.SWITCH, description, asked.by, asked.key)
