"""Transactions, for reading: newest first, page by page.

Newest first is `recorded_at`, then id, descending; the next page comes before the last transaction of this one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, TextClause

from core.asking.paging import FIRST_PAGE, Cursor, Page
from core.asking.request import RowId
from core.asking.view import mandate, view
from core.database.event_columns import CALL_COLUMNS
from core.database.rows import rows
from core.dialects.leaves import leaves_of
from core.directory.read import Mandates, mandates, mandates_of_user, require_known
from core.events.contract import Id
from core.events.model import TokenColumns
from core.ledger.read_accounts import of_account
from core.ledger.sql import shown_transactions as sql


@dataclass(frozen=True, slots=True)
class _Booked:
    """What was booked, and what for, without the tokens."""

    id: int
    mandate_id: str
    mandate_name: str
    event_id: str | None
    account_id: int
    account_type: str
    account_user_id: str | None
    user_id: str | None
    user_name: str | None
    balance_account_id: int | None
    transaction_type: str
    amount: Decimal
    reference_type: str
    description: str
    workflow_id: str | None
    feature_instance_id: str | None
    feature_code: str | None
    provider: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Transaction(TokenColumns[int | None], _Booked):
    """One ledger entry; the amount in CHF, signed only for an ADJUSTMENT. `user_id` is who acted, else the account's user.

    Attributes:
        account_user_id: whom it is about, nobody where it is about the pool.
        call: what an event of version 2 tells of its call, only what it tells; None of any other entry.
        leaves: what was used by class, those above 0; None where nobody knows.
        price_given: what the producer said that the usage costs, in CHF.
        price_computed: the price that stands beside the given one (mode `shadow`), in CHF.
        provider_cost: what the provider charges, in `provider_currency`. As `price_computed` and `stamp_id`, root alone is shown it.
        unpriced: why there is no computed price.
        stamp_id: what the amount was computed from; None for an event of version 1 as it was given.
    """

    occurred_at: datetime
    recorded_at: datetime
    local_date: date
    settings_version: int
    batch_id: int | None
    reverses_id: int | None
    operation_key: str | None
    call: dict[str, Any] | None
    leaves: dict[str, int] | None
    price_given: Decimal | None
    price_computed: Decimal | None
    provider_cost: Decimal | None
    provider_currency: str | None
    unpriced: str | None
    stamp_id: int | None


def without_costs(entry: Transaction) -> Transaction:
    """The entry as everybody but root is shown it: not what it cost at the provider, nor what follows from that."""
    return replace(entry, price_computed=None, provider_cost=None, provider_currency=None, stamp_id=None)


def _without_costs(entries: list[Transaction]) -> list[Transaction]:
    return [without_costs(entry) for entry in entries]


@view("view.transactions_of_account", sees=of_account, without=_without_costs)
def transactions_of_account(connection: Connection, account_id: RowId, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions about the account (`account_id`), whoever paid; nothing for an account that has none."""
    return _newest(connection, "about_account", page, account_id=account_id)


@view("view.movements_of_account", sees=of_account, without=_without_costs)
def movements_of_account(connection: Connection, account_id: RowId, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The movements of the account: the transactions that moved its balance (`balance_account_id`), whomever they are about."""
    return _newest(connection, "on_balance", page, account_id=account_id)


@view("view.transactions_of_mandate", sees=mandate("list the transactions"), without=_without_costs)
def transactions_of_mandate(connection: Connection, mandate_id: Id, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions of the mandate; nothing for a mandate that has none."""
    require_known(connection, [mandate_id])
    return _of_mandates(connection, [mandate_id], page)


@view("view.transactions_of_mandates", sees=mandates("list the transactions"), without=_without_costs)
def transactions_of_mandates(connection: Connection, mandate_ids: Mandates = None, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions of these mandates, or of all that the actor may see."""
    return _of_mandates(connection, mandate_ids, page)


@view("view.transactions_of_user", sees=mandates_of_user("list the transactions"), without=_without_costs)
def transactions_of_user(connection: Connection, user_id: Id, mandate_ids: Mandates = None, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions about the user's accounts in these mandates, or in all in which the actor may see them."""
    if mandate_ids is not None:
        return _newest(connection, "about_user_in_mandates", page, user_id=user_id, mandate_ids=mandate_ids)
    if page.first is None and page.last is None:
        found = _page(connection, sql.AMONG_NEWEST, page, user_id=user_id)
        if len(found) == page.limit:
            return found
    return _newest(connection, "about_user", page, user_id=user_id)


@view("view.user_transactions", sees=mandates("list the transactions"), without=_without_costs)
def user_transactions(connection: Connection, mandate_ids: Mandates = None, page: Page = FIRST_PAGE) -> list[Transaction]:
    """The transactions of these mandates, or of all that the actor may see, about users and about pools; who acted wins over whom it is about.

    It is what `transactions_of_mandates` shows, which names both: `user_id` and `user_name` are of who acted, else of the account's user.
    """
    return _of_mandates(connection, mandate_ids, page)


def next_page(page: list[Transaction]) -> Cursor | None:
    """Where the page after this one begins; none after an empty page."""
    return (page[-1].recorded_at, page[-1].id) if page else None


def transactions_with_ids(connection: Connection, transaction_ids: Collection[int]) -> list[Transaction]:
    """Those of the transactions that there are, by id."""
    return rows(connection, _transaction, sql.WITH_IDS, ids=list(transaction_ids))


def _transaction(**columns: Any) -> Transaction:
    told = {name: value for name in CALL_COLUMNS if (value := columns.pop(name)) is not None}
    leaves = columns.pop("leaves")
    return Transaction(**columns, call=told or None, leaves=None if leaves is None else {k.value: n for k, n in leaves_of(leaves).items()})


def _of_mandates(connection: Connection, mandate_ids: Mandates, page: Page) -> list[Transaction]:
    if mandate_ids is None:
        return _newest(connection, "of_all", page)
    return _newest(connection, "of_mandates", page, mandate_ids=mandate_ids)


def _newest(connection: Connection, which: str, page: Page, **of: object) -> list[Transaction]:
    ranged = page.first is not None or page.last is not None
    days = {"first": page.first or date.min, "last": page.last or date.max} if ranged else {}
    return _page(connection, sql.NEWEST[which][ranged], page, **of, **days)


def _page(connection: Connection, statement: TextClause, page: Page, **of: object) -> list[Transaction]:
    time, transaction_id = page.before or (None, None)
    return rows(connection, _transaction, statement, limit=page.limit, before_time=time, before_id=transaction_id, **of)
