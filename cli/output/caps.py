"""Caps in a line: which one refuses, and which were not judged."""

from collections.abc import Sequence

from core.billing import CapPeriod
from core.caps.judge import CapRefusal

_EACH = {CapPeriod.DAY: "a day", CapPeriod.WEEK: "a week", CapPeriod.MONTH: "a month", CapPeriod.TOTAL: "in total"}


def refusal_text(refusal: CapRefusal | None) -> str | None:
    """The cap that refuses, what has reached it, and when it opens; None: none does."""
    if refusal is None:
        return None
    cap = refusal.cap
    what = "" if cap.dimension is None else f" of {cap.dimension} {cap.value}"
    opens = "it doesn't open by itself" if refusal.opens_at is None else f"opens at {refusal.opens_at.isoformat()}"
    limit = f"{cap.id}: {cap.limit_chf:f} CHF {_EACH[cap.period]}{what}"
    return f"{limit}, spent {refusal.spent:f} and held {refusal.held:f}; {opens}"


def ids_text(ids: Sequence[int]) -> str | None:
    """The ids, or nothing where there are none."""
    return ", ".join(map(str, ids)) or None
