"""The invariant of grants: one initial credit for whom it is due, and never a second."""

from sqlalchemy import text

from core.ledger.kinds import GRANT, kinds
from core.ledger.sql.entry_kinds import listed
from core.verifying.sql.invariants.invariant import Invariant

_GRANTS = f"""
    SELECT format('account %s', a.id) AS subject,
           format('opened as %s under %s with %s grants, %s grant keys%s%s', a.account_type, coalesce(h.billing_model, 'no settings'),
                  coalesce(g.grants, 0), coalesce(k.keys, 0), CASE WHEN a.grant_due THEN ', one due' ELSE '' END,
                  CASE WHEN k.replaced THEN ', replaced by an opening balance' ELSE '' END) AS detail
      FROM accounts a
      LEFT JOIN billing_settings_history h ON h.mandate_id = a.mandate_id AND h.version = a.opened_version
      LEFT JOIN (SELECT t.account_id, count(*) AS grants,
                        bool_and(t.transaction_type = '{GRANT.transaction_type}' AND t.balance_account_id IS NOT DISTINCT FROM t.account_id) AS own
                   FROM transactions t LEFT JOIN batches b ON b.id = t.batch_id
                  WHERE t.recorded_at >= :since AND t.reference_type = '{GRANT.reference_type}' AND b.kind IS DISTINCT FROM 'import'
                  GROUP BY t.account_id) AS g ON g.account_id = a.id
      LEFT JOIN (SELECT mandate_id, idempotency_key, count(*) AS keys, bool_or(result ->> 'opening' IS NOT NULL) AS replaced,
                        bool_or(recorded_at >= :since) AS recent
                   FROM operation_keys WHERE operation = 'grant' GROUP BY mandate_id, idempotency_key) AS k
        ON k.mandate_id = a.mandate_id AND k.idempotency_key = 'grant:' || a.id
     CROSS JOIN LATERAL (
               SELECT EXISTS (SELECT FROM billing_settings_history n
                                JOIN billing_settings_history p ON p.mandate_id = n.mandate_id AND p.version = n.version - 1
                               WHERE n.mandate_id = a.mandate_id AND n.changed_at = a.opened_at
                                 AND n.billing_model <> p.billing_model) AS by_switch,
                      EXISTS (SELECT FROM billing_settings_history l
                               WHERE l.mandate_id = a.mandate_id AND l.version >= a.opened_version
                                 AND l.default_user_credit = 0) AS without_credit
           ) AS opened
     WHERE h.version IS NULL
        OR coalesce(g.grants, 0) > 1 OR NOT coalesce(g.own, true)
        OR coalesce(g.grants, 0) <> CASE WHEN k.replaced OR k.recent IS NOT TRUE THEN 0 ELSE k.keys END OR (k.replaced AND a.grant_due)
        OR (coalesce(g.grants, 0) > 0 AND a.account_type = 'MANDATE')
        OR (NOT opened.by_switch AND coalesce(g.grants, 0) > 0 AND h.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY'))
        OR (NOT opened.by_switch AND NOT opened.without_credit AND a.account_type = 'USER' AND h.billing_model = 'PREPAY_USER'
            AND NOT a.grant_due AND k.keys IS NULL)
    UNION ALL
    SELECT format('job %s, period %s', job, period), format('%s rows', count(*)) FROM job_runs GROUP BY job, period HAVING count(*) > 1
"""

# Each movement is there once, as the result under its key says.
_ASKED_FOR = kinds(lambda kind: kind.operation)
_CASES = " ".join(f"WHEN '{kind.operation}' THEN '{kind.reference_type}'" for kind in _ASKED_FOR)
_UNDER_KEYS = f"""
    UNION ALL
    SELECT format('%s %s of mandate %s', k.operation, k.idempotency_key, k.mandate_id),
           format('%s entries stand under it, not transaction %s alone', count(t.id), min(k.result ->> 'transaction_id'))
      FROM (SELECT *, CASE operation {_CASES} END AS reference_type FROM operation_keys) AS k
      LEFT JOIN transactions t ON t.mandate_id = k.mandate_id AND t.operation_key = k.idempotency_key AND t.reference_type = k.reference_type
                              AND t.recorded_at >= :since
     WHERE k.reference_type IS NOT NULL AND k.recorded_at >= :since
     GROUP BY k.operation, k.idempotency_key, k.mandate_id
    HAVING count(t.id) <> 1 OR min(t.id) IS DISTINCT FROM CAST(min(k.result ->> 'transaction_id') AS bigint)
    UNION ALL
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id), format('nobody asked for it under the key %s', t.operation_key)
      FROM transactions t
     WHERE t.recorded_at >= :since AND t.reference_type IN {listed(kind.reference_type for kind in _ASKED_FOR)} AND t.operation_key IS NOT NULL
       AND NOT EXISTS (SELECT FROM operation_keys k WHERE k.mandate_id = t.mandate_id AND k.idempotency_key = t.operation_key)
"""


def grants_are_single() -> Invariant:
    """I14. A member not yet known at the opening has `grant_due` until the grant is made, so one of the two must hold.

    Movements are asked for under keys as grants are, so that they too are there once.

    Left out where nothing can be said: accounts that a model switch opened (in the transaction of a version with another
    model than the one before), since it makes no grants, and those that had no credit to expect under some later version.
    An import takes the place of the grant of an account that had none: its key is there, and no grant may be. What its history
    shows as a grant moved nothing here. A grant and its key are written together, so that grants of earlier are known by their keys.
    """
    return Invariant(
        "I14",
        "every account has at most one grant, and exactly one if it was opened for a known member under PREPAY_USER; jobs run once a period",
        text(_GRANTS + _UNDER_KEYS),
    )
