"""SQL that shows transactions, newest first, with the names of their mandate and of who acted.

Each query reads, for every account or mandate that it is about, no more than the page can need.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from core.storage.reading.local_days import entries_in_days
from core.storage.reading.names import mandate_name, user_name

Cursor = tuple[datetime, int]  # recorded_at and id of the last transaction already seen

# The acting user wins over the account's: an operator's movement on somebody's account was made by the operator.
_SHOWN = f"""
    SELECT t.id, t.mandate_id, {mandate_name("t.mandate_id")} AS mandate_name, t.event_id,
           t.account_id, a.account_type, a.user_id AS account_user_id, coalesce(t.created_by_user_id, a.user_id) AS user_id,
           {user_name("t.created_by_user_id", "a.user_id")} AS user_name, t.balance_account_id,
           t.transaction_type, t.amount, t.reference_type, t.description, t.workflow_id, t.feature_instance_id, t.feature_code, t.provider, t.model,
           t.input_tokens, t.output_tokens, t.cached_input_tokens, t.cache_write_tokens, t.reasoning_tokens,
           t.occurred_at, t.recorded_at, t.local_date, t.settings_version, t.batch_id, t.reverses_id, t.operation_key
"""
_NAMES = """
      LEFT JOIN accounts a ON a.id = t.account_id
      LEFT JOIN directory_mandates d ON d.id = t.mandate_id
      LEFT JOIN directory_users u ON u.id = coalesce(t.created_by_user_id, a.user_id)
"""
_BEFORE = """
    (t.recorded_at, t.id) < (coalesce(CAST(:before_time AS timestamptz), 'infinity'), coalesce(CAST(:before_id AS bigint), 9223372036854775807))
"""
_NEWEST = "ORDER BY t.recorded_at DESC, t.id DESC LIMIT"

# Whose entries: rows `h`, and the condition under which an entry is of such a row.
_WANTED = "(CAST(:mandate_ids AS text[]) IS NULL OR {}.mandate_id = ANY(CAST(:mandate_ids AS text[])))"
_ACCOUNT = """
    SELECT a.id, a.mandate_id, a.user_id IS NULL AND EXISTS (SELECT FROM billing_settings_history s WHERE s.mandate_id = a.mandate_id
                                                                AND s.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY')) AS pays_for_others
      FROM accounts a WHERE a.id = :account_id
"""
_USER = f"SELECT a.id, a.mandate_id FROM accounts a WHERE a.user_id = :user_id AND {_WANTED.format('a')}"
_MANDATE = f"""
    SELECT s.mandate_id, coalesce(p.id, 0) AS pool_id
      FROM billing_settings s LEFT JOIN accounts p ON p.mandate_id = s.mandate_id AND p.user_id IS NULL
     WHERE {_WANTED.format("s")}
"""
_ABOUT_ACCOUNT = "t.account_id = h.id"
_OF_MANDATE = "t.mandate_id = h.mandate_id"
_ABOUT_USERS = "t.mandate_id = h.mandate_id AND t.account_id <> h.pool_id"

# As a CASE, it looks to the planner as if half of the entries were on the balance, which is near the truth: taken for rare, they
# would all be read and sorted, and not only as many as the page needs.
_IT_PAYS = "CASE WHEN t.balance_account_id = h.id THEN true ELSE false END"

# What is on a balance and about its account, what is about another one (rare, and with an index of its own), and the usage that a pool pays.
_ON_BALANCE = (
    f"{_ABOUT_ACCOUNT} AND {_IT_PAYS}",
    "t.balance_account_id = h.id AND t.balance_account_id <> t.account_id AND t.reference_type <> 'WORKFLOW'",
    f"{_OF_MANDATE} AND {_IT_PAYS} AND t.reference_type = 'WORKFLOW' AND h.pays_for_others",
)


def _newest(conditions: tuple[str, ...], limit: str, *, ranged: bool) -> str:
    """A query for the newest entries under any of the conditions, which exclude each other."""
    ending = f"AND {_BEFORE} {_NEWEST} {limit}"
    if ranged:
        parts = [entries_in_days("t.*", of, ending, mandate=_OF_MANDATE) for of in conditions]
    else:
        parts = [f"(SELECT t.* FROM transactions t WHERE {of} {ending})" for of in conditions]
    return f"SELECT t.* FROM ({' UNION ALL '.join(parts)}) AS t {_NEWEST} {limit}"


def _of_holders(holders: str, *conditions: str) -> dict[bool, TextClause]:
    """The query for the newest entries of the holders, without and with a range of days."""
    return {
        ranged: text(
            f"{_SHOWN} FROM ({holders}) AS h CROSS JOIN LATERAL ({_newest(conditions, ':limit', ranged=ranged)}) AS t {_NAMES} {_NEWEST} :limit"
        )
        for ranged in (False, True)
    }


def _of_mandates(condition: str) -> dict[bool, TextClause]:
    """As `_of_holders`. Only the mandates with the newest entries can be on the page, so of all the others one entry is looked at."""
    nearest = {
        ranged: f"""
            SELECT h.* FROM ({_MANDATE}) AS h CROSS JOIN LATERAL ({_newest((condition,), "1", ranged=ranged)}) AS t {_NEWEST} :limit
        """
        for ranged in (False, True)
    }
    return {ranged: _of_holders(holders, condition)[ranged] for ranged, holders in nearest.items()}


_STATEMENTS = {
    "about_account": _of_holders(_ACCOUNT, _ABOUT_ACCOUNT),
    "on_balance": _of_holders(_ACCOUNT, *_ON_BALANCE),
    "about_user": _of_holders(_USER, _ABOUT_ACCOUNT),
    "of_mandates": _of_mandates(_OF_MANDATE),
    "about_users": _of_mandates(_ABOUT_USERS),
}
_WITH_IDS = text(f"{_SHOWN} FROM transactions t {_NAMES} WHERE t.id = ANY(:ids) ORDER BY t.id")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ledger entry; the amount in CHF, signed only for an ADJUSTMENT. `user_id` is who acted, else the account's user.

    `account_user_id` is whom it is about, nobody where it is about the pool.
    """

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
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    occurred_at: datetime
    recorded_at: datetime
    local_date: date
    settings_version: int
    batch_id: int | None
    reverses_id: int | None
    operation_key: str | None


class Page(NamedTuple):
    """The newest `limit` transactions before the cursor, of the local days from `first` to `last`, both included; None: no bound."""

    limit: int = 100
    before: Cursor | None = None
    first: date | None = None
    last: date | None = None


def list_about_account(connection: Connection, account_id: int, page: Page) -> list[Transaction]:
    """The newest transactions about the account."""
    return _transactions(connection, "about_account", page, account_id=account_id)


def list_on_balance(connection: Connection, account_id: int, page: Page) -> list[Transaction]:
    """The newest movements of the account: the transactions that moved its balance."""
    return _transactions(connection, "on_balance", page, account_id=account_id)


def list_about_user(connection: Connection, user_id: str, mandate_ids: list[str] | None, page: Page) -> list[Transaction]:
    """The newest transactions about the user's accounts in these mandates, None: in all."""
    return _transactions(connection, "about_user", page, user_id=user_id, mandate_ids=mandate_ids)


def list_of_mandates(connection: Connection, mandate_ids: list[str] | None, page: Page) -> list[Transaction]:
    """The newest transactions of these mandates, None: of all."""
    return _transactions(connection, "of_mandates", page, mandate_ids=mandate_ids)


def list_about_users(connection: Connection, mandate_ids: list[str] | None, page: Page) -> list[Transaction]:
    """The newest transactions about user accounts of these mandates, None: of all; those about pools are left out."""
    return _transactions(connection, "about_users", page, mandate_ids=mandate_ids)


def list_with_ids(connection: Connection, transaction_ids: Collection[int]) -> list[Transaction]:
    """Those of the transactions that there are, by id."""
    return [Transaction(*row) for row in connection.execute(_WITH_IDS, {"ids": list(transaction_ids)})]


def _transactions(connection: Connection, which: str, page: Page, **of: object) -> list[Transaction]:
    time, transaction_id = page.before or (None, None)
    parameters = {"limit": page.limit, "before_time": time, "before_id": transaction_id, **of}
    ranged = page.first is not None or page.last is not None
    if ranged:
        parameters |= {"first": page.first or date.min, "last": page.last or date.max}
    return [Transaction(*row) for row in connection.execute(_STATEMENTS[which][ranged], parameters)]
