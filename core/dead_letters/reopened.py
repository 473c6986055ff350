"""A dead letter opened again: its events, judged as on the day when it first came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.billing import DeadLetterStatus
from core.dead_letters.sql.status import KeptLetter, Resolution
from core.events.envelope import open_kept
from core.events.message import raw_events
from core.events.outcome import BatchResult
from core.events.parsing import RawEvent
from core.recording.delivery import Delivery, judge_times, read_events
from core.rejection import Reason

# What a whole message is refused for, before there is an event; its dead letter holds the queue entry.
_OF_MESSAGES = frozenset(
    {
        Reason.MALFORMED_MESSAGE,
        Reason.UNKNOWN_TASK,
        Reason.UNSUPPORTED_CONTENT,
        Reason.MESSAGE_TOO_LARGE,
        Reason.TOO_MANY_EVENTS,
        Reason.MALFORMED_ARGUMENTS,
    }
)
LETTERS_MAX = 200  # of one transaction
EVENTS_MAX = 1000  # after which a transaction takes no further letter


@dataclass(frozen=True, slots=True)
class OpenedLetter:
    """A dead letter and what is in it; of an unreadable message that is the message itself, with its defect."""

    letter: KeptLetter
    raw_events: Sequence[RawEvent]

    def judged(self, now: datetime, lateness_days: int, *, accept_late: bool) -> list[Delivery]:
        """Its events. A clock that goes wrong counts now, age at the first receipt or, with `accept_late`, not at all."""
        deliveries = read_events(self.raw_events)
        judge_times(deliveries, now, lateness_days, received_at=self.letter.first_seen_at)
        if accept_late:
            for delivery in deliveries:
                delivery.late = False
        return deliveries

    def refused(self, deliveries: Iterable[Delivery]) -> Delivery | None:
        """The delivery that makes it the same dead letter again; none if whatever is refused has other bytes, and a letter of its own."""
        return next((d for d in deliveries if d.rejection is not None and d.raw.body == self.letter.body), None)

    def resolution(self, deliveries: Iterable[Delivery]) -> Resolution:
        """That it is replayed, and what its events came to."""
        outcomes = [d.outcome for d in deliveries if d.outcome is not None]
        return Resolution(self.letter.id, DeadLetterStatus.REPLAYED, BatchResult(outcomes).summary())


def events_in(letter: KeptLetter) -> Sequence[RawEvent]:
    """The events in a letter that is kept whole; of a message that still can't be read, the message with its defect.

    A message is opened as the pump opened it: this program may understand what an older one didn't.
    """
    queue, slash, task = letter.origin.partition("/")
    never_opened = bool(slash) and not task  # a crash loop in which even opening the message killed the process
    if letter.reason not in _OF_MESSAGES and not never_opened:
        return [RawEvent(letter.body, letter.origin, letter.typed_json)]
    return list(raw_events(open_kept(queue, task, letter.body)))


def open_letters(letters: Sequence[KeptLetter]) -> list[OpenedLetter]:
    """The first of `letters`, as many as go into one transaction; one that crashed the intake stands alone, lest it take others with it."""
    opened: list[OpenedLetter] = []
    events = 0
    for letter in letters:
        alone = letter.reason == Reason.CRASH_LOOP
        if opened and (alone or events >= EVENTS_MAX):
            break
        opened.append(OpenedLetter(letter, events_in(letter)))
        events += len(opened[-1].raw_events)
        if alone:
            break
    return opened
