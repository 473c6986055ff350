"""SQL that shows accounts, with the names of their mandate and user."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.billing import BillingModel, available_of
from core.database.rows import row, rows
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name
from core.ledger.sql.held import CLOCK, held_now, held_together, kept_of_users

# Only of a pool the mandate's model is asked for: a user's account has no credit limit.
_POOL_MODEL = """CASE WHEN a.user_id IS NULL
    THEN (SELECT s.billing_model FROM billing_settings s WHERE s.mandate_id = a.mandate_id) END AS pool_model"""
_SHOWN = f"""
    SELECT a.id, a.mandate_id, {mandate_name("a.mandate_id")} AS mandate_name, a.account_type, a.user_id,
           {user_name("a.user_id")} AS user_name, a.balance, {held_now("a", CLOCK)} AS held, {_POOL_MODEL},
           a.credit_limit, a.warning_threshold, a.enabled, a.grant_due, a.opened_version, a.opened_at
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

_OF_USERS_TOGETHER = text(f"""
    SELECT u.balance, {held_together("u.held", ":mandate_id", kept_of_users("u.pool_id"), CLOCK)} AS held
      FROM (SELECT coalesce(sum(balance) FILTER (WHERE user_id IS NOT NULL), 0.000000000) AS balance,
                   coalesce(sum(held) FILTER (WHERE user_id IS NOT NULL), 0.000000000) AS held, max(id) FILTER (WHERE user_id IS NULL) AS pool_id
              FROM accounts WHERE mandate_id = :mandate_id) AS u
""")


class Balance(NamedTuple):
    """What a balance, or several together, come to, and what holds that aren't over keep of it; CHF."""

    balance: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands; amounts in CHF. The pool has neither user nor user name.

    `held` is what open holds keep of the balance; what the clock has ended isn't held any more. `available` is the balance less that; of
    the pool of a mandate that pays afterwards (CREDIT_POSTPAY) the credit limit less debt and what is held, None without a limit.
    """

    id: int
    mandate_id: str
    mandate_name: str
    account_type: str
    user_id: str | None
    user_name: str | None
    balance: Decimal
    held: Decimal
    available: Decimal | None
    credit_limit: Decimal | None
    warning_threshold: Decimal
    enabled: bool
    grant_due: bool
    opened_version: int
    opened_at: datetime


def find_account(connection: Connection, account_id: int, clock: datetime | None = None) -> Account | None:
    """The account with this id, if there is one."""
    return row(connection, shown_account, _BY_ID, account_id=account_id, clock=clock)


def find_account_of(connection: Connection, mandate_id: str, user_id: str | None, clock: datetime | None = None) -> Account | None:
    """The user's account in the mandate, or the mandate's pool without a user, if there is one."""
    if user_id is None:
        return row(connection, shown_account, _POOL, mandate_id=mandate_id, clock=clock)
    return row(connection, shown_account, _OF_USER, mandate_id=mandate_id, user_id=user_id, clock=clock)


def balance_of_users(connection: Connection, mandate_id: str, clock: datetime | None = None) -> Balance:
    """What the mandate's user accounts hold together."""
    return rows(connection, Balance, _OF_USERS_TOGETHER, mandate_id=mandate_id, clock=clock)[0]


def shown_account(*, pool_model: str | None, **shown: Any) -> Account:
    """An account of what a statement here finds; the model decides only what a pool that pays afterwards has left."""
    paid_afterwards = pool_model == BillingModel.CREDIT_POSTPAY
    model = BillingModel.CREDIT_POSTPAY if paid_afterwards else BillingModel.PREPAY_USER
    return Account(**shown, available=available_of(model, shown["balance"], shown["held"], shown["credit_limit"]))
