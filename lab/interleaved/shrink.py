"""A shorter history that fails, too: with fewer actors, pieces, events, faults, and turns; nothing of what is left can be left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from time import monotonic

from lab.interleaved.history import Chooser, History
from lab.interleaved.judge import judge, kinds
from lab.interleaved.stage import Played, Stage
from lab.interleaved.work import Deliver, Work

TRIALS_MAX, SECONDS_MAX = 300, 60.0


@dataclass(frozen=True)
class Failure:
    """A history that went wrong, and how."""

    played: Played
    wrong: list[str]

    def script(self) -> str:
        """Who does what in which order, and what is wrong about it."""
        lines = ["before:", *(f"    {work}" for work in self.played.history.before)]
        for number, works in enumerate(self.played.history.actors):
            lines += [f"{'ABCDEFGH'[number]}: {'; then '.join(map(str, works))}"]
        lines += ["in this order:", *(f"    {step}" for step in self.played.steps), "wrong:", *(f"    {each}" for each in self.wrong)]
        return "\n".join(lines)


def shrunk(stage: Stage, failure: Failure, told: Callable[[str], None] = lambda _: None) -> Failure:
    """The shortest failing one that is found by leaving things out, in at most 300 trials or a minute. What is wrong stays of the same kind."""
    best, wanted = failure, kinds(failure.wrong)
    until, trials = monotonic() + SECONDS_MAX, 0
    is_shorter = True
    while is_shorter:
        is_shorter = False
        for candidate in _shorter(replace(best.played.history, schedule=best.played.schedule)):
            trials += 1
            if trials > TRIALS_MAX or monotonic() > until:
                told(f"shrinking was given up after {trials} trials")
                return best
            tried = fails(stage, candidate)
            if tried is not None and kinds(tried.wrong) & wanted and _size(tried.played) < _size(best.played):
                best, is_shorter = tried, True
                break
    return best


def fails(stage: Stage, history: History) -> Failure | None:
    """How it fails when it is played as its schedule says, if it does."""
    played = stage.play(history, Chooser(history.schedule, None))
    wrong = judge(played)
    return Failure(played, wrong) if wrong else None


def _size(played: Played) -> tuple[int, ...]:
    history = played.history
    events = sum(len(work.events) for works in history.actors for work in works if isinstance(work, Deliver))
    pieces = len(history.before) + sum(map(len, history.actors))
    return len(history.actors), pieces, events, len(history.faults), _turns(played.schedule), len(played.steps)


def _turns(schedule: tuple[int, ...]) -> int:
    return sum(1 for _ in groupby(schedule))


def _shorter(history: History) -> Iterator[History]:
    """Everything that is shorter by one thing, the greatest things first."""
    for number in range(len(history.actors) if len(history.actors) > 1 else 0):
        yield _without_actor(history, number)
    for number, works in enumerate(history.actors):
        for piece in range(len(works) if len(works) > 1 else 0):
            yield _with_works(history, number, works[:piece] + works[piece + 1 :])
    for piece in range(len(history.before)):
        yield replace(history, before=history.before[:piece] + history.before[piece + 1 :])
    for fault in history.faults:
        yield replace(history, faults={place: what for place, what in history.faults.items() if place != fault})
    for number, works in enumerate(history.actors):
        for piece, work in enumerate(works):
            for fewer in _fewer_events(work):
                yield _with_works(history, number, (*works[:piece], fewer, *works[piece + 1 :]))
    yield from _fewer_turns(history)


def _without_actor(history: History, gone: int) -> History:
    def moved(actor: int) -> int:
        return actor - (actor > gone)

    return replace(
        history,
        actors=history.actors[:gone] + history.actors[gone + 1 :],
        faults={(moved(actor), point): fault for (actor, point), fault in history.faults.items() if actor != gone},
        schedule=tuple(moved(actor) for actor in history.schedule if actor != gone),
    )


def _with_works(history: History, actor: int, works: tuple[Work, ...]) -> History:
    return replace(history, actors=(*history.actors[:actor], works, *history.actors[actor + 1 :]))


def _fewer_events(work: Work) -> Iterator[Work]:
    if isinstance(work, Deliver) and len(work.events) > 1:
        for number in range(len(work.events)):
            yield Deliver(work.events[:number] + work.events[number + 1 :])


def _fewer_turns(history: History) -> Iterator[History]:
    """One turn is put off until its actor's next, or comes right after his last."""
    turns = [list(turn) for _, turn in groupby(history.schedule)]
    for number, turn in enumerate(turns):
        later = next((n for n in range(number + 1, len(turns)) if turns[n][0] == turn[0]), None)
        if later is not None:
            merged = [*turns[:number], *turns[number + 1 : later], turn + turns[later], *turns[later + 1 :]]
            yield replace(history, schedule=tuple(actor for each in merged for actor in each))
            merged = [*turns[:number], turn + turns[later], *turns[number + 1 : later], *turns[later + 1 :]]
            yield replace(history, schedule=tuple(actor for each in merged for actor in each))
