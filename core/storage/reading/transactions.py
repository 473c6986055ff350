"""SQL that shows transactions, newest first, with the names of their mandate and of who acted."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

# The acting user wins over the account's: an operator's movement on somebody's account was made by the operator.
_SHOWN = """
    SELECT t.id, t.mandate_id, coalesce(nullif(d.label, ''), nullif(d.name, ''), t.mandate_id) AS mandate_name, t.event_id,
           t.account_id, a.account_type, coalesce(t.created_by_user_id, a.user_id) AS user_id,
           coalesce(nullif(u.display_name, ''), nullif(u.username, ''), t.created_by_user_id, a.user_id) AS user_name, t.balance_account_id,
           t.transaction_type, t.amount, t.reference_type, t.description, t.workflow_id, t.feature_instance_id, t.feature_code, t.provider, t.model,
           t.input_tokens, t.output_tokens, t.cached_input_tokens, t.cache_write_tokens, t.reasoning_tokens,
           t.occurred_at, t.recorded_at, t.local_date, t.settings_version, t.batch_id, t.reverses_id
"""

# The newest of each account, so that none is read further than the page needs.
_OF_ACCOUNTS = """
      FROM accounts a
     CROSS JOIN LATERAL (
               SELECT * FROM transactions t
                WHERE t.account_id = a.id
                  AND (t.recorded_at, t.id) < (coalesce(CAST(:before_time AS timestamptz), 'infinity'),
                                               coalesce(CAST(:before_id AS bigint), 9223372036854775807))
                ORDER BY t.recorded_at DESC, t.id DESC LIMIT :limit) AS t
"""

_OF_ONE_MANDATE = """
      FROM (   SELECT * FROM transactions t
                WHERE t.mandate_id = :mandate_id
                  AND (t.recorded_at, t.id) < (coalesce(CAST(:before_time AS timestamptz), 'infinity'),
                                               coalesce(CAST(:before_id AS bigint), 9223372036854775807))
                ORDER BY t.recorded_at DESC, t.id DESC LIMIT :limit) AS t
      LEFT JOIN accounts a ON a.id = t.account_id
"""

_NAMES = """
      LEFT JOIN directory_mandates d ON d.id = t.mandate_id
      LEFT JOIN directory_users u ON u.id = coalesce(t.created_by_user_id, a.user_id)
"""

_NEWEST = " ORDER BY t.recorded_at DESC, t.id DESC LIMIT :limit"

_OF_ACCOUNT = text(_SHOWN + _OF_ACCOUNTS + _NAMES + " WHERE a.id = :account_id" + _NEWEST)
_OF_USER = text(_SHOWN + _OF_ACCOUNTS + _NAMES + " WHERE a.user_id = :user_id AND a.mandate_id = coalesce(:mandate_id, a.mandate_id)" + _NEWEST)
_OF_MANDATE = text(_SHOWN + _OF_ONE_MANDATE + _NAMES + _NEWEST)
_WITH_IDS = text(_SHOWN + " FROM transactions t LEFT JOIN accounts a ON a.id = t.account_id" + _NAMES + " WHERE t.id = ANY(:ids) ORDER BY t.id")

Cursor = tuple[datetime, int]  # recorded_at and id of the last transaction already seen


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ledger entry; the amount in CHF, signed only for an ADJUSTMENT. The user is who acted, else the account's."""

    id: int
    mandate_id: str
    mandate_name: str
    event_id: str | None
    account_id: int
    account_type: str
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


def list_of_account(connection: Connection, account_id: int, limit: int, before: Cursor | None) -> list[Transaction]:
    """The newest transactions about the account that come before the cursor."""
    return _transactions(connection, _OF_ACCOUNT, limit, before, account_id=account_id)


def list_of_mandate(connection: Connection, mandate_id: str, limit: int, before: Cursor | None) -> list[Transaction]:
    """The newest transactions of the mandate that come before the cursor."""
    return _transactions(connection, _OF_MANDATE, limit, before, mandate_id=mandate_id)


def list_of_user(connection: Connection, user_id: str, mandate_id: str | None, limit: int, before: Cursor | None) -> list[Transaction]:
    """The newest transactions about the user's accounts, in one mandate or in all, that come before the cursor."""
    return _transactions(connection, _OF_USER, limit, before, user_id=user_id, mandate_id=mandate_id)


def list_with_ids(connection: Connection, transaction_ids: Collection[int]) -> list[Transaction]:
    """Those of the transactions that there are, by id."""
    return [Transaction(*row) for row in connection.execute(_WITH_IDS, {"ids": list(transaction_ids)})]


def _transactions(connection: Connection, statement: object, limit: int, before: Cursor | None, **of: object) -> list[Transaction]:
    time, transaction_id = before or (None, None)
    parameters = {"limit": limit, "before_time": time, "before_id": transaction_id, **of}
    return [Transaction(*row) for row in connection.execute(statement, parameters)]  # type: ignore[call-overload]
