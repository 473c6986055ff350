"""The overview for people: a line for each thing, what of it needs somebody, and the command that shows more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output.text import printable
from core.watching.read import Condition, Count, Waiting
from worker.answers import Answers, WorkerAnswer
from worker.overview import Overview

WORKERS_SHOWN_MAX, NAMES_SHOWN_MAX, LOW_SHOWN_MAX = 2, 3, 3
_LATE_SECONDS = 60.0  # of recording, publishing, sweeping
_OLD_SECONDS = 600.0  # of parked events: longer than a directory's commit is late
_NO_TROUBLE = {"running", "idle", "starting"}
_USAGE = ("usage", "usage.json", "usage.dead", "usage.json.dead")


class Mark(StrEnum):
    """Whether a line needs somebody: by its sign, which says the same without a colour."""

    FINE = " "
    LOOK = "?"
    BAD = "!"


_STYLES = {Mark.FINE: "", Mark.LOOK: "yellow", Mark.BAD: "bold red"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is about, what it says, and the command of `tollbook` that shows more."""

    label: str
    said: str
    more: str
    mark: Mark = Mark.FINE


def lines(overview: Overview) -> list[Line]:
    """All lines, in the order in which usage goes its way."""
    books = overview.books
    recording = [_recording(overview, books)] if books else [Line("books", f"away: {overview.away['books']}", "doctor", Mark.BAD)]
    away = Line("broker", f"away: {overview.away.get('broker', '')}", "doctor", Mark.BAD)
    queues = list(_queues(overview)) if overview.backlog is not None else [away]
    return [*recording, *queues, *_workers(overview), *(_of_books(books, publishes_alerts=overview.publishes_alerts) if books else ())]


def rendered(overview: Overview) -> RenderableType:
    """The overview as rich draws it, as wide as there is room."""
    found = lines(overview)
    bad, look = (sum(line.mark is mark for line in found) for mark in (Mark.BAD, Mark.LOOK))
    summary = "all is well" if not bad and not look else f"! {bad} bad, ? {look} to look at"
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(no_wrap=True, justify="right", style="dim")
    head = Text.assemble(f"{overview.at:%Y-%m-%d %H:%M:%S} UTC: ", (summary, _worst(found)))
    grid.add_row("", Text("tollbook", "bold"), head, "more: tollbook …")
    for line in found:
        style = _STYLES[line.mark]
        grid.add_row(Text(line.mark, style), Text(line.label, style or "bold"), Text(printable(line.said), style), line.more)
    return Group(grid)


def _worst(found: Sequence[Line]) -> str:
    marks = {line.mark for line in found}
    return _STYLES[Mark.BAD if Mark.BAD in marks else Mark.LOOK if Mark.LOOK in marks else Mark.FINE] or "green"


def _recording(overview: Overview, books: Condition) -> Line:
    waiting = sum((overview.backlog or {}).get(queue, 0) for queue in _USAGE)
    commit = "nothing yet" if books.last_commit is None else f"last commit {_ago(books.last_commit, books.at)}"
    lag = "" if books.lag_seconds is None else f", {_time(books.lag_seconds)} after they happened"
    counts = {name: getattr(books.recent, name) for name in ("duplicate", "conflict", "rejected", "parked")}
    others = "".join(f", {number:,} {name}" for name, number in counts.items() if number)
    said = f"{_rate(books.recent.rate)} events/s{lag}; {commit}; {books.recent.recorded:,} recorded{others} in {books.recent.seconds:.0f} s"
    stands = waiting and (books.last_commit is None or (books.at - books.last_commit).total_seconds() > _LATE_SECONDS)
    late = books.lag_seconds is not None and books.lag_seconds > _LATE_SECONDS and bool(waiting)
    look = late or counts["rejected"] or counts["conflict"]
    return Line("recording", said, "batches", Mark.BAD if stands else Mark.LOOK if look else Mark.FINE)


def _queues(overview: Overview) -> Iterator[Line]:
    waiting = dict(overview.backlog or {})
    claims = waiting.pop("claims", None)
    usage = ", ".join(f"{queue} {waiting[queue]:,}" for queue in _USAGE if queue in waiting and (waiting[queue] or ".dead" not in queue))
    others = "".join(f", {queue} {number:,}" for queue, number in sorted(waiting.items()) if number and queue not in _USAGE)
    held = "" if claims is None else f"; {claims:,} claims at work"
    nobody = overview.workers is not None and not overview.workers.workers and any(waiting.values())
    yield Line("queues", f"{usage or 'none declared yet'}{others}{held}", "status --json", Mark.BAD if nobody else Mark.FINE)
    if overview.foreign:
        yield Line("unread", f"lists that no worker reads: {_named(overview.foreign)}", "intake adopt", Mark.BAD)


def _workers(overview: Overview) -> Iterator[Line]:
    if overview.workers is None:
        yield Line("workers", f"can't be asked: {overview.away.get('workers', '')}", "doctor", Mark.BAD)
        return
    answers: Answers = overview.workers
    if not answers.workers:
        yield Line("workers", "none answers", "doctor", Mark.BAD)
    for worker in sorted(answers.workers, key=_is_well)[:WORKERS_SHOWN_MAX]:
        yield Line(
            "worker", _of_worker(worker), "doctor", Mark.FINE if _is_well(worker) else Mark.BAD if "paused" not in worker.states else Mark.LOOK
        )
    if len(answers.workers) > WORKERS_SHOWN_MAX:
        rest = sorted(answers.workers, key=_is_well)[WORKERS_SHOWN_MAX:]
        well = sum(map(_is_well, rest))
        yield Line("worker", f"{len(rest)} more, {well} of them well", "status --json", Mark.FINE if well == len(rest) else Mark.BAD)
    if not answers.beats:
        yield Line("beat", "none answers: no job is asked for", "doctor", Mark.LOOK)


def _is_well(worker: WorkerAnswer) -> bool:
    return set(worker.states) <= _NO_TROUBLE


def _mark_of_worker(worker: WorkerAnswer) -> Mark:
    if _is_well(worker):
        return Mark.FINE
    return Mark.LOOK if "paused" in worker.states else Mark.BAD


def _of_worker(worker: WorkerAnswer) -> str:
    if not worker.queues:
        return f"{worker.name}: serves no usage"
    states = sorted({f"{worker.states.count(state)} {state}" for state in worker.states}) or ["says nothing of its pumps"]
    error = f": {worker.last_error}" if worker.last_error else ""
    return f"{worker.name}: {', '.join(states)}, holds {worker.held:,}, {_rate(worker.rate)} events/s{error}"


def _of_books(books: Condition, *, publishes_alerts: bool) -> Iterator[Line]:
    yield _letters(books)
    yield _parked(books)
    yield _jobs(books)
    broken = {name: number for name, number in books.violations.items() if number}
    if broken:
        yield Line("findings", f"broken invariants: {_named(broken)}", "findings", Mark.BAD)
    else:
        told = f"none: {len(books.violations)} invariants held when last looked at" if books.violations else "the books were never reconciled"
        yield Line("findings", told, "findings", Mark.FINE if books.violations else Mark.LOOK)
    yield _balances(books)
    yield _holds(books)
    yield Line("caps", f"{books.caps_reached} reached in windows of now", "caps alerts")
    gaps = f"gaps in what producers numbered: {books.producer_gaps}"
    if books.producer_gaps.number:
        gaps += f", the oldest for {_time(books.producer_gap_oldest_seconds)}"
    waits = f"; {books.outcomes_waiting} outcomes to be told" if books.outcomes_waiting.number else ""
    yield Line("producers", gaps + waits, "producers", Mark.LOOK if books.producer_gaps.number else Mark.FINE)
    if books.alerts_waiting and publishes_alerts:
        late = books.alerts_oldest_seconds > _LATE_SECONDS
        said = f"{books.alerts_waiting:,} wait to be published, the oldest for {_time(books.alerts_oldest_seconds)}"
        yield Line("alerts", said, "alerts", Mark.LOOK if late else Mark.FINE)


def _letters(books: Condition) -> Line:
    said = f"open: {_reasons(books.open_letters)}" if books.open_letters else "none open"
    return Line("letters", said, "deadletters list", Mark.LOOK if books.open_letters else Mark.FINE)


def _parked(books: Condition) -> Line:
    if not books.parked:
        return Line("parked", "none", "parked list")
    old = any(one.oldest_seconds > _OLD_SECONDS for one in books.parked)
    prices = f"; {books.suspense_events:,} for want of a price" if books.suspense_events else ""
    return Line("parked", f"{books.parked_events:,}: {_reasons(books.parked)}{prices}", "parked list", Mark.LOOK if old else Mark.FINE)


def _jobs(books: Condition) -> Line:
    failed = [job.job for job in books.jobs if job.failed]
    done = sorted((job.age_seconds, job.job) for job in books.jobs if job.age_seconds is not None)
    said = f"{len(done)} done: last {_done(*done[0])}" if done else "none was ever done"
    if len(done) > 1:
        said += f", longest ago {_done(*done[-1])}"
    if failed:
        said = f"failed: {', '.join(failed)}; {said}"
    if books.rollup.pending_events:
        said += f"; statistics lack {books.rollup.pending_events:,} events"
    late = books.rollup.oldest_seconds > _OLD_SECONDS
    return Line("jobs", said, "jobs", Mark.LOOK if failed or late or not done else Mark.FINE)


def _done(seconds: float, job: str) -> str:
    return f"{job} ({_time(seconds)})"


def _balances(books: Condition) -> Line:
    counts: Mapping[str, Count] = {"near their limit": books.below_threshold, "below zero": books.below_zero, "over their credit": books.above_limit}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count.number) or "none near its limit"
    low = [f"{one.mandate_id}{'/' + one.user_id if one.user_id else ''} {one.balance:.2f}" for one in books.low_accounts[:LOW_SHOWN_MAX]]
    some = f": {', '.join(low)}{' …' if len(books.low_accounts) > LOW_SHOWN_MAX else ''}" if low else ""
    beyond = books.below_zero.number or books.above_limit.number
    return Line("balances", said + some, "balances mandates", Mark.LOOK if beyond else Mark.FINE)


def _holds(books: Condition) -> Line:
    holds = books.holds
    number = Count(holds.number, holds.more)
    late = holds.overdue_seconds > _LATE_SECONDS
    said = f"{number} open, {holds.held_chf:.2f} CHF held" if holds.number else "none open"
    return Line(
        "holds", said + (f"; over for {_time(holds.overdue_seconds)} and not swept" if late else ""), "holds list", Mark.LOOK if late else Mark.FINE
    )


def _reasons(waiting: Sequence[Waiting]) -> str:
    most = sorted(waiting, key=lambda one: -one.number)
    shown = [f"{one.reason} {Count(one.number, one.more)} ({_time(one.oldest_seconds)})" for one in most[:NAMES_SHOWN_MAX]]
    return ", ".join(shown) + (f" and {len(most) - NAMES_SHOWN_MAX} further reasons" if len(most) > NAMES_SHOWN_MAX else "")


def _named(numbers: Mapping[str, int]) -> str:
    most = sorted(numbers.items(), key=lambda one: -one[1])
    more = len(most) - NAMES_SHOWN_MAX
    return ", ".join(f"{name} {number:,}" for name, number in most[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _ago(moment: datetime, now: datetime) -> str:
    return f"{_time(max((now - moment).total_seconds(), 0))} ago"


def _time(seconds: float) -> str:
    """A time in one unit: 0.4 s, 12 s, 4 min, 3 h, 2 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"
