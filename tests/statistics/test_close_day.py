"""Closing days: each once, after all that was pending, catching up by itself; nothing is frozen."""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import StorageUnavailable
from core.statistics import close_day as close_day_module
from core.statistics.close_day import CATCH_UP_DAYS_MAX, close_day
from core.statistics.read_progress import rollup_status
from core.statistics.roll_up import roll_up_usage
from core.statistics.sql.statistics import hold_statistics
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

Close = Callable[[str], list[date] | None]
RUNS = "SELECT period, counts, error, ended_at IS NOT NULL AS ended FROM job_runs WHERE job = 'usage.close_day' ORDER BY period"


@pytest.fixture
def close(database: Database) -> Close:
    """Closes days at a time in UTC."""
    return lambda now: close_day(database, worker="test", clock=lambda _: datetime.fromisoformat(f"{now}+00:00"))


def test_a_day_is_closed_once_after_all_that_was_pending(
    close: Close, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """The rollup is run first; asked again, nothing happens until the next day has ended in the last time zone."""
    put_settings(users=["ada"])
    record(event(), event())
    record(event())
    assert close("2026-02-01T12:00:00") == [date(2026, 1, 31)]
    assert rows("SELECT * FROM rollup_pending") == []
    assert rows(RUNS) == [{"period": "2026-01-31", "counts": {"batches": 2, "events": 3}, "error": None, "ended": True}]
    record(event())
    assert close("2026-02-02T11:59:59") is None
    assert len(rows("SELECT * FROM rollup_pending")) == 1
    assert close("2026-02-02T12:00:00") == [date(2026, 2, 1)]
    assert breaches() == {}


def test_days_that_nobody_closed_are_closed_later(close: Close, database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Three days without beat, over a month's end in a leap year: one row each, and every event in its own day."""
    put_settings(users=["ada"])
    close("2024-02-28T12:00:00")
    moments = ["2024-02-28T10:00:00Z", "2024-02-29T10:00:00Z", "2024-03-01T10:00:00Z", "2024-03-01T11:00:00Z"]
    record(*[event(occurred_at=moment) for moment in moments], clock=partial(datetime.fromisoformat, "2024-03-02T00:00:00Z"))
    assert close("2024-03-02T12:00:00") == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert [row["period"] for row in rows(RUNS)] == ["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"]
    found = rows("SELECT period_start AS month, event_count AS n FROM usage_statistics WHERE period_type = 'MONTH' ORDER BY 1")
    assert [(row["month"], row["n"]) for row in found] == [(date(2024, 2, 1), 2), (date(2024, 3, 1), 2)]
    assert rollup_status(database, ROOT).closed_until == date(2024, 3, 1)


def test_a_closed_day_is_not_frozen(close: Close, database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Usage of a closed day that comes later still counts in that day."""
    put_settings(users=["ada"])
    clock = partial(datetime.fromisoformat, "2026-02-02T12:00:00Z")
    record(event(occurred_at="2026-01-31T10:00:00Z"), clock=clock)
    close("2026-02-01T12:00:00")
    record(event(occurred_at="2026-01-31T11:00:00Z"), clock=clock)
    roll_up_usage(database)
    assert rows("SELECT event_count AS n FROM usage_statistics WHERE period_type = 'DAY' AND period_start = '2026-01-31'") == [{"n": 2}]


def test_two_beats_close_a_day_once(
    connect: Callable[[], Database], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Of several at once at most one closes it; whoever came in between leaves it to the next run, and then it is closed."""
    put_settings(users=["ada"])
    record(event())
    now = datetime.fromisoformat("2026-02-01T12:00:00Z")
    jobs = [partial(close_day, connect(), worker=f"w{n}", clock=lambda _: now) for n in range(4)]
    closed = [days for days in at_once(*jobs) if days]
    closed += [days for days in [jobs[0]()] if days]
    assert closed == [[date(2026, 1, 31)]]
    assert len(rows(RUNS)) == 1
    assert breaches() == {}


def test_a_day_is_not_closed_while_somebody_else_counts(close: Close, connect: Callable[[], Database], rows: Rows) -> None:
    """It can't know that all is counted: the next run closes it."""
    with connect().transaction() as connection:
        hold_statistics(connection)
        assert close("2026-02-01T12:00:00") is None
    assert rows(RUNS) == []
    assert close("2026-02-01T13:00:00") == [date(2026, 1, 31)]


def test_a_failure_is_kept_and_the_next_run_closes_the_day(
    close: Close, record: Record, rows: Rows, put_settings: PutSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row tells why it failed; once the day is closed it tells that alone."""
    put_settings(users=["ada"])
    record(event())

    def fail(database: Database) -> None:
        with database.transaction() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(close_day_module, "roll_up_usage", fail)
    with pytest.raises(StorageUnavailable):
        close("2026-02-01T12:00:00")
    (failed,) = rows(RUNS)
    assert (failed["period"], failed["ended"]) == ("2026-01-31", True)
    assert failed["error"]
    monkeypatch.undo()
    assert close("2026-02-01T13:00:00") == [date(2026, 1, 31)]
    assert rows(RUNS) == [{"period": "2026-01-31", "counts": {"batches": 1, "events": 1}, "error": None, "ended": True}]


def test_years_of_absence_are_bounded(close: Close) -> None:
    """As many days as usage may come late are closed, the latest ones; a clock that went back closes nothing."""
    close("2020-01-02T12:00:00")
    closed = close("2026-01-02T12:00:00")
    assert closed is not None
    assert (len(closed), closed[-1]) == (CATCH_UP_DAYS_MAX, date(2026, 1, 1))
    assert close("2025-06-01T12:00:00") is None
