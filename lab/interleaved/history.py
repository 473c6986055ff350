"""What happens in a history: all of it follows from a seed and a number, before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from zlib import crc32

from lab.interleaved.scheduler import Fault
from lab.interleaved.sweeps import Backfill, Enter, Release, RollUp, Sweep
from lab.interleaved.verbs import Amend, Authorise, Change, Forgo, GiveBack, Pay, SetCap, Switch
from lab.interleaved.work import NOW, Deliver, Work
from lab.oracle.entries import POOL, Event

MODELS = ("PREPAY_USER", "PREPAY_MANDATE", "CREDIT_POSTPAY", "UNLIMITED")
USERS = ("ada", "bob")
PRICES = tuple(map(Decimal, ("0", "0.000000001", "1", "2.5", "4", "9")))
KEEPS = (0.0, 0.5, 0.8, 0.95)  # how likely whoever has run goes on
FAULT_POINT_MAX = 40
AFTER: tuple[Work, ...] = (Enter("b", ()), Backfill(surely=True), Sweep(surely=True), RollUp(surely=True))
_STRIPES = 256  # of mandates' locks; which one is taken first is drawn
_FIRST = ("first", "second")


@dataclass(frozen=True)
class History:
    """What is there, who does what, what happens to whom at which of his statements, and who goes on when, as far as that is given.

    Where nobody is named any more, or none of those who are can go on, whoever ran last does, else the first who can.
    """

    stripes: tuple[int, int]  # of the mandates a and b
    before: tuple[Work, ...]
    actors: tuple[tuple[Work, ...], ...]
    faults: dict[tuple[int, int], Fault] = field(default_factory=dict)  # by actor and number of the statement
    schedule: tuple[int, ...] = ()

    def names(self, serial: int) -> dict[str, str]:
        """Mandates that nothing has used yet: their ids, which are in the order of their letters, by letter."""
        return {letter: _on_stripe(f"{serial:06}{letter}", stripe) for letter, stripe in zip("ab", self.stripes, strict=True)}


def _on_stripe(begin: str, stripe: int) -> str:
    return next(name for name in (f"{begin}{number}" for number in range(100_000)) if crc32(name.encode()) % _STRIPES == stripe)


class Chooser:
    """Who goes on: as a history's schedule says, then as is drawn. What was chosen is kept."""

    def __init__(self, schedule: tuple[int, ...], draw: Random | None, keep: float = 1.0) -> None:
        self._given, self._draw, self._keep = iter(schedule), draw, keep
        self.chosen: list[int] = []

    def __call__(self, ready: Sequence[int]) -> int:
        """One of those who can."""
        self.chosen.append(self._next(ready))
        return self.chosen[-1]

    def _next(self, ready: Sequence[int]) -> int:
        for actor in self._given:
            if actor in ready:
                return actor
        last = self.chosen[-1] if self.chosen else None
        if last is not None and last in ready and (self._draw is None or self._draw.random() < self._keep):
            return last
        return ready[0] if self._draw is None else self._draw.choice(ready)


def drawn(seed: int, number: int) -> tuple[History, Chooser]:
    """A history of a seed, and who goes on when in it."""
    draw = Random(f"{seed}/{number}")
    history = _Drawing(draw).history()
    return history, Chooser((), draw, draw.choice(KEEPS))


class _Drawing:
    """One history as it is drawn: of all sorts, or of a crowd, in which nearly all record usage of the same two users."""

    def __init__(self, draw: Random) -> None:
        self._draw, self._numbers = draw, iter(range(100))
        self._has_holds, self._both_known, self._is_crowd = draw.random() < 0.35, draw.random() < 0.4, draw.random() < 0.3
        self._first = tuple(Event("a", name, user, Decimal(3), NOW - timedelta(minutes=5)) for name, user in zip(_FIRST, USERS, strict=True))
        self._pool = [self._event() for _ in range(draw.randint(2, 5))]

    def history(self) -> History:
        """All of it."""
        draw = self._draw
        stripes = draw.choice([(7, 3), (3, 7), (5, 5)])
        before = tuple(self._before())
        actors = [self._actor() for _ in range(draw.choice([2, 2, 3, 3, 4]))]
        if not any(isinstance(work, Deliver) for works in actors for work in works):
            actors[0] = (self._deliver(),)
        return History(stripes, before, tuple(actors), self._faults(len(actors)))

    def _before(self) -> list[Work]:
        draw = self._draw
        before: list[Work] = [Enter("a", draw.choice([USERS, USERS[:1]])), Change("a", MODELS[0] if self._is_crowd else draw.choice(MODELS))]
        if self._both_known:
            before.append(Enter("b", USERS[:1]))
        if draw.random() < 0.8:
            before.append(Deliver(self._first))
        if draw.random() < 0.3:
            before.append(SetCap("a", draw.choice([Decimal(5), Decimal(12)]), draw.random() < 0.5))
        if self._has_holds:
            before.append(Authorise("a", "held", "ada", Decimal(2)))
        return before

    def _event(self) -> Event:
        draw = self._draw
        mandate, minutes = "a" if self._is_crowd else draw.choice("aab"), draw.choice([1, 10, 45, 90])
        hold = ("held", draw.choice([None, False])) if self._has_holds and mandate == "a" and draw.random() < 0.5 else None
        number = next(self._numbers)
        event_id, user = f"e{number}", USERS[number % 2] if self._is_crowd else draw.choice(USERS)
        return Event(mandate, event_id, user, draw.choice(PRICES), NOW - timedelta(minutes=minutes), hold=hold)

    def _contradiction(self, first: Event) -> Event:
        return Event(first.mandate, first.event_id, first.user, Decimal(7), first.at, hold=first.hold)

    def _deliver(self) -> Deliver:
        draw = self._draw
        events = [draw.choice(self._pool) for _ in range(draw.randint(1, 4))]
        if self._is_crowd:  # of each user's something that nobody else brings, or who shares an event waits for that
            events = [self._event(), self._event(), *(events[:1] if draw.random() < 0.3 else [])]
            draw.shuffle(events)
        events = [self._contradiction(event) if draw.random() < 0.15 else event for event in events]
        return Deliver((*events, *(draw.sample(self._first, 1) if draw.random() < 0.15 else ())))

    def _actor(self) -> tuple[Work, ...]:
        draw, usage = self._draw, 0.8 if self._is_crowd else 0.5
        return tuple(self._deliver() if draw.random() < usage else self._verb() for _ in range(draw.choice([1, 1, 2])))

    def _verb(self) -> Work:
        draw = self._draw
        event_id, amount = draw.choice([*_FIRST, *(event.event_id for event in self._pool if event.mandate == "a")]), draw.choice(PRICES[1:])
        verbs: list[Work] = [
            Switch("a", draw.choice(MODELS)),
            Switch("a", draw.choice(MODELS)),
            GiveBack("a", draw.choice(_FIRST), draw.choice([Decimal(1), Decimal(2), Decimal(3)])),
            Amend("a", event_id, amount),
            Change("a", credit=draw.choice(PRICES), zone=draw.choice(["Europe/Zurich", "America/Santiago", None])),
            Pay("a", draw.choice(["ada", "bob", POOL]), amount),
            Enter("b", USERS),
            Release(),
            Backfill(),
            RollUp(),
        ]
        holds = [Forgo("a", "held"), Sweep(), Authorise("a", draw.choice(["held", "other", "e0"]), "ada", draw.choice(PRICES))]
        return draw.choice(holds if self._has_holds and draw.random() < 0.5 else verbs)

    def _faults(self, actors: int) -> dict[tuple[int, int], Fault]:
        draw = self._draw
        count = draw.choice([0, 0, 1, 1, 2, 3])
        return {(draw.randrange(actors), int(draw.triangular(0, FAULT_POINT_MAX, 5))): draw.choice(list(Fault)) for _ in range(count)}
