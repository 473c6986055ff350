"""Invariants of what transactions refer to: accounts of their own mandate, settings of their time."""

from sqlalchemy import text

from core.ledger.kinds import AMENDED, REFUND, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.schema.books import billing_settings, billing_settings_history
from core.verifying.sql.invariants.invariant import Invariant

_STRAYS = f"""
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id) AS subject,
           CASE WHEN a.id IS NULL THEN format('its account %s does not exist', t.account_id)
                WHEN a.mandate_id <> t.mandate_id THEN format('its account %s is one of mandate %s', a.id, a.mandate_id)
                WHEN b.id IS NULL AND t.balance_account_id IS NOT NULL
                THEN format('its balance account %s does not exist', t.balance_account_id)
                WHEN b.mandate_id <> t.mandate_id THEN format('its balance account %s is one of mandate %s', b.id, b.mandate_id)
                ELSE format('its account %s is not the one of user %s', a.id, t.created_by_user_id) END AS detail
      FROM transactions t
      LEFT JOIN accounts a ON a.id = t.account_id
      LEFT JOIN accounts b ON b.id = t.balance_account_id
     WHERE t.recorded_at >= :since
       AND (a.id IS NULL OR a.mandate_id <> t.mandate_id OR b.mandate_id <> t.mandate_id
            OR (t.balance_account_id IS NOT NULL AND b.id IS NULL)
            OR ((t.reference_type = '{USAGE.reference_type}' OR {is_of([AMENDED])})
                AND a.user_id IS DISTINCT FROM t.created_by_user_id))
    UNION ALL
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id),
           format('it reverses %s, which is not one of its mandate', t.reverses_id)
      FROM transactions t LEFT JOIN transactions o ON o.id = t.reverses_id AND o.mandate_id = t.mandate_id
     WHERE t.recorded_at >= :since AND t.reverses_id IS NOT NULL AND o.id IS NULL
    UNION ALL
    SELECT format('alert %s of mandate %s', l.id, l.mandate_id), format('its account %s is not one of its mandate', l.account_id)
      FROM balance_alerts l LEFT JOIN accounts a ON a.id = l.account_id AND a.mandate_id = l.mandate_id
     WHERE l.recorded_at >= :since AND a.id IS NULL
"""

# A refund gives back a part of the entry that it names, where that entry stands, and all parts together are no more than the whole.
# (One among imported history was made elsewhere.)
_REFUNDS = f"""
    SELECT format('refund %s of mandate %s', coalesce(r.refund_transaction_id, t.id), coalesce(r.mandate_id, t.mandate_id)),
           CASE WHEN r.transaction_id IS NULL THEN 'it is in the ledger alone'
                WHEN t.id IS NULL THEN 'it is not in the ledger'
                ELSE format('it does not give %s CHF of transaction %s back where that stands', r.amount, r.transaction_id) END
      FROM (SELECT * FROM refunds WHERE recorded_at >= :since) AS r
      FULL JOIN (SELECT e.* FROM transactions e LEFT JOIN batches b ON b.id = e.batch_id
                  WHERE e.recorded_at >= :since AND e.reference_type = '{REFUND.reference_type}' AND b.kind IS DISTINCT FROM 'import') AS t
        ON t.id = r.refund_transaction_id AND t.mandate_id = r.mandate_id
      LEFT JOIN transactions o ON o.id = r.transaction_id AND o.mandate_id = r.mandate_id
     WHERE r.transaction_id IS NULL OR t.id IS NULL OR t.reverses_id IS DISTINCT FROM o.id
        OR t.amount IS DISTINCT FROM CASE WHEN o.transaction_type = 'DEBIT' OR o.amount < 0 THEN r.amount ELSE -r.amount END
        OR (t.account_id, t.balance_account_id) IS DISTINCT FROM (o.account_id, o.balance_account_id)
    UNION ALL
    SELECT format('transaction %s of mandate %s', o.id, o.mandate_id), format('refunds of %s CHF exceed its %s CHF', r.total, abs(o.amount))
      FROM (SELECT mandate_id, transaction_id, sum(amount) AS total FROM refunds GROUP BY mandate_id, transaction_id
            HAVING max(recorded_at) >= :since) AS r
      JOIN transactions o ON o.id = r.transaction_id AND o.mandate_id = r.mandate_id
     WHERE r.total > abs(o.amount)
    UNION ALL
    SELECT format('refund %s of mandate %s', r.refund_transaction_id, r.mandate_id),
           format('%s CHF of transaction %s are refunded with it, not %s CHF', r.total, r.transaction_id, r.refunded)
      FROM (SELECT *, sum(amount) OVER (PARTITION BY mandate_id, transaction_id ORDER BY refund_transaction_id) AS total FROM refunds) AS r
     WHERE r.recorded_at >= :since AND r.refunded <> r.total
"""


def mandates_stay_apart() -> Invariant:
    """I11. The tables have no foreign keys, so this is also where a reference into nothing shows."""
    return Invariant(
        "I11",
        "no transaction crosses mandates, usage is about the account of its user, and a refund is one of the entry that it names",
        text(_STRAYS + "UNION ALL" + _REFUNDS),
    )


# The history tells of each version the last id drawn before it, noted while the mandate was held alone.
_VERSIONS = """
    SELECT mandate_id, version, billing_model, after_transaction_id AS after_id,
           lead(after_transaction_id) OVER (PARTITION BY mandate_id ORDER BY version) AS until_id
      FROM billing_settings_history
"""

_VERSIONS_CARRIED = f"""
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id) AS subject,
           CASE WHEN h.version IS NULL THEN format('the history has no settings version %s', t.settings_version)
                WHEN t.id <= h.after_id OR t.id > h.until_id THEN format('it was not made under version %s', h.version)
                WHEN i.kind = 'import' THEN format('it is history, and moved the balance of account %s', t.balance_account_id)
                ELSE format('under %s (version %s) account %s can not have paid', h.billing_model, h.version,
                            coalesce(CAST(t.balance_account_id AS text), 'none')) END AS detail
      FROM transactions t
      LEFT JOIN ({_VERSIONS}) AS h ON h.mandate_id = t.mandate_id AND h.version = t.settings_version
      LEFT JOIN accounts b ON b.id = t.balance_account_id
      LEFT JOIN batches i ON i.id = t.batch_id
     WHERE t.recorded_at >= :since
       AND (h.version IS NULL
            OR t.id <= h.after_id OR t.id > h.until_id
            OR (i.kind = 'import' AND t.balance_account_id IS NOT NULL)
            OR (t.reference_type = '{USAGE.reference_type}' AND i.kind IS DISTINCT FROM 'import'
                AND NOT CASE h.billing_model WHEN 'UNLIMITED' THEN t.balance_account_id IS NULL
                                             WHEN 'PREPAY_USER' THEN t.balance_account_id IS NOT DISTINCT FROM t.account_id
                                             ELSE coalesce(b.account_type = 'MANDATE', false) END))
"""

_COLUMNS = [c.name for c in billing_settings_history.columns if c.name in billing_settings.columns and not c.primary_key]
_PRESENT_VERSIONS = f"""
    SELECT format('mandate %s', coalesce(s.mandate_id, n.mandate_id, a.mandate_id)),
           CASE WHEN s.mandate_id IS NULL THEN 'it has accounts or a history, and no settings'
                WHEN n.versions <> n.newest THEN format('its history has %s versions up to version %s', n.versions, n.newest)
                WHEN s.version IS DISTINCT FROM n.newest
                THEN format('its settings, version %s, are not the newest of their history, version %s', s.version, n.newest)
                ELSE format('its settings are not what the history says of version %s', s.version) END
      FROM billing_settings s
      FULL JOIN (SELECT mandate_id, max(version) AS newest, count(*) AS versions FROM billing_settings_history GROUP BY mandate_id) AS n
        ON n.mandate_id = s.mandate_id
      FULL JOIN (SELECT DISTINCT mandate_id FROM accounts) AS a ON a.mandate_id = coalesce(s.mandate_id, n.mandate_id)
      LEFT JOIN billing_settings_history h ON h.mandate_id = s.mandate_id AND h.version = s.version
     WHERE s.mandate_id IS NULL OR n.versions IS DISTINCT FROM n.newest OR n.newest <> s.version
        OR ({", ".join(f"h.{name}" for name in _COLUMNS)}) IS DISTINCT FROM ({", ".join(f"s.{name}" for name in _COLUMNS)})
"""


def settings_are_those_of_the_time() -> Invariant:
    """I13. Who paid for usage follows from the billing model of that version; the newest version is the present one, in every field.

    Which version an entry was made under is told by its id, for versions made since ids are noted with them. What an import wrote as
    history was paid elsewhere, so nobody may have paid for it here.
    """
    return Invariant(
        "I13",
        "each transaction carries the settings version that it was made under, and usage was paid as that version says",
        text(_VERSIONS_CARRIED + "UNION ALL" + _PRESENT_VERSIONS),
    )
