"""SQL of the balance check: everything that it asks of the books in one statement, so at one moment, without a lock."""

from decimal import Decimal

from sqlalchemy import Connection, text

from core.billing import BillingModel
from core.checks.model import HeldBalance, Standing

_FIND = text("""
    SELECT s.billing_model, s.block_on_zero_balance,
           u.enabled AS user_enabled, u.balance AS user_balance, u.credit_limit AS user_limit,
           p.enabled AS pool_enabled, p.balance AS pool_balance, p.credit_limit AS pool_limit
      FROM billing_settings s
      LEFT JOIN accounts u ON u.mandate_id = s.mandate_id AND u.user_id = :user_id
      LEFT JOIN accounts p ON p.mandate_id = s.mandate_id AND p.user_id IS NULL
     WHERE s.mandate_id = :mandate_id
""")


def find_standing(connection: Connection, mandate_id: str, user_id: str) -> Standing | None:
    """Where the user and the mandate's pool stand; none without billing settings."""
    row = connection.execute(_FIND, {"mandate_id": mandate_id, "user_id": user_id}).one_or_none()
    if row is None:
        return None
    own, pool = _held(row.user_enabled, row.user_balance, row.user_limit), _held(row.pool_enabled, row.pool_balance, row.pool_limit)
    return Standing(BillingModel(row.billing_model), row.block_on_zero_balance, own, pool)


def _held(enabled: bool | None, balance: Decimal | None, credit_limit: Decimal | None) -> HeldBalance | None:
    return None if enabled is None or balance is None else HeldBalance(enabled, balance, credit_limit)
