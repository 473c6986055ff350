"""The closed lists of the billing domain, and the rules that need nothing but numbers."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from core.money import QUANTUM, ZERO


class BillingModel(StrEnum):
    """Whose balance pays for a mandate's usage."""

    PREPAY_USER = "PREPAY_USER"
    PREPAY_MANDATE = "PREPAY_MANDATE"
    CREDIT_POSTPAY = "CREDIT_POSTPAY"
    UNLIMITED = "UNLIMITED"

    @property
    def pool_pays(self) -> bool:
        """Whether the mandate's pool pays under this model."""
        return self in (BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY)


class AccountType(StrEnum):
    """Whose balance an account holds: one user's in one mandate, or the mandate's pool."""

    USER = "USER"
    MANDATE = "MANDATE"


class TransactionType(StrEnum):
    """The kind of a ledger entry; only an ADJUSTMENT carries a sign."""

    CREDIT = "CREDIT"
    DEBIT = "DEBIT"
    ADJUSTMENT = "ADJUSTMENT"


class ReferenceType(StrEnum):
    """What a ledger entry came from."""

    WORKFLOW = "WORKFLOW"
    SYSTEM = "SYSTEM"
    PAYMENT = "PAYMENT"
    ADJUSTMENT = "ADJUSTMENT"
    REFUND = "REFUND"
    SWITCH = "SWITCH"
    AMENDMENT = "AMENDMENT"


class DeadLetterStatus(StrEnum):
    """What an operator made of a dead letter; only resolved ones age out."""

    OPEN = "OPEN"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"
    ACCEPTED = "ACCEPTED"
    CORRECTED = "CORRECTED"


class ToldOutcome(StrEnum):
    """What a producer that asks for it is told about an event of its own: the outcomes that record nothing new."""

    REJECTED = "rejected"
    CONFLICT = "conflict"
    PARKED = "parked"


class CloudEventKey(StrEnum):
    """What a CloudEvent is known by in these books: its id, unique over all sources, or its source and its id."""

    ID = "id"
    SOURCE_AND_ID = "source_and_id"


class AlertKind(StrEnum):
    """Which line a balance crossed."""

    WARNING = "WARNING"
    ZERO = "ZERO"
    CREDIT_LIMIT = "CREDIT_LIMIT"


class HoldState(StrEnum):
    """What became of a hold; only an OPEN one allows the call."""

    OPEN = "OPEN"
    CAPTURED = "CAPTURED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class CapScope(StrEnum):
    """Whose usage a cap counts: everybody's together, one user's, or each user's by itself."""

    ALL = "ALL"
    USER = "USER"
    EACH_USER = "EACH_USER"


class CapDimension(StrEnum):
    """What else of usage a cap may be about; the names are those of the columns."""

    PROVIDER = "provider"
    MODEL = "model"
    FEATURE = "feature_code"


class CapPeriod(StrEnum):
    """How long a window of a cap is, in the mandate's local days; a week is ISO's, and begins on Monday."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    TOTAL = "TOTAL"


class CapAction(StrEnum):
    """What a cap does: both tell of its shares; only REFUSE refuses checks and holds."""

    REFUSE = "REFUSE"
    ALERT = "ALERT"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A line that a balance crossed between two commits; `recovered` is the way back."""

    kind: AlertKind
    recovered: bool
    threshold: Decimal


def warning_threshold(percent: Decimal, balance: Decimal) -> Decimal:
    """The amount in CHF at which a balance warns: `percent` of the balance after the latest credit, never below 0."""
    return max(ZERO, (balance * percent / 100).quantize(QUANTUM, ROUND_HALF_EVEN))


def alerts_at(model: BillingModel, balance: Decimal, threshold: Decimal, credit_limit: Decimal | None, percent: Decimal) -> dict[AlertKind, Decimal]:
    """The lines on whose wrong side `balance` is, each with its amount in CHF, for an account that pays under `model`.

    A prepaid balance warns at or below its threshold and is overdrawn below zero. A postpaid pool warns when its debt
    reaches the limit less `percent` of it, and exceeds the limit above it; without a limit it never does either. Its warning
    line is the least debt of nine places that does, so that comparing with it is exact.
    """
    if model is BillingModel.UNLIMITED:
        return {}
    if model is BillingModel.CREDIT_POSTPAY:
        if credit_limit is None:
            return {}
        debt = max(ZERO, -balance)
        warning_debt = (credit_limit * (1 - percent / 100)).quantize(QUANTUM, ROUND_CEILING)
        lines = {AlertKind.WARNING: (debt >= warning_debt, -warning_debt), AlertKind.CREDIT_LIMIT: (debt > credit_limit, -credit_limit)}
    else:
        lines = {AlertKind.WARNING: (balance <= threshold, threshold), AlertKind.ZERO: (balance < 0, ZERO)}
    return {kind: line for kind, (beyond, line) in lines.items() if beyond}


def available_of(model: BillingModel, balance: Decimal, held: Decimal, credit_limit: Decimal | None) -> Decimal | None:
    """What there still is to be held or used, in CHF, where `balance` pays under `model` and holds keep `held` of it.

    Prepaid: the balance less what is held. CREDIT_POSTPAY: the credit limit less debt and what is held. None where nothing bounds it:
    without a credit limit, and under UNLIMITED. Below zero once more was used than there was, since usage that happened is recorded.
    """
    if model is BillingModel.UNLIMITED:
        return None
    if model is BillingModel.CREDIT_POSTPAY:
        return None if credit_limit is None else credit_limit - max(ZERO, -balance) - held
    return balance - held


def crossings(before: dict[AlertKind, Decimal], after: dict[AlertKind, Decimal]) -> list[Crossing]:
    """What changed between two answers of `alerts_at`: each newly crossed line, then each one recovered from."""
    crossed = [Crossing(kind, False, line) for kind, line in after.items() if kind not in before]
    return crossed + [Crossing(kind, True, line) for kind, line in before.items() if kind not in after]
