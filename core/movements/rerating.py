"""What a re-rating is asked for, and what it comes to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from core.asking.sql import Operation
from core.errors import RequestRefused
from core.money import ZERO
from core.movements.amended_prices import Undo
from core.movements.sql.amendments import Amendment

RERATE, RERATE_BEGUN = "rerate", "rerate_begun"
RERATED = Undo(RERATE, "revert_rerate", "revert_rerate_begun")
ALL = ""  # a key of a re-rating is one of all mandates together: kept under no mandate's name


@dataclass(frozen=True, slots=True)
class Rerating:
    """Which events are rated anew, and by what.

    Attributes:
        key: the caller's; of all re-ratings that there ever are.
        version_id: of the price book whose rows are taken, each event's at its own time.
        first: local day; events from then on.
        last: local day, itself included.
        model: only events that name it, exactly; None: any.
        mandate_id: only of this mandate; None: of all.
        fx: by the exchange rates of the books as they are now, instead of the one that the stamp names.
        rules: by the present sale rules and policies of what isn't charged, instead of those that the stamp names.
        dialects: by the leaves that the present dialects read, whatever version of them the stamp names.
    """

    key: str
    version_id: int
    first: date
    last: date
    model: str | None = None
    mandate_id: str | None = None
    fx: bool = False
    rules: bool = False
    dialects: bool = False

    def __post_init__(self) -> None:
        """Refuses days that hold nothing."""
        if self.last < self.first:
            raise RequestRefused(f"ends on {self.last}, before it begins on {self.first}", field="to", value=self.last.isoformat())

    def operation(self, name: str) -> Operation:
        """The operation `name` on exactly this under the caller's key."""
        content: dict[str, Any] = {name: getattr(self, name) for name in ("version_id", "model", "mandate_id", "fx", "rules", "dialects")}
        return Operation(ALL, name, self.key, content | {"from": self.first.isoformat(), "to": self.last.isoformat()})


@dataclass(frozen=True, slots=True)
class Delta:
    """What a re-rating changes of one mandate's events of one model; amounts in CHF.

    `events` get amendments; of them `shadow` are billed the price that was given, so that only the computed price beside it moves.
    `before` and `after` are what is billed, `rated_before` and `rated_after` the computed prices.
    """

    mandate_id: str
    model: str
    events: int
    shadow: int
    before: Decimal
    after: Decimal
    rated_before: Decimal
    rated_after: Decimal


@dataclass(frozen=True, slots=True)
class Left:
    """So many events of a mandate that aren't touched, why, and one of them."""

    mandate_id: str
    reason: str
    events: int
    example: str


@dataclass(slots=True)
class Rerated:
    """What a re-rating came to, or would; `unchanged` events are right by the version already."""

    version_id: int
    deltas: list[Delta] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    unchanged: int = 0
    repeated: bool = False  # it was done before


class Reasons:
    """Counts why events of one mandate aren't touched, within the room that reasons take."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: str, event_id: str, events: int = 1) -> None:
        """So many more for this reason."""
        self._counts[reason] += events
        self._examples.setdefault(reason, event_id)

    def of(self, mandate_id: str) -> list[Left]:
        """All of them, by reason."""
        return [Left(mandate_id, reason, events, self._examples[reason]) for reason, events in sorted(self._counts.items())]


def deltas_of(amendments: Iterable[Amendment]) -> dict[tuple[str, str], Delta]:
    """What amendments change, by mandate and model."""
    found: dict[tuple[str, str], Delta] = {}
    for amendment in amendments:
        was, now, event = amendment.entry.priced, amendment.priced, amendment.event
        key = event.mandate_id, event.model or ""
        shadow = was.computed is not None
        rated = (was.computed or ZERO, now.computed or ZERO) if shadow else (was.amount, now.amount)
        found[key] = added(found.get(key), Delta(*key, 1, int(shadow), was.amount, now.amount, *rated))
    return found


def added(one: Delta | None, other: Delta) -> Delta:
    """Both together, of the same mandate and model."""
    if one is None:
        return other
    names = ("events", "shadow", "before", "after", "rated_before", "rated_after")
    return Delta(other.mandate_id, other.model, *[getattr(one, name) + getattr(other, name) for name in names])
