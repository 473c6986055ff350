"""Invariants of money: balances are sums of movements, amounts are exact, a model switch conserves."""

from sqlalchemy import text

from core.storage.invariants.invariant import Invariant


def balances_are_sums() -> Invariant:
    """I3. Only a DEBIT takes off; an ADJUSTMENT carries its own sign."""
    return Invariant(
        "I3",
        "every account's balance is the sum of the movements on it",
        text("""
            SELECT format('account %s', a.id) AS subject,
                   format('balance %s CHF, movements sum to %s CHF', a.balance, coalesce(m.total, 0.000000000)) AS detail
              FROM accounts a
              LEFT JOIN (SELECT balance_account_id, sum(CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END) AS total
                           FROM transactions WHERE balance_account_id IS NOT NULL GROUP BY balance_account_id) AS m
                ON m.balance_account_id = a.id
             WHERE a.balance <> coalesce(m.total, 0)
        """),
    )


def amounts_are_exact() -> Invariant:
    """I4. A NaN or an infinity has no scale, so that one comparison sees everything that is no amount of nine places."""
    return Invariant(
        "I4",
        "no amount is NaN, infinite or missing, and each has nine decimal places",
        text("""
            SELECT format('transaction %s', id) AS subject, format('amount %s', amount) AS detail
              FROM transactions WHERE scale(amount) IS DISTINCT FROM 9
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
              FROM refunds WHERE scale(amount) IS DISTINCT FROM 9
            UNION ALL
            SELECT format('settings of mandate %s', mandate_id), format('default user credit %s', default_user_credit)
              FROM billing_settings WHERE scale(default_user_credit) IS DISTINCT FROM 9
        """),
    )


def switches_conserve() -> Invariant:
    """I5. All legs of one switch carry its key; one that moved no balance would have lost money."""
    return Invariant(
        "I5",
        "the legs of each model switch sum to zero",
        text("""
            SELECT format('switch %s of mandate %s', coalesce(operation_key, '?'), mandate_id) AS subject,
                   format('%s legs sum to %s CHF', count(*), sum(amount)) AS detail
              FROM transactions WHERE reference_type = 'SWITCH'
             GROUP BY mandate_id, operation_key
            HAVING sum(amount) <> 0 OR operation_key IS NULL OR bool_or(balance_account_id IS NULL OR transaction_type <> 'ADJUSTMENT')
        """),
    )
