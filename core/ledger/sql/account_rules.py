"""SQL of what an operator sets on an account beside its balance."""

from decimal import Decimal

from sqlalchemy import Connection, text

_SET_ENABLED = text("UPDATE accounts SET enabled = :enabled WHERE id = :account_id AND enabled <> :enabled RETURNING id")

_SET_CREDIT_LIMIT = text("UPDATE accounts SET credit_limit = :credit_limit WHERE id = :account_id")


def set_enabled(connection: Connection, account_id: int, *, enabled: bool) -> bool:
    """Enables or disables an account that the caller has locked; whether that changed anything."""
    return connection.execute(_SET_ENABLED, {"account_id": account_id, "enabled": enabled}).one_or_none() is not None


def set_credit_limit(connection: Connection, account_id: int, credit_limit: Decimal | None) -> None:
    """Sets the limit (CHF; None: none) of a pool that the caller has locked; the caller writes the alerts that follow."""
    connection.execute(_SET_CREDIT_LIMIT, {"account_id": account_id, "credit_limit": credit_limit})
