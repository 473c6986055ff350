"""The rules and the accounts that a movement is about, held until it commits."""

from collections.abc import Iterable

from sqlalchemy import Connection

from core.database.locks import share_mandates
from core.errors import Conflict, NotFound
from core.ledger.sql.accounts import LockedAccount, lock_accounts
from core.printable import shown
from core.settings.model import BillingSettings, MandateSettings
from core.settings.sql.settings import load_settings
from core.settings.sql.shown import find_settings


def present_settings(connection: Connection, mandate_id: str) -> BillingSettings:
    """The settings of the mandate; they can't change before the transaction ends.

    Raises:
        NotFound: it has none.
    """
    share_mandates(connection, [mandate_id])
    settings, _ = load_settings(connection, [mandate_id])
    if mandate_id not in settings:
        raise _without_settings(mandate_id)
    return settings[mandate_id]


def whole_settings(connection: Connection, mandate_id: str) -> MandateSettings:
    """The settings of the mandate with all of their fields; who is to rely on them holds the mandate first.

    Raises:
        NotFound: it has none.
    """
    found = find_settings(connection, mandate_id)
    if found is None:
        raise _without_settings(mandate_id)
    return found


def require_version(current: MandateSettings, expected: int | None) -> None:
    """Returns if the settings have the version that the caller has seen, or names none.

    Raises:
        Conflict: they have another one by now.
    """
    if expected not in (None, current.version):
        of = shown(current.mandate_id)
        raise Conflict(
            f"mandate {of} has settings version {current.version}, not {expected}: read them again", field="expected_version", value=expected
        )


def locked_accounts(connection: Connection, mandate_id: str, account_ids: Iterable[int]) -> dict[int, LockedAccount]:
    """These accounts of the mandate, whose balances nobody else can move before the transaction ends.

    Raises:
        NotFound: one of them does not exist, or belongs to another mandate.
    """
    wanted = set(account_ids)
    found = {account.id: account for account in lock_accounts(connection, wanted) if account.mandate_id == mandate_id}
    if absent := sorted(wanted - found.keys()):
        raise NotFound(f"mandate {shown(mandate_id)} has no account {absent[0]}", field="account_id", value=absent[0])
    return found


def _without_settings(mandate_id: str) -> NotFound:
    return NotFound(f"mandate {shown(mandate_id)} has no billing settings", field="mandate_id", value=mandate_id)
