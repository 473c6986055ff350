"""What became of an event: exactly one outcome for each one delivered."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The closed list of outcomes."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The committed outcome of each event of a batch, in the order given."""

    outcomes: list[Outcome]
    unknown_users: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # reason of a dead letter -> events

    def counts(self) -> dict[Outcome, int]:
        """How many events had each outcome; all five are named."""
        counted = Counter(self.outcomes)
        return {outcome: counted[outcome] for outcome in Outcome}

    @classmethod
    def joined(cls, results: Iterable["BatchResult"]) -> "BatchResult":
        """Several results as one, in order."""
        outcomes: list[Outcome] = []
        unknown_users = 0
        reasons: Counter[str] = Counter()
        for result in results:
            outcomes += result.outcomes
            unknown_users += result.unknown_users
            reasons.update(result.reasons)
        return cls(outcomes, unknown_users, dict(reasons))

    def summary(self) -> str:
        """For people: `recorded 497, duplicate 2, rejected 1`; outcomes that did not occur are left out."""
        return ", ".join(f"{outcome} {n}" for outcome, n in self.counts().items() if n) or "nothing"
