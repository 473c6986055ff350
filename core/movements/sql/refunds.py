"""SQL of refunds: which entry is to be refunded, how much of it is already, and that more of it is now."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from core.ledger.kinds import REVERSAL, EntryKind, kind_of
from core.ledger.sql.entry_kinds import is_of
from core.money import ZERO

_FIND = text("""
    SELECT id, account_id, balance_account_id, transaction_type, reference_type, amount
      FROM transactions WHERE id = :transaction_id AND mandate_id = :mandate_id
""")

_REVERSAL = text(f"SELECT max(id) FROM transactions t WHERE reverses_id = :transaction_id AND {is_of([REVERSAL])}")

# The latest refund says what it and all before it come to; one that an older program has written doesn't, and then all are added up.
# Ids are drawn while the balance is locked, so that the greatest is the latest.
_REFUNDED = text("""
    SELECT coalesce(r.refunded, (SELECT sum(amount) FROM refunds WHERE mandate_id = :mandate_id AND transaction_id = :transaction_id))
      FROM refunds r
     WHERE r.mandate_id = :mandate_id AND r.transaction_id = :transaction_id ORDER BY r.refund_transaction_id DESC LIMIT 1
""")

_WRITE = text("""
    INSERT INTO refunds (mandate_id, refund_transaction_id, transaction_id, amount, refunded)
    VALUES (:mandate_id, :refund_transaction_id, :transaction_id, :amount, :refunded)
""")


@dataclass(frozen=True, slots=True)
class BookedEntry:
    """A transaction that is in the books; `amount` in CHF, signed for an ADJUSTMENT."""

    id: int
    account_id: int
    balance_account_id: int | None
    kind: EntryKind
    amount: Decimal


def find_entry(connection: Connection, mandate_id: str, transaction_id: int) -> BookedEntry | None:
    """The mandate's transaction with this id, if there is one; it never changes."""
    row = connection.execute(_FIND, {"mandate_id": mandate_id, "transaction_id": transaction_id}).one_or_none()
    if row is None:
        return None
    return BookedEntry(row.id, row.account_id, row.balance_account_id, kind_of(row.transaction_type, row.reference_type), row.amount)


def find_reversal(connection: Connection, transaction_id: int) -> int | None:
    """The transaction that took this one back when an operator corrected it, if one did. The caller has locked its balance."""
    found: int | None = connection.execute(_REVERSAL, {"transaction_id": transaction_id}).scalar_one()
    return found


def refunded_amount(connection: Connection, mandate_id: str, transaction_id: int) -> Decimal:
    """What was refunded of the transaction so far, in CHF, 0 or more; it stays so only while its balance is locked."""
    refunded: Decimal | None = connection.execute(_REFUNDED, {"mandate_id": mandate_id, "transaction_id": transaction_id}).scalar_one_or_none()
    return ZERO if refunded is None else refunded


def write_refund(connection: Connection, mandate_id: str, *, refund_id: int, transaction_id: int, amount: Decimal, refunded: Decimal) -> None:
    """Notes that the transaction `refund_id` gives back `amount` (CHF, above 0) of `transaction_id`, with which `refunded` is given back of it."""
    refund = {"refund_transaction_id": refund_id, "transaction_id": transaction_id, "amount": amount, "refunded": refunded}
    connection.execute(_WRITE, {"mandate_id": mandate_id, **refund})
