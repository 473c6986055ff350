"""Ranges of time as they are typed."""

from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer

from cli import ranges
from cli.ranges import Days, Moments
from tests.cli.test_cli import Run, run
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]
ZURICH = ZoneInfo("Europe/Zurich")
NAMES = {"from": "from_", "day": "in_day", "month": "in_month", "year": "in_year"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "utc_now", lambda: datetime(2026, 3, 31, 22, 30, tzinfo=UTC))  # in Zurich the day after
    monkeypatch.setattr(ranges, "zone", lambda: ZURICH)


def said(*names: str, **typed: str) -> dict[str, str | None]:
    """What the options of a range have: nothing but what was typed."""
    every = dict.fromkeys(("from_", "to", "since", "until", "in_day", "in_month", "in_year"))
    return {**every, **{NAMES.get(name.rstrip("_"), name): value for name, value in typed.items()}}


@pytest.mark.parametrize(
    ("typed", "days"),
    [
        ({}, (None, None)),
        ({"from_": "2026-01-31"}, (date(2026, 1, 31), None)),
        ({"to": "yesterday"}, (None, date(2026, 3, 31))),
        ({"from_": "7d", "to": "today"}, (date(2026, 3, 25), date(2026, 4, 1))),
        ({"day": "today"}, (date(2026, 4, 1), date(2026, 4, 1))),
        ({"month": "2024-02"}, (date(2024, 2, 1), date(2024, 2, 29))),
        ({"month": "2"}, (date(2026, 2, 1), date(2026, 2, 28))),
        ({"month": "12", "year": "2025"}, (date(2025, 12, 1), date(2025, 12, 31))),
        ({"year": "2025"}, (date(2025, 1, 1), date(2025, 12, 31))),
    ],
)
def test_days_are_local_and_included(clock: None, typed: dict[str, str], days: tuple[date | None, date | None]) -> None:
    """A day, a month or a year is whole; today is the day that it is in the default time zone."""
    assert ranges._days(said(**typed)) == Days(*days)


@pytest.mark.parametrize(
    ("typed", "since", "until"),
    [
        ({"from_": "2026-03-29"}, "2026-03-28T23:00:00+00:00", None),
        ({"to": "2026-03-29"}, None, "2026-03-29T22:00:00+00:00"),
        ({"from_": "2026-01-31T12:00:00+01:00", "to": "2026-02-01T00:00:00Z"}, "2026-01-31T11:00:00+00:00", "2026-02-01T00:00:00+00:00"),
        ({"since": "2026-02-01T00:00:00Z"}, "2026-02-01T00:00:00+00:00", None),
        ({"month": "2026-03"}, "2026-02-28T23:00:00+00:00", "2026-03-31T22:00:00+00:00"),
    ],
)
def test_moments_may_be_days(clock: None, typed: dict[str, str], since: str | None, until: str | None) -> None:
    """A day stands for when it begins, in `--to` for when it is over, also where its clock changes; a time is the time."""
    found = ranges._moments(said(**typed))
    assert found == Moments(*(None if text is None else datetime.fromisoformat(text) for text in (since, until)))


@pytest.mark.parametrize(
    "typed",
    [
        {"from_": "soon"}, {"day": "2026-02-30"}, {"month": "2026-13"}, {"month": "x"}, {"year": "0"}, {"month": "2026-01", "year": "2026"},
        {"from_": "today", "day": "today"}, {"day": "today", "year": "2026"}, {"from_": "99999d9"}, {"to": "2026-01-31T00:00:00Z"},
    ],
)  # fmt: skip
def test_what_is_no_range_is_told(clock: None, typed: dict[str, Any]) -> None:
    """Neither a day that isn't in the calendar, nor two ranges at once."""
    with pytest.raises(typer.BadParameter):
        ranges._days(said(**typed))


def test_an_old_name_beside_the_new_one_is_told(clock: None) -> None:
    """They are the same: which of the two would hold?"""
    with pytest.raises(typer.BadParameter, match="name one"):
        ranges._moments(said(from_="today", since="2026-01-01T00:00:00Z"))


def test_lists_keep_to_the_range(run: Run, record: Record, put_settings: PutSettings) -> None:
    """Of events in two months each month has its own, in the ledger, in its export, and among dead letters."""
    put_settings(users=["ada"])
    now = partial(datetime.fromisoformat, "2026-03-05T12:00:00Z")
    record(event(event_id="one", occurred_at="2026-02-10T12:00:00Z"), event(event_id="two", occurred_at="2026-03-02T12:00:00Z"), clock=now)
    run("rollup", "run")
    assert run("stats", "acme", "--month", "2026-02", "--json").json["total"]["event_count"] == 1
    assert run("stats", "acme", "--year", "2026", "--month", "2", "--json").json["total"]["event_count"] == 1
    assert run("alerts", "--from", "2020-01-01", "--to", "2020-12-31", "--json").json == []
    assert run("deadletters", "list", "--year", "2020", "--json").json == []
    assert run("caps", "alerts", "--day", "2020-02-29", "--json").json == []
