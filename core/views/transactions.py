"""Transactions, for reading: newest first, page by page.

Newest first is `recorded_at`, then id, descending; the next page comes before the last transaction of this one.
"""

from core.errors import NotFound
from core.storage.database import Database
from core.storage.reading import transactions
from core.storage.reading.accounts import find_account
from core.storage.reading.transactions import Cursor, Transaction
from core.views.mandates import require_mandate
from core.views.paging import LIMIT_DEFAULT, check_page


def transactions_of_account(database: Database, account_id: int, *, limit: int = LIMIT_DEFAULT, before: Cursor | None = None) -> list[Transaction]:
    """The newest transactions about the account (`account_id`), whoever paid; nothing for an account that has none.

    Raises:
        NotFound: there is no such account.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit)
    with database.snapshot() as connection:
        found = transactions.list_of_account(connection, account_id, limit, before)
        if not found and find_account(connection, account_id) is None:
            raise NotFound(f"there is no account {account_id}")
        return found


def transactions_of_mandate(database: Database, mandate_id: str, *, limit: int = LIMIT_DEFAULT, before: Cursor | None = None) -> list[Transaction]:
    """The newest transactions of the mandate; nothing for a mandate that has none.

    Raises:
        NotFound: there is no such mandate.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit)
    with database.snapshot() as connection:
        found = transactions.list_of_mandate(connection, mandate_id, limit, before)
        if not found:
            require_mandate(connection, mandate_id)
        return found


def transactions_of_user(
    database: Database, user_id: str, *, mandate_id: str | None = None, limit: int = LIMIT_DEFAULT, before: Cursor | None = None
) -> list[Transaction]:
    """The newest transactions about the user's accounts, in one mandate or in all of them; nothing where there are none.

    Raises:
        NotFound: there is no such mandate.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit)
    with database.snapshot() as connection:
        found = transactions.list_of_user(connection, user_id, mandate_id, limit, before)
        if not found and mandate_id is not None:
            require_mandate(connection, mandate_id)
        return found


def next_page(page: list[Transaction]) -> Cursor | None:
    """Where the page after this one begins; none after an empty page."""
    return (page[-1].recorded_at, page[-1].id) if page else None
