"""Invariants of money: balances are sums of movements, amounts are exact, a model switch conserves."""

from sqlalchemy import text

from core.ledger.kinds import LEG
from core.ledger.sql.transactions import DELTA
from core.verifying.sql.invariants.invariant import Invariant

# Entries from :since on are added up, and before them stand the sums of the checkpoint.
WRONG_BALANCES = f"""
    SELECT a.id AS account_id, a.mandate_id, a.user_id, a.balance, coalesce(c.movements, 0) + coalesce(m.total, 0.000000000) AS ledger
      FROM accounts a
      LEFT JOIN reconcile_sums c ON c.account_id = a.id AND CAST(:since AS timestamptz) > '-infinity'
      LEFT JOIN (SELECT balance_account_id, sum({DELTA}) AS total
                   FROM transactions WHERE recorded_at >= :since AND balance_account_id IS NOT NULL GROUP BY balance_account_id) AS m
        ON m.balance_account_id = a.id
     WHERE a.balance <> coalesce(c.movements, 0) + coalesce(m.total, 0)
"""


def balances_are_sums() -> Invariant:
    """I3, of every account, whatever the time that is looked at."""
    return Invariant(
        "I3",
        "every account's balance is the sum of the movements on it",
        text(f"""
            SELECT format('account %s', account_id) AS subject, format('balance %s CHF, movements sum to %s CHF', balance, ledger) AS detail
              FROM ({WRONG_BALANCES}) AS wrong
        """),
    )


def amounts_are_exact() -> Invariant:
    """I4. A NaN or an infinity has no scale, so that one comparison sees everything that is no amount of nine places."""
    return Invariant(
        "I4",
        "no amount is NaN, infinite or missing, and each has nine decimal places",
        text("""
            SELECT format('transaction %s', id) AS subject, format('amount %s', amount) AS detail
              FROM transactions WHERE recorded_at >= :since AND scale(amount) IS DISTINCT FROM 9
            UNION ALL
            SELECT format('account %s', id), format('balance %s, warning threshold %s, credit limit %s', balance, warning_threshold, credit_limit)
              FROM accounts
             WHERE scale(balance) IS DISTINCT FROM 9 OR scale(warning_threshold) IS DISTINCT FROM 9
                OR (credit_limit IS NOT NULL AND scale(credit_limit) IS DISTINCT FROM 9)
            UNION ALL
            SELECT format('statistics of account %s, %s %s', account_id, period_type, period_start),
                   format('cost %s, billed cost %s, refunded %s', cost, billed_cost, refunded)
              FROM usage_statistics
             WHERE scale(cost) IS DISTINCT FROM 9 OR scale(billed_cost) IS DISTINCT FROM 9 OR scale(refunded) IS DISTINCT FROM 9
            UNION ALL
            SELECT format('refund %s', refund_transaction_id), format('amount %s', amount)
              FROM refunds WHERE scale(amount) IS DISTINCT FROM 9 OR scale(refunded) <> 9
            UNION ALL
            SELECT format('settings of mandate %s', mandate_id), format('default user credit %s', default_user_credit)
              FROM billing_settings WHERE scale(default_user_credit) IS DISTINCT FROM 9
        """),
    )


def switches_conserve() -> Invariant:
    """I5. All legs of one switch carry its key, and its result says how many there are; after the first entry no model changes without one.

    What came first is told by the settings version that an entry carries: an entry's time is when its transaction began, which may have
    waited for the change. One that didn't wait can't be an hour later: nobody waits that long to change settings.
    """
    return Invariant(
        "I5",
        "the legs of each model switch sum to zero",
        text(f"""
            WITH legs AS (
                SELECT mandate_id, operation_key, count(*) AS legs, sum(amount) AS total, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS moved,
                       bool_and(balance_account_id IS NOT NULL AND transaction_type = 'ADJUSTMENT') AS sound
                  FROM transactions WHERE recorded_at >= :since AND reference_type = '{LEG.reference_type}' GROUP BY mandate_id, operation_key
            ), switches AS (
                SELECT mandate_id, idempotency_key, CAST(result ->> 'leg_count' AS bigint) AS legs,
                       CAST(result ->> 'settings_version' AS int) AS version, result ->> 'new_model' AS model
                  FROM operation_keys WHERE recorded_at >= :since AND operation = 'switch_billing_model'
            )
            SELECT format('switch %s of mandate %s', coalesce(l.operation_key, s.idempotency_key, '?'),
                          coalesce(l.mandate_id, s.mandate_id)) AS subject,
                   CASE WHEN s.mandate_id IS NULL THEN 'legs that no switch has asked for'
                        ELSE format('%s legs (of %s) sum to %s CHF', coalesce(l.legs, 0), s.legs, coalesce(l.total, 0)) END AS detail
              FROM switches s FULL JOIN legs l ON l.mandate_id = s.mandate_id AND l.operation_key = s.idempotency_key
             WHERE s.mandate_id IS NULL OR coalesce(l.legs, 0) <> s.legs OR l.total <> 0 OR NOT coalesce(l.sound, true)
            UNION ALL
            SELECT format('settings version %s of mandate %s', n.version, n.mandate_id),
                   format('%s became %s without a switch', p.billing_model, n.billing_model)
              FROM billing_settings_history n
              JOIN billing_settings_history p ON p.mandate_id = n.mandate_id AND p.version = n.version - 1 AND p.billing_model <> n.billing_model
              LEFT JOIN switches s ON s.mandate_id = n.mandate_id AND s.version = n.version AND s.model = n.billing_model
             WHERE n.changed_at >= :since AND s.mandate_id IS NULL
               AND EXISTS (SELECT FROM transactions t WHERE t.mandate_id = n.mandate_id AND t.settings_version < n.version
                                                        AND t.recorded_at < n.changed_at + interval '1 hour')
        """),
    )
