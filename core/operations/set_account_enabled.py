"""Disabling and enabling an account: a balance check refuses a disabled one; usage that has happened is recorded all the same."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import StrictBool

from core.domain.request import Request, RowId
from core.domain.rights import Actor, require_root
from core.operations.moving.accounts import locked_accounts, present_settings
from core.operations.moving.once import once
from core.storage.account_rules import set_enabled
from core.storage.database import Database, transaction_time
from core.storage.operation_keys import Operation

SET_ACCOUNT_ENABLED = "set_account_enabled"


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


def set_account_enabled(database: Database, actor: Actor, asked: AccountEnabling) -> EnabledResult:
    """Enables or disables the account; nothing moves. A replay returns the first result and undoes nothing that came later.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another account or the opposite.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "enable or disable an account")
    with database.transaction() as connection:
        present_settings(connection, asked.mandate_id)

        def done() -> EnabledResult:
            locked_accounts(connection, asked.mandate_id, {asked.account_id})
            changed = set_enabled(connection, asked.account_id, enabled=asked.enabled)
            return EnabledResult(asked.mandate_id, asked.account_id, asked.enabled, changed, asked.by, transaction_time(connection))

        return once(connection, Operation(asked.mandate_id, SET_ACCOUNT_ENABLED, asked.key, asked.content()), EnabledResult, done)
