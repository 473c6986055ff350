"""Disabling and enabling an account: a balance check refuses a disabled one; usage that has happened is recorded all the same."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import StrictBool
from sqlalchemy import Connection

from core.asking.request import Request, RowId
from core.database.database import transaction_time
from core.ledger.hold import locked_accounts
from core.ledger.sql.account_rules import set_enabled
from core.movements.movement import movement, under_key
from core.settings.model import BillingSettings


class AccountEnabling(Request):
    """Whether an account is to be enabled."""

    account_id: RowId
    enabled: StrictBool


@dataclass(frozen=True, slots=True)
class EnabledResult:
    """What an account was and is, who had it so and when: with its key, this is the account's history."""

    mandate_id: str
    account_id: int
    enabled: bool
    changed: bool
    by: str
    recorded_at: datetime
    repeated: bool = False


@movement("movement.set_account_enabled", "enable or disable an account")
@under_key()
def set_account_enabled(connection: Connection, _settings: BillingSettings, asked: AccountEnabling) -> EnabledResult:
    """Enables or disables the account; nothing moves. A replay returns the first result and undoes nothing that came later.

    Raises:
        NotFound: the mandate has no such account.
    """
    locked_accounts(connection, asked.mandate_id, {asked.account_id})
    changed = set_enabled(connection, asked.account_id, enabled=asked.enabled)
    return EnabledResult(asked.mandate_id, asked.account_id, asked.enabled, changed, asked.by, transaction_time(connection))
