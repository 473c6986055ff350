"""Accounts, for reading."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.question import Clock
from core.asking.request import RowId
from core.asking.rights import Actor, require_root, sees_member
from core.asking.view import Arguments, deciding_view, mandate, member, view
from core.database.rows import rows
from core.directory.read import require_known
from core.errors import NotFound
from core.events.contract import Id, Label
from core.ledger.sql.shown_accounts import OF_MANDATE, Account, find_account, find_account_of, shown_account
from core.printable import shown


def of_account(actor: Actor, given: Arguments) -> Callable[[Connection], Account]:
    """Who may see the account `account_id`, as a view's `sees`."""
    return lambda connection: readable_account(connection, actor, given["account_id"])


@deciding_view("view.account")
def account(connection: Connection, actor: Actor, account_id: RowId, clock: Clock = None) -> Account:
    """The account with this id. Nobody but root learns whether it exists."""
    return readable_account(connection, actor, account_id, clock)


@view("view.holder_account", sees=member("read the account"))
def holder_account(connection: Connection, mandate_id: Id, user_id: Id | None, clock: Clock = None) -> Account:
    """The account of this user in this mandate, or the mandate's pool without a user."""
    found = find_account_of(connection, mandate_id, user_id, clock)
    if found is None:
        require_known(connection, [mandate_id])
        absent, whose = (f"account of user {shown(user_id)}", "enabled members") if user_id else ("pool yet", "mandates whose pool pays")
        hint = f"`tollbook backfill accounts` opens those of {whose}, `tollbook accounts open` this one, and so does usage"
        raise NotFound(f"mandate {shown(mandate_id)} has no {absent}: {hint}")
    return found


@view("view.accounts_of", sees=mandate("list the accounts"))
def accounts_of(
    connection: Connection,
    mandate_id: Id,
    *,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    after: Label | None = None,
    clock: Clock = None,
) -> list[Account]:
    """The accounts of the mandate, its pool first, then its users' by user id; nothing for a mandate that has none yet.

    `after` is the user id of the last row already seen, "" if that was the pool.
    """
    found = rows(connection, shown_account, OF_MANDATE, mandate_id=mandate_id, after=after, limit=limit, offset=offset, clock=clock)
    if not found:
        require_known(connection, [mandate_id])
    return found


def readable_account(connection: Connection, actor: Actor, account_id: int, clock: datetime | None = None) -> Account:
    """The account with this id, if the actor may see it.

    Raises:
        Forbidden: they may not. Nobody but root learns whether it exists.
        NotFound: there is none.
    """
    found = find_account(connection, account_id, clock)
    if found is None or not sees_member(actor, found.mandate_id, found.user_id):
        require_root(actor, f"read account {account_id}")
        raise NotFound(f"there is no account {account_id}")
    return found
