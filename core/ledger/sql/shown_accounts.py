"""SQL that shows accounts, with the names of their mandate and user."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.database.rows import row
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name

_SHOWN = f"""
    SELECT a.id, a.mandate_id, {mandate_name("a.mandate_id")} AS mandate_name, a.account_type, a.user_id,
           {user_name("a.user_id")} AS user_name, a.balance, a.credit_limit, a.warning_threshold,
           a.enabled, a.grant_due, a.opened_version, a.opened_at
"""
_NAMES = f"{join_mandate('a.mandate_id')} {join_user('a.user_id')}"
_ACCOUNT_OF_ROW = f"{_SHOWN} FROM accounts a {_NAMES}"

_BY_ID = text(_ACCOUNT_OF_ROW + " WHERE a.id = :account_id")

# No index serves IS NOT DISTINCT FROM, which would do for both.
_OF_USER = text(_ACCOUNT_OF_ROW + " WHERE a.mandate_id = :mandate_id AND a.user_id = :user_id")
_POOL = text(_ACCOUNT_OF_ROW + " WHERE a.mandate_id = :mandate_id AND a.user_id IS NULL")

# The pool stands beside the users, since the index has it behind them. No user's id is empty. The mandate is told as a range, or the
# planner would go by the index of users.
OF_MANDATE = text(f"""
    {_SHOWN} FROM (SELECT * FROM ((SELECT * FROM accounts WHERE mandate_id = :mandate_id AND user_id IS NULL AND CAST(:after AS text) IS NULL)
                                  UNION ALL
                                  (SELECT * FROM accounts
                                    WHERE (mandate_id, user_id) > (:mandate_id, coalesce(CAST(:after AS text), '')) AND mandate_id <= :mandate_id
                                    ORDER BY mandate_id, user_id LIMIT CAST(:limit AS bigint) + CAST(:offset AS bigint))) AS a
                    ORDER BY a.user_id NULLS FIRST LIMIT :limit OFFSET :offset) AS a
    {_NAMES} ORDER BY a.user_id NULLS FIRST
""")

TOTAL_OF_USERS = text("SELECT coalesce(sum(balance), 0) FROM accounts WHERE mandate_id = :mandate_id AND user_id IS NOT NULL")


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
    return row(connection, Account, _BY_ID, account_id=account_id)


def find_account_of(connection: Connection, mandate_id: str, user_id: str | None) -> Account | None:
    """The user's account in the mandate, or the mandate's pool without a user, if there is one."""
    if user_id is None:
        return row(connection, Account, _POOL, mandate_id=mandate_id)
    return row(connection, Account, _OF_USER, mandate_id=mandate_id, user_id=user_id)
