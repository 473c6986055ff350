"""SQL of the balance check: everything that it asks of the books in one statement, so at one moment, without a lock."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.billing import BillingModel
from core.checks.model import HeldBalance, Standing
from core.database.zones import local_day
from core.ledger.sql.held import CLOCK, held_now

_FIND = text(f"""
    SELECT s.billing_model, s.block_on_zero_balance, s.caps_token, s.time_zone,
           CASE WHEN s.caps_token IS NOT NULL THEN {local_day(CLOCK, "s.time_zone")} END AS today,
           u.enabled AS user_enabled, u.balance AS user_balance, u.credit_limit AS user_limit, {held_now("u", CLOCK)} AS user_held,
           p.enabled AS pool_enabled, p.balance AS pool_balance, p.credit_limit AS pool_limit, {held_now("p", CLOCK)} AS pool_held
      FROM billing_settings s
      LEFT JOIN accounts u ON u.mandate_id = s.mandate_id AND u.user_id = :user_id
      LEFT JOIN accounts p ON p.mandate_id = s.mandate_id AND p.user_id IS NULL
     WHERE s.mandate_id = :mandate_id
""")


def find_standing(connection: Connection, mandate_id: str, user_id: str, now: datetime | None = None) -> Standing | None:
    """Where the user and the mandate's pool stand; none without billing settings. `now` is the database's own clock by default."""
    row = connection.execute(_FIND, {"mandate_id": mandate_id, "user_id": user_id, "clock": now}).one_or_none()
    if row is None:
        return None
    own = _held(row.user_enabled, row.user_balance, row.user_limit, row.user_held)
    pool = _held(row.pool_enabled, row.pool_balance, row.pool_limit, row.pool_held)
    rules = BillingModel(row.billing_model), row.block_on_zero_balance
    return Standing(*rules, own, pool, mandate_id, row.caps_token, row.time_zone, row.today)


def _held(enabled: bool | None, balance: Decimal | None, credit_limit: Decimal | None, held: Decimal | None) -> HeldBalance | None:
    return None if enabled is None or balance is None or held is None else HeldBalance(enabled, balance, credit_limit, held)
