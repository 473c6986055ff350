"""The one screen of `tollbook status`: what it says of books, broker and workers, whatever of them is away."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
import typer
from rich.console import Console

from cli.main import COMMANDS
from cli.output.overview import Mark, lines, rendered
from core.billing import BillingModel
from core.jobs.read import JobAge
from core.statistics.read_progress import RollupStatus
from core.watching.read import Condition, Count, LowAccount, OpenHolds, Recent, Waiting
from worker.answers import Answers, WorkerAnswer
from worker.overview import Overview

AT = datetime(2026, 5, 20, 12, tzinfo=UTC)
NONE = Count(0, more=False)
WELL = WorkerAnswer("one@host", ["running", "idle"], ["usage", "usage.json"], 500, 412.0)


def books(**changes: Any) -> Condition:
    """Books in which all is well, but for the changes."""
    well: dict[str, Any] = {
        "at": AT,
        "last_commit": AT - timedelta(seconds=2),
        "recent": Recent(60.0, 412.0, 24_720, 0, 0, 0, 0),
        "lag_seconds": 0.4,
        "open_letters": [],
        "parked": [],
        "parked_events": 0,
        "suspense_events": 0,
        "suspense_oldest_seconds": 0.0,
        "jobs": [JobAge("books.housekeep", 120.0, failed=False)],
        "violations": {"I1": 0, "I3": 0},
        "below_threshold": NONE,
        "below_zero": NONE,
        "above_limit": NONE,
        "low_accounts": [],
        "holds": OpenHolds(0, more=False, held_chf=Decimal(0), overdue_seconds=0.0),
        "caps_reached": NONE,
        "rollup": RollupStatus(0, 0, None, 0.0, None),
        "alerts_waiting": 0,
        "alerts_oldest_seconds": 0.0,
        "producer_gaps": NONE,
        "producer_gap_oldest_seconds": 0.0,
        "outcomes_waiting": NONE,
    }
    return Condition(**well | changes)


def overview(condition: Condition | None, **changes: Any) -> Overview:
    """An overview in which all is well, but for the changes."""
    well: dict[str, Any] = {"backlog": {"usage": 0, "usage.json": 0, "claims": 1}, "foreign": {}, "workers": Answers([WELL], ["celerybeat@host"])}
    return Overview(AT, condition, **{**well, "away": {}, **changes})


def marks(found: Overview) -> dict[str, Mark]:
    """Which lines need somebody."""
    return {line.label: line.mark for line in lines(found) if line.mark is not Mark.FINE}


def troubled() -> Overview:
    """Everything at once is wrong, in as many words as it takes."""
    reasons = [Waiting(f"some_reason_{n}", 10_000, more=True, oldest_seconds=90_000.0 * n) for n in range(1, 7)]
    low = [LowAccount(n, f"a-long-mandate-{n}", "with-a-user", BillingModel.PREPAY_USER, Decimal("-12.345"), Decimal(1), None) for n in range(10)]
    many = Count(10_000, more=True)
    condition = books(
        last_commit=AT - timedelta(minutes=9),
        recent=Recent(60.0, 0.2, 10, 1, 1, 1, 1),
        lag_seconds=7_200.0,
        open_letters=reasons,
        parked=reasons,
        parked_events=123_456,
        suspense_events=99_999,
        jobs=[JobAge("books.housekeep", 86_400.0, failed=True), JobAge("directory.sync", 5.0, failed=False)],
        violations={"I3": 7, "P1": 1},
        below_threshold=many,
        below_zero=many,
        above_limit=many,
        low_accounts=low,
        holds=OpenHolds(50_000, more=True, held_chf=Decimal("1234.5"), overdue_seconds=400.0),
        caps_reached=many,
        rollup=RollupStatus(9, 4_321, AT, 900.0, None),
        alerts_waiting=100_000,
        alerts_oldest_seconds=4_000.0,
        producer_gaps=many,
        producer_gap_oldest_seconds=9_000.0,
        outcomes_waiting=many,
    )
    workers = [WorkerAnswer(f"worker-{n}@host", ["failing", "idle"], ["usage"], 9, 1.0, "KeyError: 'x'") for n in range(9)]
    waiting = {"usage": 1_234_567, "usage.json": 7, "usage.dead": 3, "checks": 9, "claims": 0}
    return overview(condition, backlog=waiting, foreign={"prod:usage": 12}, workers=Answers(workers, []))


def printed(found: Overview, width: int) -> list[str]:
    """The lines on a terminal of this width."""
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(rendered(found))
    return capture.get().splitlines()


def test_where_all_is_well_nothing_is_marked() -> None:
    """No line needs anybody, and the first one says so."""
    found = overview(books())
    assert marks(found) == {}
    assert "all is well" in printed(found, 80)[0]
    assert len(printed(found, 80)) <= 15


@pytest.mark.parametrize(("width", "height"), [(80, 40), (120, 24)])
def test_it_fits_a_terminal(width: int, height: int) -> None:
    """However much is wrong, no line is longer than the terminal is wide; what is well, or a little wrong, fits 80 by 24."""
    shown = printed(troubled(), width)
    assert max(map(len, shown)) <= width
    assert len(shown) <= height
    some = overview(books(open_letters=[Waiting("conflict", 3, more=False, oldest_seconds=60.0)]), foreign={"prod:usage": 1})
    assert len(printed(some, 80)) <= 23


def test_what_is_wrong_is_marked() -> None:
    """Money or work that stands still is bad, what somebody should see is marked as such."""
    found = marks(troubled())
    bad = {label for label, mark in found.items() if mark is Mark.BAD}
    assert bad == {"recording", "unread", "worker", "findings"}
    assert found.keys() - bad == {"letters", "parked", "jobs", "balances", "holds", "producers", "alerts", "beat"}
    assert marks(overview(books(), workers=Answers([], []))) == {"workers": Mark.BAD, "beat": Mark.LOOK}
    paused = WorkerAnswer("one@host", ["paused", "paused"], ["usage"])
    assert marks(overview(books(), workers=Answers([paused], ["b"]))) == {"worker": Mark.LOOK}


@pytest.mark.parametrize("away", ["books", "broker", "workers"])
def test_what_is_away_hides_nothing_else(away: str) -> None:
    """In its place stands why, and all other lines are there."""
    gone: dict[str, Any] = {"broker": {"backlog": None}, "workers": {"workers": None}}.get(away, {})
    found = overview(None if away == "books" else books(), away={away: "no answer"}, **gone)
    assert [(line.said.rpartition(": ")[2], line.mark) for line in lines(found) if line.label == away] == [("no answer", Mark.BAD)]
    assert {"books", "broker", "workers"} & {line.label for line in lines(found)} == {away}
    assert ("letters" in {line.label for line in lines(found)}) == (away != "books")
    assert not found.ok


def _commands(named: str) -> Iterator[str]:
    """The commands of a module, with those of its groups."""
    command = typer.main.get_command(import_module(COMMANDS[named][0]).app)
    yield named
    for name in getattr(command, "commands", {}):
        yield f"{named} {name}"


def test_each_line_names_a_command_that_is_there() -> None:
    """Whatever a line says, there is a command that shows more of it."""
    for line in [*lines(troubled()), *lines(overview(books()))]:
        command = line.more.removesuffix(" --json")
        assert command in list(_commands(command.split()[0])), line
