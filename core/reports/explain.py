"""Where one ledger entry came from: what asked for it, under which rules, what it did to a balance, and what corrected it since."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from core.asking.request import RowId
from core.asking.rights import Actor, Role, require_mandate, require_root, sees_member
from core.asking.view import deciding_view
from core.billing import AccountType, BillingModel, TransactionType
from core.database.rows import row, rows
from core.directory.sql.members import find_member
from core.errors import NotFound
from core.events.contract import Id, RecordedEventId
from core.holds.model import Hold
from core.ledger.kinds import REVERSAL
from core.ledger.read_transactions import Transaction, transactions_with_ids, without_costs
from core.ledger.sql.shown_accounts import Account, find_account
from core.money import ZERO
from core.movements.sql.refunds import refunded_amount
from core.printable import shown
from core.recording.read_batches import CommittedBatch
from core.recording.sql.batches import FIND as FIND_BATCH
from core.reports.bounds import CountedIn, caps_counting, caps_seen_by, hold_named_by, hold_seen_by
from core.reports.receipt import receipt_of
from core.reports.sql import explanations as sql

RELATED_MAX = 1_000  # entries, amendments and dead letters shown with one entry


class Relation(StrEnum):
    """What another entry is to the explained one."""

    CORRECTED = "corrected"  # the explained one gives it back or takes it back
    REFUND = "refund"  # gives the explained one back
    REVERSAL = "reversal"  # takes the explained one back
    AMENDMENT = "amendment"  # stood for the same event before, or does since


@dataclass(frozen=True, slots=True)
class Related:
    """An entry that has to do with the explained one."""

    relation: Relation
    transaction: Transaction


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """One ledger entry and all that belongs to it; amounts in CHF.

    `moved` is what it added to the balance of `balance_account`, which stood at `balance_before` and then at `balance_after`: in
    the order of `recorded_at` and id, in which a batch's entries follow one another, though the batch moved the balance at once.
    Without `balance_account` it moved none. `operation` is what the entry's key was used for, where it has one. `refunded` is what
    was given back of it, 0 or more, by all refunds, also those beyond the ones in `related`. `receipt` tells every step from the usage
    object to the amount; None of an entry without a stamp, and for everybody but root. `hold` is the one that the event named, as it
    stands now, and `caps` are those of today in which the entry counts.
    """

    transaction: Transaction
    account: Account
    balance_account: Account | None
    moved: Decimal
    balance_before: Decimal | None
    balance_after: Decimal | None
    operation: str | None
    rules: RulesThen | None
    batch: CommittedBatch | None
    refunded: Decimal
    related: list[Related]
    amendments: list[AmendmentStep]
    dead_letters: list[RelatedLetter]
    receipt: dict[str, Any] | None = None
    hold: Hold | None = None
    caps: list[CountedIn] = field(default_factory=list)


@deciding_view("view.explain")
def explain(connection: Connection, actor: Actor, transaction_id: RowId) -> Explanation:
    """Where the transaction came from and what became of it, at one moment.

    Root sees all of it; a mandate's administrator all but the batch, which has other mandates' events too, and what the usage costs at
    the provider, with the receipt. A user sees entries
    about their own account, without dead letters, entries about others, and balances of others; the pool's as an enabled member.
    Nobody but root learns whether it exists.
    """
    found = transactions_with_ids(connection, [transaction_id])
    if not found or not _sees(actor, found[0]):
        require_root(actor, f"read transaction {transaction_id}")
        raise NotFound(f"there is no transaction {transaction_id}")
    return _seen_by(connection, actor, _explained(connection, found[0]))


@deciding_view("view.explain_event")
def explain_event(connection: Connection, actor: Actor, mandate_id: Id, event_id: RecordedEventId) -> Explanation:
    """As `explain`, of the usage debit that the event was recorded as. Only who may see the mandate learns whether it exists."""
    transaction_ids = connection.execute(sql.OF_EVENT, {"mandate_id": mandate_id, "event_id": event_id}).scalars().all()
    found = transactions_with_ids(connection, transaction_ids) if transaction_ids else []
    if not found or not _sees(actor, found[0]):
        require_mandate(actor, mandate_id, f"read event {shown(event_id)}")
        raise NotFound(f"event {shown(event_id)} of mandate {shown(mandate_id)} is not recorded")
    return _seen_by(connection, actor, _explained(connection, found[0]))


def _sees(actor: Actor, entry: Transaction) -> bool:
    return sees_member(actor, entry.mandate_id, entry.account_user_id)


def _explained(connection: Connection, entry: Transaction) -> Explanation:
    account = find_account(connection, entry.account_id)
    assert account is not None  # accounts are never deleted
    payer = None if entry.balance_account_id is None else find_account(connection, entry.balance_account_id)
    moved = ZERO if payer is None else _signed(entry)
    after = None if payer is None else _balance_after(connection, payer, entry)
    corrected = [] if entry.reverses_id is None else transactions_with_ids(connection, [entry.reverses_id])
    event_id = entry.event_id or (corrected[0].event_id if corrected else None)
    of_event = {"mandate_id": entry.mandate_id, "event_id": event_id, "related_max": RELATED_MAX}
    steps = [] if event_id is None else rows(connection, AmendmentStep, sql.AMENDMENTS, **of_event)
    return Explanation(
        transaction=entry,
        account=account,
        balance_account=payer,
        moved=moved,
        balance_before=None if after is None else after - moved,
        balance_after=after,
        operation=_operation(connection, entry, steps),
        rules=row(connection, RulesThen, sql.SETTINGS, mandate_id=entry.mandate_id, version=entry.settings_version),
        batch=None if entry.batch_id is None else row(connection, CommittedBatch, FIND_BATCH, batch_id=entry.batch_id),
        refunded=refunded_amount(connection, entry.mandate_id, entry.id),
        related=_related(connection, entry, steps),
        amendments=steps,
        dead_letters=[] if event_id is None else rows(connection, RelatedLetter, sql.LETTERS, **of_event),
        hold=hold_named_by(connection, entry),
        caps=caps_counting(connection, entry),
    )


def _balance_after(connection: Connection, payer: Account, entry: Transaction) -> Decimal:
    """The balance (CHF) of the account right after this entry on it, in the order of `recorded_at` and id."""
    asked = {"account_id": payer.id, "recorded_at": entry.recorded_at, "transaction_id": entry.id}
    if payer.account_type == AccountType.MANDATE:
        balance: Decimal = connection.execute(sql.AFTER_OF_POOL, {"mandate_id": payer.mandate_id, **asked}).scalar_one()
    else:
        balance = connection.execute(sql.AFTER_OF_USER, asked).scalar_one()
    return balance


def _related(connection: Connection, entry: Transaction, steps: Sequence[AmendmentStep]) -> list[Related]:
    naming = set(connection.execute(sql.NAMING, {"transaction_id": entry.id, "related_max": RELATED_MAX}).scalars())
    ids = {i for step in steps for i in (step.reversed_id, step.reversal_id, step.debit_id)} | naming
    ids |= set() if entry.reverses_id is None else {entry.reverses_id}
    found = []
    for other in transactions_with_ids(connection, ids - {entry.id}):
        if other.id == entry.reverses_id:
            relation = Relation.CORRECTED
        elif other.id in naming:
            relation = Relation.REVERSAL if other.reference_type == REVERSAL.reference_type else Relation.REFUND
        else:
            relation = Relation.AMENDMENT
        found.append(Related(relation, other))
    return found


def _operation(connection: Connection, entry: Transaction, steps: Sequence[AmendmentStep]) -> str | None:
    if entry.operation_key is None:
        return None
    for step in steps:  # an amendment's key may have been kept before its entries were written
        if entry.id in (step.reversal_id, step.debit_id):
            return step.operation
    key = {"mandate_id": entry.mandate_id, "key": entry.operation_key, "recorded_at": entry.recorded_at}
    operation: str | None = connection.execute(sql.OPERATION, key).scalar_one()
    return operation


def _with_receipt(connection: Connection, whole: Explanation) -> Explanation:
    payer = whole.balance_account
    balance = {
        "account_id": None if payer is None else payer.id,
        "user_id": None if payer is None else payer.user_id,
        "before": whole.balance_before,
        "moved": whole.moved,
        "after": whole.balance_after,
    }
    bounds = {"hold": None if whole.hold is None else asdict(whole.hold), "caps": [asdict(cap) for cap in whole.caps]}
    return replace(whole, receipt=receipt_of(connection, whole.transaction, {"balance": balance, **bounds}, whole.amendments))


def _seen_by(connection: Connection, actor: Actor, whole: Explanation) -> Explanation:
    if actor.role is Role.ROOT:
        return _with_receipt(connection, whole)
    related = [replace(other, transaction=without_costs(other.transaction)) for other in whole.related]
    whole = replace(whole, transaction=without_costs(whole.transaction), related=related)
    if actor.role is Role.ADMINISTRATOR:
        return replace(whole, batch=None)
    own = [other for other in whole.related if other.transaction.account_id == whole.account.id]
    seen = replace(whole, batch=None, dead_letters=[], related=own, hold=hold_seen_by(actor, whole.hold), caps=caps_seen_by(actor, whole.caps))
    payer = whole.balance_account
    if payer is None or payer.id == whole.account.id:
        return seen
    assert actor.user_id is not None  # as every user has it
    if payer.account_type == AccountType.MANDATE and find_member(connection, payer.mandate_id, actor.user_id) is not None:
        return seen
    return replace(seen, balance_account=None, balance_before=None, balance_after=None)


def _signed(entry: Transaction) -> Decimal:
    return -entry.amount if entry.transaction_type == TransactionType.DEBIT else entry.amount
