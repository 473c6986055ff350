"""What the oracle keeps of holds: questions, their answers, and what is kept for a call. Amounts are francs."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from lab.oracle.caps import Cap, Names
from lab.oracle.entries import NOTHING

LONGEST = timedelta(hours=24)


@dataclass(frozen=True)
class Question:
    """May this user make this call, for which so much is to be kept, or what so many tokens cost? A repetition asks the same under the same key."""

    mandate: str
    key: str
    user: str
    amount: Decimal | None
    names: Names = (None, None, None)  # provider, model, feature
    tokens: int | None = None  # of input, where it isn't an amount


@dataclass(eq=False)
class Hold:
    """What is kept for one call; `question` is None where its event came before anybody asked."""

    mandate: str
    key: str
    user: str
    amount: Decimal
    question: Question | None
    day: date
    since: datetime
    until: datetime
    state: str = "OPEN"
    captured: Decimal = NOTHING
    released: Decimal = NOTHING
    expired: Decimal = NOTHING
    used: Decimal = NOTHING
    beyond: Decimal = NOTHING  # of what was used, what a capture found nothing kept for
    uses: int = 0
    late: int = 0
    settled: datetime | None = None
    holder: str | None = None  # whose balance it is kept of while it is open; None: nobody's

    @property
    def names(self) -> Names:
        """What the question named."""
        return (None, None, None) if self.question is None else self.question.names

    @property
    def remaining(self) -> Decimal:
        """What it still keeps."""
        return self.amount - self.captured - self.released - self.expired

    def settle(self, state: str, at: datetime) -> None:
        """Ends it, once."""
        assert self.state == "OPEN"
        assert self.settled is None
        self.state, self.settled = state, at


@dataclass(frozen=True)
class Answer:
    """Whether the call may be made; else why not, or what has become of its hold. `cap` is the one that refuses."""

    allowed: bool
    reason: str | None = None
    state: str | None = None
    cap: Cap | None = None
    opens_at: datetime | None = None
    unjudged: tuple[Cap, ...] = ()
