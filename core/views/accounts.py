"""Accounts, for reading."""

from core.domain.rejection import shown
from core.errors import NotFound
from core.storage.database import Database
from core.storage.reading import accounts
from core.storage.reading.accounts import Account
from core.views.mandates import require_mandate
from core.views.paging import LIMIT_DEFAULT, check_page


def account(database: Database, account_id: int) -> Account:
    """The account with this id.

    Raises:
        NotFound: there is none.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        found = accounts.find_account(connection, account_id)
    if found is None:
        raise NotFound(f"there is no account {account_id}")
    return found


def holder_account(database: Database, mandate_id: str, user_id: str | None) -> Account:
    """The account of this user in this mandate, or the mandate's pool without a user.

    Raises:
        NotFound: there is none.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        found = accounts.find_account_of(connection, mandate_id, user_id)
        if found is None:
            require_mandate(connection, mandate_id)
            absent, whose = (f"account of user {shown(user_id)}", "enabled members") if user_id else ("pool yet", "mandates whose pool pays")
            raise NotFound(f"mandate {shown(mandate_id)} has no {absent}: `tollbook backfill accounts` opens those of {whose}, and so does usage")
    return found


def accounts_of(database: Database, mandate_id: str, *, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[Account]:
    """The accounts of the mandate, its pool first, then its users' by user id; nothing for a mandate that has none yet.

    Raises:
        NotFound: there is no such mandate.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit, offset)
    with database.snapshot() as connection:
        found = accounts.list_accounts(connection, mandate_id, limit, offset)
        if not found:
            require_mandate(connection, mandate_id)
        return found
