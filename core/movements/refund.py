"""Refunding: an entry is given back, whole or in part, by a new one that names it."""

from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.request import PositiveAmount, Reason, Request, RowId
from core.billing import TransactionType
from core.errors import NotFound, RequestRefused
from core.ledger import kinds
from core.ledger.entry import Entry
from core.ledger.hold import locked_accounts
from core.ledger.post import post
from core.ledger.sql.batches import begin_batch, write_batch
from core.movements.movement import movement, under_key
from core.movements.result import MovementResult, result_of
from core.movements.sql.refunds import BookedEntry, find_entry, find_reversal, refunded_amount, write_refund
from core.printable import shown
from core.settings.model import BillingSettings


class Refund(Request):
    """The entry to be given back: CHF above 0, at most what is left of it, or all that is left."""

    transaction_id: RowId
    amount: PositiveAmount | None = None
    reason: Reason = "Refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundResult(MovementResult):
    """The entry that gives back, which one it names, and how much of that can still be refunded (CHF)."""

    refunded_transaction_id: int
    refundable: Decimal


@movement("movement.refund", "refund a transaction")
@under_key()
def refund(connection: Connection, settings: BillingSettings, asked: Refund) -> RefundResult:
    """Gives usage, a top-up or an adjustment back (ADJUSTMENT, REFUND), on the same account and the same balance.

    All refunds of an entry together never exceed its amount, however many are asked for at once. Usage that nobody paid for
    moves no balance; it stands as refunded beside the statistics. The warning threshold stays. A replay returns the first result.

    Raises:
        NotFound: the mandate has no such transaction.
        RequestRefused: the entry is of a kind that isn't refunded, or was amended, or less of it is left than asked for; or the
            balance would become more than the books can hold.
    """
    entry = _refundable_entry(connection, asked)
    held = entry.balance_account_id or entry.account_id  # whoever else would refund or amend the entry waits for this account
    accounts = locked_accounts(connection, asked.mandate_id, {held})
    left = _left(connection, asked, entry)
    amount = left if asked.amount is None else asked.amount
    taken_off = entry.kind.transaction_type is TransactionType.DEBIT or entry.amount < 0
    back = Entry(
        settings,
        kinds.REFUND,
        entry.account_id,
        entry.balance_account_id,
        amount if taken_off else -amount,
        asked.reason,
        asked.by,
        asked.key,
        entry.id,
    )
    batch = begin_batch(connection)
    posted = post(connection, [back], accounts, batch.id)
    refunded = abs(entry.amount) - left + amount
    write_refund(connection, asked.mandate_id, refund_id=posted.transaction_ids[0], transaction_id=entry.id, amount=amount, refunded=refunded)
    write_batch(connection, batch, worker=asked.by, kind="refund", transaction_ids=posted.transaction_ids)
    return RefundResult(**asdict(result_of(back, posted)), refunded_transaction_id=entry.id, refundable=left - amount)


def _refundable_entry(connection: Connection, asked: Refund) -> BookedEntry:
    entry = find_entry(connection, asked.mandate_id, asked.transaction_id)
    if entry is None:
        raise NotFound(
            f"mandate {shown(asked.mandate_id)} has no transaction {asked.transaction_id}", field="transaction_id", value=asked.transaction_id
        )
    if not entry.kind.refundable:
        raise RequestRefused(
            f"{entry.id} is a {entry.kind.transaction_type} of kind {entry.kind.reference_type}, which is not refunded:"
            " only usage, top-ups and adjustments are; an adjustment can set the balance right",
            field="transaction_id",
            value=entry.id,
        )
    return entry


def _left(connection: Connection, asked: Refund, entry: BookedEntry) -> Decimal:
    """What can still be refunded of the entry, at least what is asked for."""
    if (reversal := find_reversal(connection, entry.id)) is not None:
        raise RequestRefused(
            f"{entry.id} was taken back by amendment {reversal}; refund the entry that replaced it",
            field="transaction_id",
            value=asked.transaction_id,
        )
    refunded = refunded_amount(connection, asked.mandate_id, entry.id)
    left = abs(entry.amount) - refunded
    if left == 0:
        raise RequestRefused(
            f"nothing is left to refund of transaction {entry.id}, {refunded:f} of {abs(entry.amount):f} CHF are refunded",
            field="amount",
            value=asked.amount,
        )
    if asked.amount is not None and asked.amount > left:
        raise RequestRefused(
            f"{asked.amount:f} CHF is more than the {left:f} CHF that are left of transaction {entry.id} to refund",
            field="amount",
            value=asked.amount,
        )
    return left
