"""Refunding: an entry is given back, whole or in part, by a new one that names it."""

from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.billing import ReferenceType, TransactionType
from core.domain.rejection import shown
from core.domain.request import PositiveAmount, Reason, Request, RowId
from core.domain.rights import Actor, require_root
from core.domain.settings import BillingSettings
from core.errors import NotFound, RequestRefused
from core.operations.moving.accounts import locked_accounts, present_settings
from core.operations.moving.move import move
from core.operations.moving.once import once
from core.operations.moving.result import MovementResult, result_of
from core.storage.batches import begin_batch, write_batch
from core.storage.database import Database
from core.storage.movements import Movement
from core.storage.operation_keys import Operation
from core.storage.refunds import LedgerEntry, find_entry, find_reversal, refunded_amount, write_refund

REFUND = "refund"
_REFUNDABLE = frozenset({ReferenceType.WORKFLOW, ReferenceType.PAYMENT, ReferenceType.ADJUSTMENT})


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


def refund(database: Database, actor: Actor, asked: Refund) -> RefundResult:
    """Gives usage, a top-up or an adjustment back (ADJUSTMENT, REFUND), on the same account and the same balance.

    All refunds of an entry together never exceed its amount, however many are asked for at once. Usage that nobody paid for
    moves no balance; it stands as refunded beside the statistics. The warning threshold stays. A replay returns the first result.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings, or no such transaction.
        Conflict: the key was used for another refund.
        RequestRefused: the entry is of a kind that isn't refunded, or was amended, or less of it is left than asked for; or the
            balance would become more than the books can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "refund a transaction")
    with database.transaction() as connection:
        settings = present_settings(connection, asked.mandate_id)
        return once(
            connection,
            Operation(asked.mandate_id, REFUND, asked.key, asked.content()),
            RefundResult,
            lambda: _refunded(connection, asked, settings),
        )


def _refunded(connection: Connection, asked: Refund, settings: BillingSettings) -> RefundResult:
    entry = _refundable_entry(connection, asked)
    held = entry.balance_account_id or entry.account_id  # whoever else would refund or amend the entry waits for this account
    accounts = locked_accounts(connection, asked.mandate_id, {held})
    left = _left(connection, asked, entry)
    amount = left if asked.amount is None else asked.amount
    taken_off = entry.transaction_type is TransactionType.DEBIT or entry.amount < 0
    movement = Movement(
        entry.account_id,
        entry.balance_account_id,
        TransactionType.ADJUSTMENT,
        amount if taken_off else -amount,
        ReferenceType.REFUND,
        asked.reason,
        asked.by,
        asked.key,
        entry.id,
    )
    batch = begin_batch(connection)
    moved = move(connection, [movement], accounts, settings, batch.id)
    refunded = abs(entry.amount) - left + amount
    write_refund(connection, asked.mandate_id, refund_id=moved.transaction_ids[0], transaction_id=entry.id, amount=amount, refunded=refunded)
    write_batch(connection, batch, worker=asked.by, kind=REFUND, transaction_ids=moved.transaction_ids)
    result = result_of(movement, moved, asked.mandate_id)
    return RefundResult(**asdict(result), refunded_transaction_id=entry.id, refundable=left - amount)


def _refundable_entry(connection: Connection, asked: Refund) -> LedgerEntry:
    entry = find_entry(connection, asked.mandate_id, asked.transaction_id)
    if entry is None:
        raise NotFound(f"transaction_id: mandate {shown(asked.mandate_id)} has no transaction {asked.transaction_id}")
    amended = entry.reference_type is ReferenceType.AMENDMENT and entry.transaction_type is TransactionType.DEBIT
    if entry.reference_type not in _REFUNDABLE and not amended:
        raise RequestRefused(
            f"transaction_id: {entry.id} is a {entry.transaction_type} of kind {entry.reference_type}, which is not refunded:"
            " only usage, top-ups and adjustments are; an adjustment can set the balance right"
        )
    return entry


def _left(connection: Connection, asked: Refund, entry: LedgerEntry) -> Decimal:
    """What can still be refunded of the entry, at least what is asked for."""
    if (reversal := find_reversal(connection, entry.id)) is not None:
        raise RequestRefused(f"transaction_id: {entry.id} was taken back by amendment {reversal}; refund the entry that replaced it")
    refunded = refunded_amount(connection, asked.mandate_id, entry.id)
    left = abs(entry.amount) - refunded
    if left == 0:
        raise RequestRefused(f"amount: nothing is left to refund of transaction {entry.id}, {refunded:f} of {abs(entry.amount):f} CHF are refunded")
    if asked.amount is not None and asked.amount > left:
        raise RequestRefused(f"amount: {asked.amount:f} CHF is more than the {left:f} CHF that are left of transaction {entry.id} to refund")
    return left
