"""SQL that tells where one ledger entry came from, and what became of it."""

from sqlalchemy import text

from core.ledger.kinds import USAGE
from core.ledger.sql.transactions import DELTA

OF_EVENT = text("SELECT transaction_id FROM event_keys WHERE mandate_id = :mandate_id AND event_id = :event_id")

# The key's row was written in the same transaction as the entry; another operation may use the same key.
OPERATION = text("""
    SELECT min(operation) FROM operation_keys WHERE mandate_id = :mandate_id AND idempotency_key = :key AND recorded_at = :recorded_at
""")

SETTINGS = text("""
    SELECT version, billing_model, time_zone, changed_by, changed_at FROM billing_settings_history
     WHERE mandate_id = :mandate_id AND version = :version
""")

# How the amount of an entry came about: its stamp, and the usage object as its shape and values.
PRICED = text("""
    SELECT p.kind, p.version_id, p.rows, p.fx_id, p.rule_id, p.uncharged_id, p.dialect, p.dialect_version, p.rater_version,
           t.leaves, t.usage_values, (SELECT u.shape FROM usage_shapes u WHERE u.id = t.usage_shape) AS shape,
           (SELECT CAST(f.legs AS text) FROM fx_rates f WHERE f.id = p.fx_id) AS legs
      FROM transactions t
      JOIN stamps p ON p.id = t.stamp_id
     WHERE t.id = :transaction_id AND t.recorded_at = :recorded_at
""")

NAMING = text("SELECT id FROM transactions WHERE reverses_id = :transaction_id ORDER BY id LIMIT :related_max")

AMENDMENTS = text("""
    SELECT number, operation, idempotency_key AS key, reversed_id, reversal_id, debit_id, recorded_at FROM amendments
     WHERE mandate_id = :mandate_id AND event_id = :event_id ORDER BY number LIMIT :related_max
""")

LETTERS = text("""
    SELECT id, reason, detail, status, first_seen_at FROM dead_letters
     WHERE mandate_id = :mandate_id AND event_id = :event_id ORDER BY id LIMIT :related_max
""")

# From the next mark back, or from the present balance where there is none yet. Two indexes together have a user's, as in
# core/ledger/sql/balance_at.py.
_LATER = """
    t.recorded_at BETWEEN :recorded_at AND mark.recorded_at
    AND (t.recorded_at, t.id) > (:recorded_at, :transaction_id) AND (t.recorded_at, t.id) <= (mark.recorded_at, mark.transaction_id)
"""
_AFTER = """
    SELECT mark.balance - coalesce(sum(later.amount), 0)
      FROM ((SELECT recorded_at, transaction_id, balance FROM balance_marks
              WHERE account_id = :account_id AND (recorded_at, transaction_id) >= (:recorded_at, :transaction_id)
              ORDER BY recorded_at, transaction_id LIMIT 1)
            UNION ALL
            SELECT 'infinity', 9223372036854775807, balance FROM accounts WHERE id = :account_id
             ORDER BY recorded_at LIMIT 1) AS mark
      LEFT JOIN LATERAL ({}) AS later ON true
     GROUP BY mark.balance
"""
AFTER_OF_USER = text(
    _AFTER.format(f"""
        SELECT {DELTA} AS amount FROM transactions t WHERE t.account_id = :account_id AND t.balance_account_id = :account_id AND {_LATER}
        UNION ALL
        SELECT {DELTA} FROM transactions t
         WHERE t.balance_account_id = :account_id AND t.balance_account_id <> t.account_id
           AND t.reference_type <> '{USAGE.reference_type}' AND {_LATER}
    """)
)
AFTER_OF_POOL = text(
    _AFTER.format(f"""
        SELECT {DELTA} AS amount FROM transactions t WHERE t.mandate_id = :mandate_id AND t.balance_account_id = :account_id AND {_LATER}
    """)
)
