"""Transactions, for reading: newest first, page by page.

Newest first is `recorded_at`, then id, descending; the next page comes before the last transaction of this one.
"""

from collections.abc import Collection

from core.domain.rights import Actor, require_mandate, visible_mandates, visible_mandates_of
from core.storage.database import Database
from core.storage.reading import transactions
from core.storage.reading.transactions import Cursor, Page, Transaction
from core.views.accounts import readable_account
from core.views.mandates import rows_of_mandates
from core.views.paging import check_days, check_page

FIRST_PAGE = Page()


def transactions_of_account(database: Database, actor: Actor, account_id: int, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions about the account (`account_id`), whoever paid; nothing for an account that has none.

    Raises:
        Forbidden: the actor may not see the account.
        NotFound: there is no such account.
        RequestRefused: the page can't be read.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    _check(page)
    with database.snapshot() as connection:
        readable_account(connection, actor, account_id)
        return transactions.list_about_account(connection, account_id, page)


def movements_of_account(database: Database, actor: Actor, account_id: int, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The movements of the account: the transactions that moved its balance (`balance_account_id`), whomever they are about.

    Raises:
        As `transactions_of_account`.
    """
    _check(page)
    with database.snapshot() as connection:
        readable_account(connection, actor, account_id)
        return transactions.list_on_balance(connection, account_id, page)


def transactions_of_mandate(database: Database, actor: Actor, mandate_id: str, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions of the mandate; nothing for a mandate that has none.

    Raises:
        As `transactions_of_mandates`.
    """
    require_mandate(actor, mandate_id, "list the transactions")
    return transactions_of_mandates(database, actor, [mandate_id], page)


def transactions_of_mandates(
    database: Database, actor: Actor, mandate_ids: Collection[str] | None = None, page: Page = FIRST_PAGE
) -> list[Transaction]:
    """The transactions of these mandates, or of all that the actor may see.

    Raises:
        Forbidden: the actor may not see one of them.
        NotFound: there is no such mandate.
        RequestRefused: the page can't be read.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "list the transactions")
    _check(page)
    return rows_of_mandates(database, mandate_ids, lambda connection: transactions.list_of_mandates(connection, visible, page))


def transactions_of_user(
    database: Database, actor: Actor, user_id: str, mandate_ids: Collection[str] | None = None, page: Page = FIRST_PAGE
) -> list[Transaction]:
    """The transactions about the user's accounts in these mandates, or in all in which the actor may see him.

    Raises:
        Forbidden: the actor may not see the user there.
        NotFound, RequestRefused, StorageUnavailable, Misconfigured: as `transactions_of_mandates`.
    """
    visible = visible_mandates_of(actor, user_id, mandate_ids, "list the transactions")
    _check(page)
    return rows_of_mandates(database, mandate_ids, lambda connection: transactions.list_about_user(connection, user_id, visible, page))


def user_transactions(database: Database, actor: Actor, mandate_ids: Collection[str] | None = None, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions of these mandates, or of all that the actor may see, about users and about pools; who acted wins over whom it is about.

    It is what `transactions_of_mandates` shows, which names both: `user_id` and `user_name` are of who acted, else of the account's user.

    Raises:
        As `transactions_of_mandates`.
    """
    return transactions_of_mandates(database, actor, mandate_ids, page)


def next_page(page: list[Transaction]) -> Cursor | None:
    """Where the page after this one begins; none after an empty page."""
    return (page[-1].recorded_at, page[-1].id) if page else None


def _check(page: Page) -> None:
    check_page(page.limit)
    if page.first is not None and page.last is not None:
        check_days(page.first, page.last)
