"""The kinds of ledger entries: one row for each, with all that depends on what kind an entry is.

Nothing else in the program asks for a reference type: who makes an entry names its kind, who reads one looks its kind up.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from core.billing import ReferenceType, TransactionType


class ChargeCategory(StrEnum):
    """What a charge is, as FOCUS has it: usage and credits include what corrects them."""

    USAGE = "Usage"
    CREDIT = "Credit"
    ADJUSTMENT = "Adjustment"


class Counted(StrEnum):
    """What an entry is to the statistics of usage."""

    EVENT = "event"  # an event and its cost
    COST = "cost"  # the cost of an event that is counted already
    TAKEN_BACK = "taken back"  # takes the cost of the entry that it names out again
    REFUNDED = "refunded"  # stands beside the usage that it names


class EntryKind(NamedTuple):
    """A kind of ledger entry, and what follows from it."""

    transaction_type: TransactionType
    reference_type: ReferenceType
    line: str  # of a statement (`BalanceMonth`); the same for all kinds of a reference type
    charge: ChargeCategory  # a correction's is that of the entry that it names
    counted: Counted | None = None  # None: it is no part of the statistics
    refills: bool = False  # what it adds to a balance sets the warning threshold anew
    has_room: bool = False  # it takes a balance no further than a movement may; usage may take it further, since it has happened
    refundable: bool = False
    importable: bool = False  # history of other books may have it
    operation: str | None = None  # which makes one such entry under each of its keys
    description: str = ""  # of an entry that nobody has described


_CREDIT, _DEBIT, _ADJUSTMENT = TransactionType
_R, _C = ReferenceType, ChargeCategory

USAGE = EntryKind(_DEBIT, _R.WORKFLOW, "usage", _C.USAGE, Counted.EVENT, refundable=True, importable=True, description="AI Usage")
GRANT = EntryKind(_CREDIT, _R.SYSTEM, "grants", _C.CREDIT, refills=True, importable=True, description="Initial credit for new user")
TOP_UP = EntryKind(_CREDIT, _R.PAYMENT, "top_ups", _C.CREDIT, refills=True, has_room=True, refundable=True, importable=True, operation="top_up")
ADJUSTMENT = EntryKind(_ADJUSTMENT, _R.ADJUSTMENT, "adjustments", _C.ADJUSTMENT, has_room=True, refundable=True, importable=True, operation="adjust")
REFUND = EntryKind(_ADJUSTMENT, _R.REFUND, "refunds", _C.ADJUSTMENT, Counted.REFUNDED, has_room=True, importable=True, operation="refund")
LEG = EntryKind(_ADJUSTMENT, _R.SWITCH, "switches", _C.ADJUSTMENT, refills=True, has_room=True)
REVERSAL = EntryKind(_ADJUSTMENT, _R.AMENDMENT, "amendments", _C.ADJUSTMENT, Counted.TAKEN_BACK)
AMENDED = EntryKind(_DEBIT, _R.AMENDMENT, "amendments", _C.USAGE, Counted.COST, refundable=True, description=USAGE.description)  # in its place

WRITTEN = (USAGE, GRANT, TOP_UP, ADJUSTMENT, REFUND, LEG, REVERSAL, AMENDED)

# Nothing here writes these, and what other books had of them moves no balance here.
_OF_OTHER_BOOKS = (
    EntryKind(_DEBIT, _R.SYSTEM, "grants", _C.ADJUSTMENT, importable=True),
    EntryKind(_ADJUSTMENT, _R.SYSTEM, "grants", _C.ADJUSTMENT, importable=True),
    EntryKind(_DEBIT, _R.PAYMENT, "top_ups", _C.ADJUSTMENT, refundable=True, importable=True),
    EntryKind(_ADJUSTMENT, _R.PAYMENT, "top_ups", _C.ADJUSTMENT, refundable=True, importable=True),
    EntryKind(_CREDIT, _R.ADJUSTMENT, "adjustments", _C.CREDIT, refills=True, refundable=True, importable=True),
    EntryKind(_DEBIT, _R.ADJUSTMENT, "adjustments", _C.ADJUSTMENT, refundable=True, importable=True),
    EntryKind(_CREDIT, _R.REFUND, "refunds", _C.CREDIT, refills=True, importable=True),
    EntryKind(_DEBIT, _R.REFUND, "refunds", _C.ADJUSTMENT, importable=True),
)

# The tables allow these, and nobody writes them.
_OF_NOBODY = (
    EntryKind(_CREDIT, _R.WORKFLOW, "usage", _C.CREDIT, refills=True, refundable=True),
    EntryKind(_ADJUSTMENT, _R.WORKFLOW, "usage", _C.ADJUSTMENT, refundable=True),
    EntryKind(_CREDIT, _R.SWITCH, "switches", _C.CREDIT, refills=True),
    EntryKind(_DEBIT, _R.SWITCH, "switches", _C.ADJUSTMENT),
    EntryKind(_CREDIT, _R.AMENDMENT, "amendments", _C.CREDIT, refills=True),
)

COSTS = tuple(kind for kind in WRITTEN if kind.counted in (Counted.EVENT, Counted.COST))
CORRECTIONS = tuple(kind for kind in WRITTEN if kind.counted in (Counted.TAKEN_BACK, Counted.REFUNDED))

KINDS = {(kind.transaction_type.value, kind.reference_type.value): kind for kind in (*WRITTEN, *_OF_OTHER_BOOKS, *_OF_NOBODY)}
LINES = {kind.reference_type: kind.line for kind in KINDS.values()}


def kind_of(transaction_type: str, reference_type: str) -> EntryKind:
    """The kind of an entry by its two columns."""
    return KINDS[transaction_type, reference_type]


def kinds(which: Callable[[EntryKind], object], among: Iterable[EntryKind] = WRITTEN) -> tuple[EntryKind, ...]:
    """Those of which it is true."""
    return tuple(kind for kind in among if which(kind))
