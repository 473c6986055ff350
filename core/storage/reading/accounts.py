"""SQL that shows accounts, with the names of their mandate and user."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.storage.reading.names import mandate_name, user_name

_ACCOUNT_OF_ROW = f"""
    SELECT a.id, a.mandate_id, {mandate_name("a.mandate_id")} AS mandate_name, a.account_type, a.user_id,
           {user_name("a.user_id")} AS user_name, a.balance, a.credit_limit, a.warning_threshold,
           a.enabled, a.grant_due, a.opened_version, a.opened_at
      FROM accounts a
      LEFT JOIN directory_mandates d ON d.id = a.mandate_id
      LEFT JOIN directory_users u ON u.id = a.user_id
"""

_BY_ID = text(_ACCOUNT_OF_ROW + " WHERE a.id = :account_id")

_BY_HOLDER = text(_ACCOUNT_OF_ROW + " WHERE a.mandate_id = :mandate_id AND a.user_id IS NOT DISTINCT FROM CAST(:user_id AS text)")

_OF_MANDATE = text(_ACCOUNT_OF_ROW + " WHERE a.mandate_id = :mandate_id ORDER BY a.user_id NULLS FIRST LIMIT :limit OFFSET :offset")

_TOTAL_OF_USERS = text("SELECT coalesce(sum(balance), 0) FROM accounts WHERE mandate_id = :mandate_id AND user_id IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands; amounts in CHF. The pool has neither user nor user name."""

    id: int
    mandate_id: str
    mandate_name: str
    account_type: str
    user_id: str | None
    user_name: str | None
    balance: Decimal
    credit_limit: Decimal | None
    warning_threshold: Decimal
    enabled: bool
    grant_due: bool
    opened_version: int
    opened_at: datetime


def find_account(connection: Connection, account_id: int) -> Account | None:
    """The account with this id, if there is one."""
    row = connection.execute(_BY_ID, {"account_id": account_id}).one_or_none()
    return None if row is None else Account(*row)


def find_account_of(connection: Connection, mandate_id: str, user_id: str | None) -> Account | None:
    """The user's account in the mandate, or the mandate's pool without a user, if there is one."""
    row = connection.execute(_BY_HOLDER, {"mandate_id": mandate_id, "user_id": user_id}).one_or_none()
    return None if row is None else Account(*row)


def list_accounts(connection: Connection, mandate_id: str, limit: int, offset: int) -> list[Account]:
    """The mandate's accounts: the pool first, then its users' by user id."""
    rows = connection.execute(_OF_MANDATE, {"mandate_id": mandate_id, "limit": limit, "offset": offset})
    return [Account(*row) for row in rows]


def total_of_users(connection: Connection, mandate_id: str) -> Decimal:
    """The sum of the balances of the mandate's user accounts, in CHF."""
    total: Decimal = connection.execute(_TOTAL_OF_USERS, {"mandate_id": mandate_id}).scalar_one()
    return total
