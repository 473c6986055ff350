"""Switching the billing model: another balance pays from now on, and the money goes there, in one transaction."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.request import Request, RowId
from core.billing import BillingModel
from core.database.database import transaction_time
from core.database.locks import hold_mandates
from core.holds.sql.follow import follow_payer, know_holds
from core.ledger.crossed import alerts_between
from core.ledger.entry import Entry
from core.ledger.hold import require_version, whole_settings
from core.ledger.kinds import LEG
from core.ledger.post import post
from core.ledger.sql.mandate_accounts import lock_mandate_accounts, open_mandate_accounts
from core.movements.movement import movement, under_key
from core.movements.switch_legs import SwitchLegs, SwitchSummary, summary_of, switch_legs
from core.settings.model import MandateSettings
from core.settings.sql.settings import change_settings, find_billed_model, load_settings


class ModelSwitch(Request):
    """The model that a mandate is to have from now on; `expected_version` is the settings version that the caller has seen."""

    billing_model: BillingModel
    expected_version: RowId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchResult(SwitchSummary):
    """What a switch has done, and when."""

    recorded_at: datetime
    repeated: bool = False


def _held_alone(connection: Connection, mandate_id: str) -> MandateSettings:
    hold_mandates(connection, [mandate_id])
    return whole_settings(connection, mandate_id)


@movement("movement.switch_billing_model", "switch a billing model")
@under_key(hold=_held_alone)
def switch_billing_model(connection: Connection, settings: MandateSettings, asked: ModelSwitch) -> SwitchResult:
    """Makes `billing_model` the mandate's model and moves the balances that go with it; the legs (ADJUSTMENT, SWITCH) sum to 0.

    Usage in flight is recorded wholly before or wholly after it. Every enabled member, and whoever has an open hold, has an account
    afterwards, without a grant. What is held is not looked at: open holds go with whoever pays from now on. To the model that the mandate
    has already, nothing happens. A replay returns the first result and never switches again, whatever the model has become since.

    Raises:
        Conflict: the settings have another version than the expected one.
        RequestRefused: a balance would become more than the books can hold.
    """
    require_version(settings, asked.expected_version)
    old, new, time = settings.billing_model, asked.billing_model, transaction_time(connection)
    if new is old:
        unchanged = summary_of(SwitchLegs([]), asked.mandate_id, old, new, version=settings.version, opened=0)
        return SwitchResult(**asdict(unchanged), recorded_at=time)
    before_unlimited = find_billed_model(connection, asked.mandate_id)
    know_holds(connection)
    change_settings(connection, asked.mandate_id, {**asdict(settings), "billing_model": new.value}, asked.by)
    changed = load_settings(connection, [asked.mandate_id])[0][asked.mandate_id]
    opened = open_mandate_accounts(
        connection, asked.mandate_id, with_pool=new.pool_pays, grant_due=old is BillingModel.UNLIMITED, version=changed.version
    )
    accounts = lock_mandate_accounts(connection, asked.mandate_id)
    legs = switch_legs(old, before_unlimited, new, accounts)
    says = f"Switch from {old} to {new}"
    entries = [Entry(changed, LEG, account.locked.id, account.id, amount, says, asked.by, asked.key) for account, amount in legs.legs]
    held = {account.locked.id: account.locked for account in accounts}  # each that pays from now on and is beyond a line where it wasn't is told
    post(connection, entries, held, told=lambda before, after: alerts_between(before, after, changed, old=settings))
    follow_payer(connection, asked.mandate_id, new)
    return SwitchResult(**asdict(summary_of(legs, asked.mandate_id, old, new, version=changed.version, opened=opened)), recorded_at=time)
