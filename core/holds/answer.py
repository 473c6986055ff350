"""What an authorisation is answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.billing import BillingModel, HoldState
from core.caps.judge import CapRefusal, unjudged
from core.caps.model import Caps
from core.checks.model import HeldBalance, Refusal
from core.errors import Conflict, RequestRefused
from core.holds.judge import Asked
from core.holds.sql.authorise import Found
from core.printable import shown


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """The answer to an authorisation; amounts in CHF, as of its commit.

    Attributes:
        allowed: whether the call may be made: the hold is open, or nothing is kept since nobody is known to pay.
        reason: why it was refused; None where it was not: then `state` tells.
        key: the hold's.
        state: what became of it; None: it was refused, and nothing is kept of that, or the mandate may have no settings.
        amount: what was authorised, or asked for; None where an estimate has no price.
        expires_at: until when it is kept; None where it was refused.
        repeated: the key was there before: the answer is what became of its hold, and nothing was done.
        already_captured: usage has taken the hold, or came under its key before anybody asked.
        current_balance: of the account that pays; None under UNLIMITED, where nobody does.
        held: what open holds keep of that balance, this one included.
        available: what may still be held; None: there is no bound.
        billing_model: by which it is paid.
        detail: what has no price, and why.
        cap: the cap that is reached, and when it opens, where that is the reason.
        unjudged_caps: ids of refusing caps on a provider, model or feature that the question doesn't name.
    """

    allowed: bool
    reason: Refusal | None
    key: str
    state: HoldState | None
    amount: Decimal | None
    expires_at: datetime | None
    repeated: bool
    already_captured: bool
    current_balance: Decimal | None
    held: Decimal | None
    available: Decimal | None
    billing_model: BillingModel
    detail: str | None = None
    cap: CapRefusal | None = None
    unjudged_caps: tuple[int, ...] = ()


def answer_of(one: Asked, found: Found | None, accounts: Mapping[int, HeldBalance], caps: Caps | None, now: datetime) -> HoldAnswer | RequestRefused:
    """The answer to a question that is judged, or whose hold was found; a Conflict where it is of another question."""
    question, standing = one.question, one.standing(accounts)
    payer = standing.payer
    balance, held = (None, None) if payer is None else (payer.balance, payer.held)
    books = balance, held, standing.available, one.model
    if found is not None:
        if found.content_hash not in (None, question.content_hash):
            of = (
                f"{shown(question.key)} was used for another hold of mandate {shown(question.mandate_id)} before (another user, amount or call):"
                " take a key of its own for each call"
            )
            return Conflict(of, field="key", value=question.key)
        is_open, taken = found.state is HoldState.OPEN, found.state is HoldState.CAPTURED
        return HoldAnswer(is_open, None, question.key, found.state, found.amount, found.expires_at, True, taken, *books)
    left_out = () if caps is None or one.reason not in (None, Refusal.CAP_EXCEEDED) else unjudged(caps, one.spending)
    if one.reason is not None:
        detail = None if one.unpriced is None else f"{one.unpriced.reason}: {one.unpriced.detail}"
        return HoldAnswer(False, one.reason, question.key, None, one.amount, None, False, False, *books, detail, one.cap, left_out)
    if one.settings is None:  # nobody is known to pay, so nothing is kept
        return HoldAnswer(True, None, question.key, None, one.amount, None, False, False, *books)
    assert one.written is not None
    expires_at = one.written.expires_at
    state = HoldState.OPEN if expires_at > now else HoldState.EXPIRED  # its accounts were locked for longer than it was to be kept
    return HoldAnswer(state is HoldState.OPEN, None, question.key, state, one.amount, expires_at, False, False, *books, unjudged_caps=left_out)
