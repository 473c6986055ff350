"""Whether a history came out as it would have if its pieces had been done one after another, in some order that nobody could tell from theirs.

The oracle is asked in the order of commits first; where it says otherwise, in every order that keeps what was finished before something else
began before that. What each was told and all that the books say in the end must be as in one of them.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from lab.agreement.books import told_by_model
from lab.agreement.holds import holds_of_model
from lab.interleaved.history import AFTER
from lab.interleaved.stage import UNTOLD, Attempt, Played, State
from lab.interleaved.sweeps import REPEATED, Enter
from lab.interleaved.work import NOT_ASKED, NOW, REFUSED, Deliver, Names, Part
from lab.oracle.books import Key, Refused
from lab.oracle.entries import Event, Mandate
from lab.oracle.holds import HeldBooks

SCENE = "the scene isn't set"  # nobody came between, and yet it is wrong
ORDERS_MAX = 1500  # parts that are done before the search is given up


class OrderedBooks(HeldBooks):
    """The oracle, told in which order accounts were opened: what is left over when a pool is split goes by that."""

    opened: tuple[tuple[str, str], ...] = ()

    def _split(self, own: Mandate) -> Decimal:
        (mandate,) = (name for name, found in self.mandates.items() if found is own)
        order = [user for of, user in self.opened if of == mandate]
        own.accounts = dict(sorted(own.accounts.items(), key=lambda account: order.index(account[0]) if account[0] in order else len(order)))
        return super()._split(own)

    def release_parked(self) -> int:
        """See `Books.release_parked`. What was parked just when somebody else recorded it is a copy, or contradicts it."""
        both = [event for key, event in self.parked.items() if key in self.keys and self._knows(event.mandate)]
        for event in both:
            del self.parked[event.key]
            if not self.keys[event.key].is_copy(event):
                self.dead[event] += 1
        return len(both) + super().release_parked()


@dataclass(frozen=True)
class Done:
    """A piece of work as it is to be placed: what it did, between which steps, and what was told; `at` is where it seems to belong."""

    actor: int
    parts: tuple[Part, ...]
    began: int
    ended: int
    at: int
    told: object
    what: str
    events: tuple[Event, ...] = ()
    enters: Enter | None = None

    def overlaps(self, other: "Done") -> bool:
        """Whether neither was finished when the other began."""
        return self.began < other.ended and other.began < self.ended


def judge(played: Played) -> list[str]:
    """What is wrong with a history, in words; nothing where some order explains it."""
    wrong = list(played.wrong)
    quiet = [attempt for attempt in played.attempts if attempt.actor < 0]
    before, after = quiet[: -len(AFTER)], quiet[-len(AFTER) :]
    books = OrderedBooks(NOW)
    books.opened = tuple(played.opened)
    search = _Search(played, after)
    for attempt in before:
        wrong += search.sets_the_scene(books, attempt)
    if wrong:
        return wrong
    return search.explained(books, placed(played.attempts, played.names))


def kinds(wrong: Sequence[str]) -> set[str]:
    """What kinds of things are wrong: who was told what, or what of the books differs."""
    return {"told" if " was told " in each else each.partition(":")[0] for each in wrong}


def placed(attempts: Sequence[Attempt], names: Names) -> list[Done]:
    """Every piece of work that may have done something, those that belong together as one."""
    by_piece: dict[tuple[int, int], list[Attempt]] = {}
    for attempt in attempts:
        if attempt.actor >= 0:
            by_piece.setdefault((attempt.actor, attempt.piece), []).append(attempt)
    return [done for tries in by_piece.values() for done in _done(tries, names) if done.parts and done.told != NOT_ASKED]


def _done(tries: list[Attempt], names: Names) -> Iterator[Done]:
    work = tries[0].work
    if not isinstance(work, REPEATED):
        commits = [step for attempt in tries for step in attempt.commits]
        at = max(commits, default=tries[-1].ended)
        yield Done(
            tries[0].actor,
            tuple(work.parts()),
            tries[0].began,
            tries[-1].ended,
            at,
            tries[-1].told,
            str(work),
            enters=work if isinstance(work, Enter) else None,
        )
        return
    for attempt in tries:
        if attempt.told is UNTOLD and not attempt.commits:
            continue
        at, several = max(attempt.commits, default=attempt.ended), tuple(work.parts())
        events = tuple(work.named(names)) if isinstance(work, Deliver) else ()
        yield Done(attempt.actor, several, attempt.began, attempt.ended, at, attempt.told, str(work), events)


class _Search:
    """Looks for an order of one history's pieces that explains it."""

    def __init__(self, played: Played, after: Sequence[Attempt]) -> None:
        self._played, self._names, self._after = played, played.names, after
        self._left = ORDERS_MAX
        self._pieces: Sequence[Done] = ()
        self._entries: Sequence[Done] = ()
        self._entered, self._members = set[str](), set[tuple[str, str]]()

    def sets_the_scene(self, books: HeldBooks, attempt: Attempt) -> list[str]:
        """What is wrong about work that nobody came between."""
        told: object = None
        for part in attempt.work.parts():
            told = _result(part, books, self._names)
        return [] if attempt.told in (told, NOT_ASKED) else [f"{SCENE}: {attempt.work}: told {attempt.told}, not {told}"]

    def explained(self, books: OrderedBooks, pieces: Sequence[Done]) -> list[str]:
        """What is wrong, as seen in the order of commits; nothing where another order explains all."""
        in_order = sorted(pieces, key=lambda done: done.at)
        self._pieces, self._entries = pieces, [done for done in pieces if done.enters]
        self._entered, self._members = set(books.directory), set(books.members)  # before anything else happened
        first = _copy(pickle.dumps(books))
        outcomes: dict[int, Counter[str]] = {}
        wrong: list[str] = []
        for done in in_order:
            for part in done.parts:
                told = _result(part, first, self._names)
            if done.told is not UNTOLD and told != done.told:
                wrong.append(f"{'ABCDEFGH'[done.actor]} was told {done.told}, not {told}, of: {done.what}")
            _count(outcomes, done, told)
        wrong = wrong or self._differs(first, outcomes)
        if not wrong or self._found(books, [(done, 0) for done in in_order], {}):
            return []
        return [*wrong, *(["the search for another order was given up"] if self._left <= 0 else [])]

    def _found(self, books: OrderedBooks, left: list[tuple[Done, int]], outcomes: dict[int, Counter[str]]) -> bool:
        if not left:
            return not self._differs(books, outcomes)
        kept = pickle.dumps(books)
        for done, number in left:
            if any(other.ended <= done.began for other, _ in left):
                continue
            others = [(other, n) for other, n in left if other is not done]
            last = number + 1 == len(done.parts)
            rest = others if last else sorted([*others, (done, number + 1)], key=lambda each: each[0].at)
            for way in self._ways(done, number):
                self._left -= 1
                if self._left <= 0:
                    return False
                trial, counted = _copy(kept), {who: Counter(n) for who, n in outcomes.items()}
                told = way(trial)
                if last:
                    if done.told is not UNTOLD and told != done.told:
                        continue
                    _count(counted, done, told)
                if self._found(trial, rest, counted):
                    return True
        return False

    def _ways(self, done: Done, number: int) -> Iterator[Callable[[OrderedBooks], object]]:
        """How a part may have gone: as it is, not at all, or without what the directory was told meanwhile, which is read without a lock."""
        part = done.parts[number]
        yield lambda books: _result(part, books, self._names)
        if part.optional:
            yield lambda _: None
        if done.events and (unseen := [entry for entry in self._entries if entry.overlaps(done)]):
            keys = {event.key for other in self._pieces if other.overlaps(done) for event in other.events}
            for mandates, members in ((True, True), (True, False), (False, True)):
                yield partial(self._unseen, part, unseen if mandates else [], unseen if members else [], keys)

    def _unseen(self, part: Part, mandates: Sequence[Done], members: Sequence[Done], keys: set[Key], books: OrderedBooks) -> object:
        """As if the directory hadn't been told of these mandates and members, nor any of the keys been recorded for such a mandate."""
        kept = books.directory, books.members, books.mandates, books.keys
        hidden = {self._names[e.enters.mandate] for e in mandates if e.enters is not None} - self._entered
        strangers = {(self._names[e.enters.mandate], user) for e in members if e.enters is not None for user in e.enters.users} - self._members
        books.directory = {own: found for own, found in books.directory.items() if own not in hidden}
        books.members = {who: found for who, found in books.members.items() if who not in strangers}
        books.mandates = {own: found for own, found in books.mandates.items() if own not in hidden}
        books.keys = {key: event for key, event in books.keys.items() if key[0] not in hidden or key not in keys}
        try:
            return _result(part, books, self._names)
        finally:
            directory, known, opened, recorded = kept
            books.directory, books.members = directory, known
            books.mandates, books.keys = books.mandates | opened, books.keys | recorded

    def _differs(self, books: OrderedBooks, outcomes: dict[int, Counter[str]]) -> list[str]:
        ended = _copy(pickle.dumps(books))
        for attempt in self._after:
            for part in attempt.work.parts():
                _result(part, ended, self._names)
        ids = dict(zip(ended.caps, self._played.cap_ids, strict=False))
        own = list(self._names.values())
        told: State = told_by_model(ended, own) | holds_of_model(ended, ids) | {"batches": {who: dict(n) for who, n in outcomes.items() if n}}
        return [
            f"{what}: {_difference(self._played.books[what], told[what])}" for what in told if not _same(what, self._played.books[what], told[what])
        ]


def _copy(kept: bytes) -> OrderedBooks:
    copied: OrderedBooks = pickle.loads(kept)  # noqa: S301, our own a moment ago
    return copied


def _count(outcomes: dict[int, Counter[str]], done: Done, told: object) -> None:
    """Batches say of each event what became of it, whoever was told."""
    if done.events and isinstance(told, list):
        outcomes.setdefault(done.actor, Counter()).update(told)


def _result(part: Part, books: HeldBooks, names: Names) -> object:
    books.now = NOW
    try:
        return part.do(books, names)
    except Refused:
        return REFUSED


def _same(what: str, books: Any, model: Any) -> bool:
    if what == "accounts":  # their order is that of their ids, not that of the commits
        return {mandate: sorted(accounts) for mandate, accounts in books.items()} == {mandate: sorted(own) for mandate, own in model.items()}
    return bool(books == model)


def _difference(books: Any, model: Any) -> str:
    if isinstance(books, Counter):
        return f"books have {dict(books - model)}, not {dict(model - books)}"
    if isinstance(books, dict):
        mine, theirs = ({k: v for k, v in these.items() if those.get(k) != v} for these, those in ((books, model), (model, books)))
        return f"books have {mine}, not {theirs}"
    return f"books have {books}, not {model}"
