"""SQL of a switch: open holds go with whoever pays."""

from sqlalchemy import Connection, text

from core.billing import BillingModel

_FOLLOW = text("""
    UPDATE holds h
       SET balance_account_id = CASE WHEN :user_pays THEN (SELECT a.id FROM accounts a WHERE a.mandate_id = h.mandate_id AND a.user_id = h.user_id)
                                     WHEN :pool_pays THEN (SELECT a.id FROM accounts a WHERE a.mandate_id = h.mandate_id AND a.user_id IS NULL) END
     WHERE h.mandate_id = :mandate_id AND h.settled_at IS NULL
""")

# Each account is looked at once; those that hold nothing before and after are left alone.
_HOLD = text("""
    UPDATE accounts a SET held = n.held
      FROM (SELECT c.id, coalesce(sum(h.amount - h.captured), 0) AS held
              FROM accounts c LEFT JOIN holds h ON h.mandate_id = :mandate_id AND h.settled_at IS NULL AND h.balance_account_id = c.id
             WHERE c.mandate_id = :mandate_id GROUP BY c.id) AS n
     WHERE a.id = n.id AND a.held <> n.held
""")


_KNOW = text("SELECT set_config('tollbook.knows_holds', 'yes', true)")


def know_holds(connection: Connection) -> None:
    """Lets this transaction change who pays while there are open holds: it is to call `follow_payer`. Others are refused by the database."""
    connection.execute(_KNOW)


def follow_payer(connection: Connection, mandate_id: str, model: BillingModel) -> int:
    """Open holds of the mandate are held of the account that pays under this model, of none where nobody pays.

    Returns the number of accounts of which another amount is held now. The caller holds the mandate, and every account that pays is open.
    """
    payer = {"user_pays": model is BillingModel.PREPAY_USER, "pool_pays": model.pool_pays}
    connection.execute(_FOLLOW, {"mandate_id": mandate_id, **payer})
    return connection.execute(_HOLD, {"mandate_id": mandate_id}).rowcount
