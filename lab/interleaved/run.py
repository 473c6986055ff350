"""Histories of a seed, one after another: how many there were, how many different ones, and what went wrong in which."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any

import structlog

from core.asking.rights import ROOT
from core.verifying.verify import verify
from lab.interleaved.history import drawn
from lab.interleaved.judge import judge
from lab.interleaved.scheduler import Fault
from lab.interleaved.shrink import Failure, shrunk
from lab.interleaved.stage import UNTOLD, Played, Stage, own_stage
from lab.interleaved.work import REFUSED, Deliver

HISTORIES_DEFAULT = 1000
VERIFIED_EVERY = 100  # histories; the program's own look at its books reads all of them
WARM_UP = 8  # histories that aren't looked at
FAILURES_MAX = 3  # after which one is enough to look at
OUTCOMES = ("recorded", "duplicate", "conflict", "parked")
Tell = Callable[[str], None]


@dataclass
class Violation:
    """A history that went wrong: how, as a script of what is left of it, and by which command it happens again."""

    history: int
    wrong: list[str]
    script: str
    replay: str


@dataclass
class Result:
    """What a run was: its histories, those that differ, and what happened in them."""

    seed: int
    histories: int = 0
    statements: int = 0
    waits: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    interleavings: set[bytes] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)

    @property
    def not_exercised(self) -> list[str]:
        """Faults and outcomes that never happened, and whether nobody ever waited."""
        unseen = [fault.value for fault in Fault if not self.faults[fault.value]]
        return [*unseen, *(outcome for outcome in (*OUTCOMES, REFUSED) if not self.outcomes[outcome]), *([] if self.waits else ["waits for a lock"])]

    def per_hour(self, number: int) -> int:
        """So many in an hour."""
        return int(number * 3600 / self.seconds) if self.seconds else 0

    def as_json(self) -> dict[str, Any]:
        """The line that a run ends with."""
        return {
            "profile": "interleaved",
            "seed": self.seed,
            "histories": self.histories,
            "interleavings": len(self.interleavings),
            "seconds": round(self.seconds, 1),
            "histories_per_hour": self.per_hour(self.histories),
            "interleavings_per_hour": self.per_hour(len(self.interleavings)),
            "statements": self.statements,
            "waits": self.waits,
            "faults": dict(sorted(self.faults.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
            "work": dict(sorted(self.work.items())),
            "violations": [vars(violation) for violation in self.violations],
            "not_exercised": self.not_exercised,
        }

    def add(self, played: Played) -> None:
        """Counts what happened in a history."""
        self.histories += 1
        self.statements += len(played.steps)
        self.waits += sum(step.waited for step in played.steps)
        self.faults.update(step.fault.value for step in played.steps if step.fault is not None)
        self.interleavings.add(sha256(repr(played.interleaving).encode()).digest()[:16])
        for attempt in played.attempts:
            if attempt.actor >= 0 and attempt.told is not UNTOLD:
                self.work[type(attempt.work).__name__] += 1
                self.outcomes.update(attempt.told if isinstance(attempt.work, Deliver) and isinstance(attempt.told, list) else ())
                self.outcomes[REFUSED] += attempt.told == REFUSED


def run(
    seed: int,
    *,
    histories: int | None = None,
    seconds: float | None = None,
    told: Tell = lambda _: None,
    only: int | None = None,
    stage: Stage | None = None,
    failures_max: int = FAILURES_MAX,
) -> Result:
    """Plays the histories of a seed, and judges each; a failing one is shrunk and told.

    Args:
        seed: of which all follows.
        histories: how many; None: as many as there is time for, or 1,000.
        seconds: how long at most; None: until all are played.
        told: what is to be printed on the way.
        only: this history alone.
        stage: where; None: on a server of its own.
        failures_max: after so many no further history is played.
    """
    result = Result(seed)
    with _quiet(), own_stage() if stage is None else _given(stage) as place:
        _warm_up(place)
        began, checked = monotonic(), 0
        for number in _numbers(histories, seconds, only):
            if (seconds is not None and monotonic() - began > seconds) or len(result.violations) >= failures_max:
                break
            played = place.play(*drawn(seed, number))
            result.add(played)
            if wrong := judge(played):
                _tell(result, shrunk(place, Failure(played, wrong), told), number, told)
            result.seconds = monotonic() - began
            if result.histories % VERIFIED_EVERY == 0:
                _verify(place, result, range(checked, number + 1), told)
                checked = number + 1
        _verify(place, result, range(checked, checked + VERIFIED_EVERY), told)
        result.seconds = monotonic() - began
    told(
        f"{result.histories} histories, {len(result.interleavings)} different ones, in {result.seconds:.0f} s:"
        f" {result.per_hour(result.histories)} and {result.per_hour(len(result.interleavings))} an hour"
    )
    return result


def _numbers(histories: int | None, seconds: float | None, only: int | None) -> Iterator[int]:
    if only is not None:
        return iter([only])
    return iter(range(histories if histories is not None else HISTORIES_DEFAULT if seconds is None else 10**9))


def _tell(result: Result, failure: Failure, number: int, told: Tell) -> None:
    replay = f"tollbook torture --profile interleaved --seed {result.seed} --history {number}"
    result.violations.append(Violation(number, failure.wrong, failure.script(), replay))
    told(f"history {number} of seed {result.seed} went wrong; what is left of it:\n{failure.script()}\nagain: {replay}")


def _verify(stage: Stage, result: Result, numbers: range, told: Tell) -> None:
    """The program's own look at all books."""
    for verdict in verify(stage.plain, ROOT):
        if verdict.violations:
            samples = "; ".join(f"{sample.subject}: {sample.detail}" for sample in verdict.samples)
            broken = f"broken {verdict.violations} times by histories {numbers[0]} to {numbers[-1]}"
            wrong = f"{verdict.invariant} ({verdict.description}), {broken}: {samples}"
            if not any(wrong.split(",", maxsplit=1)[0] in earlier for violation in result.violations for earlier in violation.wrong):
                result.violations.append(Violation(numbers[-1], [wrong], "", f"tollbook torture --profile interleaved --seed {result.seed}"))
                told(wrong)


def _warm_up(stage: Stage) -> None:
    """What a process learns once it has learned, so that each history runs the same statements whatever came before it."""
    for number in range(WARM_UP):
        stage.play(*drawn(0, number))


@contextmanager
def _given(stage: Stage) -> Iterator[Stage]:
    yield stage


@contextmanager
def _quiet() -> Iterator[None]:
    """The program's log says of each history what it says of every day."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
