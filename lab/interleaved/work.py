"""A piece of work, as the program does it and as the oracle does; it names mandates by a letter, so that it can be done anew elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.events.parsing import RawEvent
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from lab.agreement.books import body_of
from lab.oracle.entries import Event
from lab.oracle.holds import HeldBooks

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # in Zurich clocks are put forward half an hour later
TTL = timedelta(seconds=60)
REFUSED = "refused"
NOT_ASKED = "not asked for"
Names = Mapping[str, str]  # of mandates, by letter


class NotThere(Exception):
    """What is to be worked on isn't there, so nothing is asked for."""


@dataclass(frozen=True)
class Part:
    """What takes effect at one moment: done by the oracle, it tells what the program told. What is `optional` may have been left to others."""

    do: Callable[[HeldBooks, Names], object]
    optional: bool = False


@dataclass
class Hands:
    """By which somebody works: his sessions, and what his process knows. What was recorded beforehand is looked up beside them."""

    database: Database
    beside: Database
    config: Configuration
    names: Names
    worker: str
    key: str = ""  # under which he asks now, if it takes one
    known: KnownAccounts = field(default_factory=KnownAccounts)

    def looked_up(self, statement: Any, **of: str) -> int:
        """The id that a statement finds.

        Raises:
            NotThere: it finds none.
        """
        with self.beside.transaction() as connection:
            found = connection.execute(statement, of).scalar()
        if found is None:
            raise NotThere
        return int(found)


@dataclass(frozen=True)
class Work:
    """A piece of work; asked again after an error it is done once altogether, unless it says otherwise."""

    def ask(self, hands: Hands) -> object:
        """The program does it; what it tells.

        Raises:
            TollbookError: it may have to be asked again.
        """
        raise NotImplementedError

    def parts(self) -> Iterable[Part]:
        """What the oracle does, in this order."""
        raise NotImplementedError

    def told(self, hands: Hands) -> object:
        """As `ask`, but a refusal is told, too."""
        try:
            return self.ask(hands)
        except (NotFound, Conflict, RequestRefused):
            return REFUSED
        except NotThere:
            return NOT_ASKED


@dataclass(frozen=True)
class Deliver(Work):
    """A batch of usage. Asked again it is delivered again."""

    events: tuple[Event, ...]

    def named(self, names: Names) -> list[Event]:
        """The events as they come."""
        return [replace(event, mandate=names[event.mandate]) for event in self.events]

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        raws = [RawEvent(body_of(event), "interleaved", False) for event in self.named(hands.names)]
        known = {"config": hands.config, "known_accounts": hands.known, "worker": hands.worker}
        return [str(outcome) for outcome in record_usage(hands.database, raws, **known, clock=lambda: NOW, hold_clock=NOW).outcomes]  # type: ignore[arg-type]

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(lambda books, names: books.deliver(self.named(names), NOW))

    def __str__(self) -> str:
        return "deliver " + ", ".join(map(_shown, self.events))


def _shown(event: Event) -> str:
    return f"{event.mandate}/{event.event_id} ({event.user}, {event.price}{', hold ' + event.hold[0] if event.hold else ''})"


def request(hands: Hands, mandate: str, **fields: object) -> dict[str, object]:
    """A request under the key that these hands ask with now."""
    return {"mandate_id": hands.names[mandate], "key": hands.key, "by": "lab", **fields}
