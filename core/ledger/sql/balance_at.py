"""SQL that adds up what moved balances until a moment: from the entries and marks before it, never from the present balance."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.database.zones import first_moment
from core.ledger.kinds import USAGE

# The newest version that was there before the moment; where a day is given, before that day ended in the version's own zone.
RULES = text(f"""
    SELECT h.billing_model, m.moment
      FROM billing_settings_history h
     CROSS JOIN LATERAL (SELECT coalesce(CAST(:moment AS timestamptz),
                                         {first_moment("CAST(CAST(:day AS date) + 1 AS timestamp)", "h.time_zone")}) AS moment) AS m
     WHERE h.mandate_id = :mandate_id AND h.changed_at < m.moment
     ORDER BY h.version DESC LIMIT 1
""")

_SUM = "SELECT coalesce(sum(CASE t.transaction_type WHEN 'DEBIT' THEN -t.amount ELSE t.amount END), 0.000000000) FROM"

# What was recorded since the last mark before the moment, and what the balance was there; without one everything.
_SINCE_MARK = """
    SELECT mark.balance + coalesce(sum(CASE t.transaction_type WHEN 'DEBIT' THEN -t.amount ELSE t.amount END), 0)
      FROM ((SELECT recorded_at, transaction_id, balance FROM balance_marks
              WHERE account_id = :account_id AND recorded_at < :moment ORDER BY recorded_at DESC, transaction_id DESC LIMIT 1)
            UNION ALL
            SELECT '-infinity', 0, 0.000000000
             ORDER BY recorded_at DESC LIMIT 1) AS mark
      LEFT JOIN LATERAL ({}) AS t ON true
     GROUP BY mark.balance
"""
_SINCE = "recorded_at >= mark.recorded_at AND (recorded_at, id) > (mark.recorded_at, mark.transaction_id) AND recorded_at < :moment"
# Two indexes together have all: usage on a user's balance is about that user; what is about others is rare and has a narrow one.
_OF_USER = text(
    _SINCE_MARK.format(f"""
        SELECT transaction_type, amount FROM transactions WHERE account_id = :account_id AND balance_account_id = :account_id AND {_SINCE}
        UNION ALL
        SELECT transaction_type, amount FROM transactions
         WHERE balance_account_id = :account_id AND balance_account_id <> account_id AND reference_type <> '{USAGE.reference_type}' AND {_SINCE}
    """)
)
_OF_POOL = text(
    _SINCE_MARK.format(f"""
        SELECT transaction_type, amount FROM transactions WHERE mandate_id = :mandate_id AND balance_account_id = :account_id AND {_SINCE}
    """)
)
OF_ALL_USERS = text(f"""
    {_SUM} transactions t JOIN accounts a ON a.id = t.balance_account_id
     WHERE t.mandate_id = :mandate_id AND a.user_id IS NOT NULL AND t.recorded_at < :moment
""")


def user_balance_at(connection: Connection, account_id: int, moment: datetime) -> Decimal:
    """The sum (CHF) of the movements on a user's account that were recorded before the moment."""
    balance: Decimal = connection.execute(_OF_USER, {"account_id": account_id, "moment": moment}).scalar_one()
    return balance


def pool_balance_at(connection: Connection, mandate_id: str, account_id: int, moment: datetime) -> Decimal:
    """The sum (CHF) of the movements on the mandate's pool that were recorded before the moment."""
    parameters = {"mandate_id": mandate_id, "account_id": account_id, "moment": moment}
    balance: Decimal = connection.execute(_OF_POOL, parameters).scalar_one()
    return balance
