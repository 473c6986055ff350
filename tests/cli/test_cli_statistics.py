"""`tollbook stats` and `tollbook rollup`: tables with bars for people, JSON and CSV for programs."""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from functools import partial

import pytest

from cli.output.chart import bar
from core.database.database import Database
from core.statistics.sql.statistics import hold_statistics
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

__all__ = ["run"]


@pytest.fixture
def usage(record: Record, put_settings: PutSettings) -> None:
    """Two users of acme over the end of a year, one with a hostile model's name."""
    put_settings(users=["ada", "bob"])
    clock = partial(datetime.fromisoformat, "2026-02-02T12:00:00Z")
    moments = ["2025-12-31T10:00:00Z", "2026-01-01T10:00:00Z", "2026-01-15T10:00:00Z", "2026-02-01T10:00:00Z"]
    record(*[event(price_chf="0.5", model="m", occurred_at=at, usage={"input_tokens": 7}) for at in moments], clock=clock)
    record(event(price_chf="1.5", user_id="bob", model="=cmd()", occurred_at=moments[1]), clock=clock)


def test_rollups_are_run_and_shown(run: Run, usage: None) -> None:
    """The status tells what is pending, a run counts it, a second one finds nothing, and a rebuild has nothing to set right."""
    before = run("rollup", "status", "--json").json
    assert (before["pending_batches"], before["pending_events"], before["closed_until"]) == (2, 5, None)
    assert run("rollup", "run", "--json").json == {"batches": 2, "events": 5, "rows_written": 12, "complete": True}
    assert "complete" in run("rollup", "run").out
    assert run("rollup", "rebuild", "--json").json == {"mandates": 1, "rows": 12, "rows_written": 0, "rows_removed": 0}
    assert run("rollup", "rebuild", "--mandate", "acme").code == 0
    after = run("rollup", "status").out
    assert "pending_batches" in after


def test_a_run_beside_another_says_so(run: Run, usage: None, connect: Callable[[], Database]) -> None:
    """It is no failure: the other one does the work."""
    with connect().transaction() as connection:
        hold_statistics(connection)
        ended = run("rollup", "run")
    assert (ended.code, "another rollup or a rebuild is at work" in ended.err) == (0, True)


def test_statistics_are_shown_by_day_month_and_year(run: Run, usage: None) -> None:
    """A line per period with its bar, then the shares of providers, models and features, and the total."""
    run("rollup", "run")
    out = run("stats", "acme", "--year", "2026").out
    assert "\n2026-01 " in out
    assert "\n2026-02 " in out
    assert "total: 4 events, 3.000000000 CHF, of which 3.000000000 CHF billed" in out
    assert "█" in out
    assert "=cmd()" in out
    assert "as of " in out
    assert "\n2025 " in run("stats", "acme", "ada", "--by", "year").out
    assert "\n2026-01-15 " in run("stats", "acme", "--by", "day", "--year", "2026", "--month", "1").out


def test_statistics_for_programs(run: Run, usage: None) -> None:
    """JSON has totals, periods and rows; a month that the range covers in part counts in part."""
    run("rollup", "run")
    found = run("stats", "acme", "ada", "--from", "2026-01-02", "--to", "2026-02-01", "--json").json
    assert [(p["period_start"], p["event_count"], p["cost"]) for p in found["periods"]] == [
        ("2026-01-01", 1, "0.500000000"),
        ("2026-02-01", 1, "0.500000000"),
    ]
    assert (found["total"]["event_count"], found["total"]["cost"], found["total"]["input_tokens"]) == (2, "1.000000000", 14)
    assert found["rows"][0]["model"] == "m"
    assert run("stats", "acme", "--by", "year", "--json").json["total"]["event_count"] == 5
    assert run("stats", "acme", "--from", "2026-02-01", "--json").json["total"]["event_count"] == 1
    assert run("stats", "acme", "--to", "2025-12-31", "--json").json["total"]["event_count"] == 1


def test_csv_is_exact_and_runs_no_formula(run: Run, usage: None) -> None:
    """A line per period, provider, model and feature; a text that a spreadsheet would run is quoted."""
    run("rollup", "run")
    lines = list(csv.DictReader(io.StringIO(run("stats", "acme", "--by", "year", "--year", "2026", "--csv").out)))
    assert [(line["period_start"], line["model"], line["event_count"], line["cost"]) for line in lines] == [
        ("2026-01-01", "'=cmd()", "1", "1.500000000"),
        ("2026-01-01", "m", "3", "1.500000000"),
    ]


def test_what_is_pending_is_not_shown_and_the_moment_says_so(run: Run, usage: None, rows: Rows) -> None:
    """Before the rollup there are no rows, and `as_of` is when the oldest pending batch was committed."""
    found = run("stats", "acme", "--year", "2026", "--json").json
    (oldest,) = rows("SELECT min(committed_at) AS at FROM batches")
    assert (found["rows"], datetime.fromisoformat(found["as_of"])) == ([], oldest["at"])
    assert run("stats", "acme", "--year", "2026").err == "no statistics yet: 5 events wait for the rollup; `tollbook rollup run`\n"


def test_wrong_questions_are_told(run: Run, put_mandate: PutMandate) -> None:
    """Who doesn't exist, a range that runs backwards, a month that no year has: one line each, naming field and value."""
    put_mandate("acme")
    assert run("stats", "nobody").err.startswith("error: there is no mandate 'nobody'")
    assert run("stats", "acme", "ada").err == "error: mandate 'acme' has no account of user 'ada'\n"
    assert "month: there is none such (got 13)" in run("stats", "acme", "--year", "2026", "--month", "13").err
    assert run("stats", "acme", "--from", "2026-02-01", "--to", "2026-01-01").err == "error: to: 2026-01-01 is before 2026-02-01\n"
    assert run("rollup", "rebuild", "--mandate", "nobody").err == "error: mandate 'nobody' has neither billing settings nor statistics\n"
    for wrong in ("--from someday", "--from 2026-01-01 --year 2026", "--csv --json", "--by week"):
        assert run("stats", "acme", *wrong.split()).code == 2


def test_bars_are_in_proportion() -> None:
    """The greatest is as long as there is room, nothing is nothing, and whatever is above 0 can be seen."""
    assert len(bar(2, 2, 10)) == 10
    assert len(bar(1, 2, 10)) == 5
    assert bar(0, 2, 10) == bar(0, 0, 10) == bar(-1, 2, 10) == ""
    assert bar(1, 10**9, 10) == "▏"
