"""Accounts, for reading."""

from sqlalchemy import Connection

from core.domain.rejection import shown
from core.domain.rights import Actor, require_mandate, require_member, require_root, sees_member
from core.errors import NotFound
from core.storage.database import Database
from core.storage.reading import accounts
from core.storage.reading.accounts import Account
from core.views.mandates import require_known
from core.views.paging import LIMIT_DEFAULT, rows_of


def account(database: Database, actor: Actor, account_id: int) -> Account:
    """The account with this id.

    Raises:
        Forbidden: the actor may not see it.
        NotFound: there is none.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        return readable_account(connection, actor, account_id)


def holder_account(database: Database, actor: Actor, mandate_id: str, user_id: str | None) -> Account:
    """The account of this user in this mandate, or the mandate's pool without a user.

    Raises:
        Forbidden: the actor may not see it.
        NotFound: there is none.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_member(actor, mandate_id, user_id, "read the account")
    with database.snapshot() as connection:
        found = accounts.find_account_of(connection, mandate_id, user_id)
        if found is None:
            require_known(connection, [mandate_id])
            absent, whose = (f"account of user {shown(user_id)}", "enabled members") if user_id else ("pool yet", "mandates whose pool pays")
            hint = f"`tollbook backfill accounts` opens those of {whose}, `tollbook accounts open` this one, and so does usage"
            raise NotFound(f"mandate {shown(mandate_id)} has no {absent}: {hint}")
    return found


def accounts_of(
    database: Database, actor: Actor, mandate_id: str, *, limit: int = LIMIT_DEFAULT, offset: int = 0, after: str | None = None
) -> list[Account]:
    """The accounts of the mandate, its pool first, then its users' by user id; nothing for a mandate that has none yet.

    `after` is the user id of the last row already seen, "" if that was the pool.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: there is no such mandate.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_mandate(actor, mandate_id, "list the accounts")
    page = rows_of(limit, offset, None if after is None else (after,))
    with database.snapshot() as connection:
        found = accounts.list_accounts(connection, mandate_id, page)
        if not found:
            require_known(connection, [mandate_id])
        return found


def readable_account(connection: Connection, actor: Actor, account_id: int) -> Account:
    """The account with this id, if the actor may see it.

    Raises:
        Forbidden: he may not. Nobody but root learns whether it exists.
        NotFound: there is none.
    """
    found = accounts.find_account(connection, account_id)
    if found is None or not sees_member(actor, found.mandate_id, found.user_id):
        require_root(actor, f"read account {account_id}")
        raise NotFound(f"there is no account {account_id}")
    return found
