"""SQL that tells where one ledger entry came from, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.domain.billing import BillingModel
from core.domain.kinds import USAGE
from core.storage.transactions import DELTA

RELATED_MAX = 1000  # entries and amendments shown with one entry

_OF_EVENT = text("SELECT transaction_id FROM event_keys WHERE mandate_id = :mandate_id AND event_id = :event_id")

# The key's row was written in the same transaction as the entry; another operation may use the same key.
_OPERATION = text("""
    SELECT min(operation) FROM operation_keys WHERE mandate_id = :mandate_id AND idempotency_key = :key AND recorded_at = :recorded_at
""")

_SETTINGS = text("""
    SELECT version, billing_model, time_zone, changed_by, changed_at FROM billing_settings_history
     WHERE mandate_id = :mandate_id AND version = :version
""")

_NAMING = text("SELECT id FROM transactions WHERE reverses_id = :transaction_id ORDER BY id LIMIT :related_max")

_AMENDMENTS = text("""
    SELECT number, operation, idempotency_key, reversed_id, reversal_id, debit_id, recorded_at FROM amendments
     WHERE mandate_id = :mandate_id AND event_id = :event_id ORDER BY number LIMIT :related_max
""")

_LETTERS = text("""
    SELECT id, reason, detail, status, first_seen_at FROM dead_letters
     WHERE mandate_id = :mandate_id AND event_id = :event_id ORDER BY id LIMIT :related_max
""")

# From the next mark back, or from the present balance where there is none yet. Two indexes together have a user's, as in
# storage/reading/movements.py.
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
_AFTER_OF_USER = text(
    _AFTER.format(f"""
        SELECT {DELTA} AS amount FROM transactions t WHERE t.account_id = :account_id AND t.balance_account_id = :account_id AND {_LATER}
        UNION ALL
        SELECT {DELTA} FROM transactions t
         WHERE t.balance_account_id = :account_id AND t.balance_account_id <> t.account_id
           AND t.reference_type <> '{USAGE.reference_type}' AND {_LATER}
    """)
)
_AFTER_OF_POOL = text(
    _AFTER.format(f"""
        SELECT {DELTA} AS amount FROM transactions t WHERE t.mandate_id = :mandate_id AND t.balance_account_id = :account_id AND {_LATER}
    """)
)


@dataclass(frozen=True, slots=True)
class RulesThen:
    """The settings version that an entry was made under: what decided whose balance it moved, and its local day."""

    version: int
    billing_model: BillingModel
    time_zone: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class AmendmentStep:
    """One amendment of an event: the entry that stood for it, the reversal that took that back, and the debit in its place."""

    number: int
    operation: str
    key: str
    reversed_id: int
    reversal_id: int
    debit_id: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class RelatedLetter:
    """A dead letter with the same event id."""

    id: int
    reason: str
    detail: str
    status: str
    first_seen_at: datetime


def find_usage_debit(connection: Connection, mandate_id: str, event_id: str) -> int | None:
    """The id of the transaction that the event was recorded as, if it was."""
    found: int | None = connection.execute(_OF_EVENT, {"mandate_id": mandate_id, "event_id": event_id}).scalar_one_or_none()
    return found


def find_operation(connection: Connection, mandate_id: str, key: str, recorded_at: datetime) -> str | None:
    """The operation that kept this key of the mandate at that moment, if one did."""
    parameters = {"mandate_id": mandate_id, "key": key, "recorded_at": recorded_at}
    found: str | None = connection.execute(_OPERATION, parameters).scalar_one()
    return found


def find_rules(connection: Connection, mandate_id: str, version: int) -> RulesThen | None:
    """That version of the mandate's settings, if the history has it."""
    row = connection.execute(_SETTINGS, {"mandate_id": mandate_id, "version": version}).one_or_none()
    return None if row is None else RulesThen(row.version, BillingModel(row.billing_model), *row[2:])


def entries_naming(connection: Connection, transaction_id: int) -> list[int]:
    """The ids of refunds and reversals that name the entry, ascending; at most the first 1,000."""
    parameters = {"transaction_id": transaction_id, "related_max": RELATED_MAX}
    return list(connection.execute(_NAMING, parameters).scalars())


def amendments_of(connection: Connection, mandate_id: str, event_id: str) -> list[AmendmentStep]:
    """The event's amendments in order; at most the first 1,000."""
    parameters = {"mandate_id": mandate_id, "event_id": event_id, "related_max": RELATED_MAX}
    return [AmendmentStep(*row) for row in connection.execute(_AMENDMENTS, parameters)]


def letters_of(connection: Connection, mandate_id: str, event_id: str) -> list[RelatedLetter]:
    """The dead letters with this event id, by id; at most the first 1,000."""
    parameters = {"mandate_id": mandate_id, "event_id": event_id, "related_max": RELATED_MAX}
    return [RelatedLetter(*row) for row in connection.execute(_LETTERS, parameters)]


def balance_after(connection: Connection, mandate_id: str, account_id: int, recorded_at: datetime, transaction_id: int, *, is_pool: bool) -> Decimal:
    """The balance (CHF) of the account right after this entry on it, in the order of `recorded_at` and id."""
    parameters = {"mandate_id": mandate_id, "account_id": account_id, "recorded_at": recorded_at, "transaction_id": transaction_id}
    balance: Decimal = connection.execute(_AFTER_OF_POOL if is_pool else _AFTER_OF_USER, parameters).scalar_one()
    return balance
