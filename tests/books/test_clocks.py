"""Clocks that are wrong and time zones that two programs see differently: what the books hold follows the database alone."""

import inspect
import shutil
import subprocess
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from core import time_zones
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database, transaction_time
from core.errors import RequestRefused
from core.events.outcome import Outcome
from core.housekeeping.housekeep import housekeep
from core.movements.update_settings import update_settings
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings
from core.settings.create import create_settings
from core.statistics.close_day import close_day
from core.statistics.read_progress import rollup_status
from core.statistics.rebuild import rebuild_statistics
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

SKEWS = [timedelta(hours=-1), timedelta(minutes=-10), timedelta(minutes=10), timedelta(days=1)]
DAYS = "SELECT DISTINCT local_date AS day FROM transactions WHERE reference_type = 'WORKFLOW'"
LOCAL_TIME = "import sys, zoneinfo, datetime as d; print(d.datetime(2026, 1, 31, 11, tzinfo=d.UTC).astimezone(zoneinfo.ZoneInfo(sys.argv[1])))"


def at(skew: timedelta) -> Callable[[], datetime]:
    """The clock of a machine that is off by so much."""
    return lambda: datetime.now(UTC) + skew


@pytest.mark.parametrize("skew", SKEWS, ids=str)
def test_the_order_of_the_books_is_the_databases(skew: timedelta, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """Of two workers one has a wrong clock: ids, `recorded_at` and times of commit rise in the order in which they recorded."""
    put_settings(users=["ada"])
    for n in range(6):
        result = record(event(occurred_at=(datetime.now(UTC) - timedelta(hours=3)).isoformat()), clock=at(skew if n % 2 else timedelta(0)))
        assert result.outcomes == [Outcome.RECORDED]
    (off,) = rows("""
        SELECT count(*)::int AS n FROM (
            SELECT t.id - lag(t.id) OVER w AS ids, t.recorded_at - lag(t.recorded_at) OVER w AS times,
                   b.committed_at - lag(b.committed_at) OVER w AS commits
              FROM transactions t JOIN batches b ON b.id = t.batch_id WHERE t.reference_type = 'WORKFLOW' WINDOW w AS (ORDER BY b.id)) AS steps
         WHERE ids <= 0 OR times <= interval '0' OR commits <= interval '0'
    """)
    assert off == {"n": 0}
    assert rows("SELECT FROM transactions WHERE abs(extract(epoch FROM recorded_at - now())) > 300") == []
    assert breaches() == {}


@pytest.mark.parametrize("skew", SKEWS, ids=str)
def test_limits_do_not_know_what_time_it_is(
    skew: timedelta, record: Record, rows: Rows, put_settings: PutSettings, put_account: PutAccount, breaches: Breaches
) -> None:
    """A credit limit is crossed by the same event, once, whatever the worker's clock says."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_account(credit_limit=Decimal(1))
    for price in ("0.5", "0.45", "0.05", "0.000000001", "1"):
        record(event(price_chf=price, occurred_at=(datetime.now(UTC) - timedelta(hours=3)).isoformat()), clock=at(skew))
    crossed = rows("SELECT kind, balance_after FROM balance_alerts ORDER BY id")
    assert [(row["kind"], row["balance_after"]) for row in crossed] == [("WARNING", Decimal("-0.95")), ("CREDIT_LIMIT", Decimal("-1.000000001"))]
    assert breaches() == {}


def test_what_was_of_the_future_is_recorded_once_its_time_has_come(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """An event that came ten minutes before its time is a dead letter then, and recorded when it comes again."""
    put_settings(users=["ada"])
    present = event(occurred_at=datetime.now(UTC).isoformat())
    assert record(present, clock=at(timedelta(minutes=-10))).reasons == {"future": 1}
    assert record(present).outcomes == [Outcome.RECORDED]
    assert rows("SELECT reason, attempts FROM dead_letters") == [{"reason": "future", "attempts": 1}]


def test_a_fast_worker_closes_no_day_that_has_not_ended(database: Database, record: Record, put_settings: PutSettings) -> None:
    """Days are closed by the database's clock: the newest one has ended there in the last of all time zones."""
    put_settings(users=["ada"])
    record(event())
    with database.transaction() as connection:
        now = transaction_time(connection)
    assert inspect.signature(close_day).parameters["clock"].default is transaction_time  # no worker's own
    closed = close_day(database, worker="a day ahead")
    assert closed == [(now.astimezone(UTC) - timedelta(hours=12)).date() - timedelta(days=1)]
    assert rollup_status(database, ROOT).closed_until == closed[0]


@pytest.mark.parametrize("skew", SKEWS, ids=str)
def test_a_job_of_a_wrong_clock_keeps_no_other_from_being_done(
    skew: timedelta, database: Database, config: Configuration, rows: Rows, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """It takes the period that its clock shows; the next worker with a right clock does the present one, and what came in between."""
    put_mandate("first", users=["ada"])
    now = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    jobs = (backfill_settings, backfill_accounts)
    for job in jobs:
        assert job(database, config=config, worker="off", clock=lambda: now + skew) is not None
    put_mandate("second", users=["ada"])
    hour = timedelta(hours=1)  # ten minutes may lie in the same hour, whose work is done; then the next hour does it
    for job in jobs:
        job(database, config=config, worker="right", clock=lambda: now)
        job(database, config=config, worker="right", clock=lambda: now + hour)
    assert [row["mandate_id"] for row in rows("SELECT mandate_id FROM accounts ORDER BY id")] == ["first", "second"]
    assert len(rows("SELECT FROM transactions WHERE reference_type = 'SYSTEM'")) == 2
    assert breaches() == {}


def test_days_without_beat_over_a_months_end_are_made_up(
    database: Database, config: Configuration, record: Record, rows: Rows, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """Three days without any job, over the end of a month and of a year at both ends of the date line: one run of each makes up for all."""
    put_mandate("east", users=["ada", "bob"], time_zone="Pacific/Kiritimati")
    put_mandate("west", users=["ada", "bob"], time_zone="Etc/GMT+12")
    moment = datetime(2025, 12, 30, 1, tzinfo=UTC)
    close_day(database, worker="test", clock=lambda _: moment)
    for hours in range(0, 72, 6):
        batch = [event(mandate_id=mandate, occurred_at=(moment + timedelta(hours=hours)).isoformat()) for mandate in ("east", "west")]
        record(*batch, clock=lambda: moment + timedelta(days=3))
    after = moment + timedelta(days=3, hours=12)
    for job in (backfill_settings, backfill_accounts, housekeep):
        assert job(database, config=config, worker="test", clock=lambda: after) is not None
        assert job(database, config=config, worker="test", clock=lambda: after) is None
    assert close_day(database, worker="test", clock=lambda _: after) == [date(2025, 12, 29) + timedelta(days=n) for n in range(4)]
    sums = rows("""
        SELECT mandate_id, period_type, sum(event_count)::int AS n, count(DISTINCT period_start)::int AS periods
          FROM usage_statistics GROUP BY 1, 2 ORDER BY 1, 2
    """)
    assert [(row["mandate_id"], row["period_type"], row["n"], row["periods"]) for row in sums] == [
        *(("east", "DAY", 12, 4), ("east", "MONTH", 12, 2), ("east", "YEAR", 12, 2)),
        *(("west", "DAY", 12, 4), ("west", "MONTH", 12, 2), ("west", "YEAR", 12, 2)),
    ]
    assert len(rows("SELECT FROM accounts")) == len(rows("SELECT FROM transactions WHERE reference_type = 'SYSTEM'")) == 4
    assert breaches() == {}


@pytest.fixture
def other_zones(tmp_path: Path) -> Iterator[Path]:
    """A time zone database where Python looks, and PostgreSQL doesn't: Europe/Zurich has the clocks of Kiritimati, and so has Europe/Nowhere."""
    (tmp_path / "Europe").mkdir()
    path = next(Path(folder) / "Pacific/Kiritimati" for folder in zoneinfo.TZPATH if (Path(folder) / "Pacific/Kiritimati").exists())
    shutil.copy(path, tmp_path / "Europe/Zurich")
    shutil.copy(path, tmp_path / "Europe/Nowhere")
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    time_zones._names.cache_clear()
    yield tmp_path
    zoneinfo.reset_tzpath(to=before)
    zoneinfo.ZoneInfo.clear_cache()
    time_zones._names.cache_clear()


def test_local_days_are_the_databases_whatever_python_knows_of_zones(
    other_zones: Path, database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """The day is taken once, by PostgreSQL: rollup, rebuild and `verify` hold to it, whatever Python's own zones say."""
    told = subprocess.run(
        [sys.executable, "-c", LOCAL_TIME, "Europe/Zurich"],
        env={"PYTHONTZPATH": str(other_zones)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("2026-02-01 01:00")
    put_settings(users=["ada"], time_zone="Europe/Zurich")
    moment = datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert moment.astimezone(zoneinfo.ZoneInfo("Europe/Zurich")).date() == date(2026, 2, 1)
    record(event(occurred_at=moment.isoformat()), clock=lambda: moment)
    roll_up_usage(database)
    assert rebuild_statistics(database, ROOT).rows_written == 0
    assert rows(DAYS) == [{"day": date(2026, 1, 31)}]
    found = rows("SELECT period_type, period_start FROM usage_statistics ORDER BY 1")
    assert [(row["period_type"], row["period_start"].isoformat()) for row in found] == [
        *(("DAY", "2026-01-31"), ("MONTH", "2026-01-01"), ("YEAR", "2026-01-01"))
    ]
    assert breaches() == {}


@pytest.mark.usefixtures("other_zones")
def test_a_zone_that_the_database_does_not_know_is_refused(
    database: Database, config: Configuration, record: Record, rows: Rows, put_mandate: PutMandate
) -> None:
    """Settings can't name a zone that Python alone knows, new ones as little as old ones, so usage goes on being recorded."""
    put_mandate("acme", users=["ada"])
    put_mandate("other", users=["ada"])
    assert record(event()).outcomes == [Outcome.RECORDED]
    nowhere = {"time_zone": "Europe/Nowhere"}
    with pytest.raises(RequestRefused, match="time_zone: 'Europe/Nowhere' is not a time zone that the database knows"):
        update_settings(database, ROOT, "acme", nowhere, changed_by="test", config=config)
    with pytest.raises(RequestRefused, match="time_zone: 'Europe/Nowhere' is not a time zone that the database knows"):
        create_settings(database, ROOT, "other", nowhere, created_by="test", config=config)
    assert rows("SELECT mandate_id, version, time_zone FROM billing_settings") == [{"mandate_id": "acme", "version": 1, "time_zone": "UTC"}]
    assert record(event()).outcomes == [Outcome.RECORDED]


@pytest.mark.usefixtures("other_zones")
def test_a_zone_of_the_directory_that_the_database_does_not_know_stops_nothing(
    database: Database, config: Configuration, record: Record, rows: Rows, put_mandate: PutMandate
) -> None:
    """Settings opened by usage and by the backfill take the default zone in its place, and usage is recorded."""
    config = config.model_copy(update={"default_time_zone": "Asia/Kolkata"})
    put_mandate("acme", users=["ada"], time_zone="Europe/Nowhere")
    assert record(event(), config=config).outcomes == [Outcome.RECORDED]
    put_mandate("other", users=["ada"], time_zone="Europe/Nowhere")
    put_mandate("third", users=["ada"], time_zone="Europe/Zurich")
    backfill_settings(database, config=config, worker="test")
    assert record(event(mandate_id="other"), config=config).outcomes == [Outcome.RECORDED]
    assert rows("SELECT mandate_id, time_zone FROM billing_settings ORDER BY 1") == [
        {"mandate_id": "acme", "time_zone": "Asia/Kolkata"},
        {"mandate_id": "other", "time_zone": "Asia/Kolkata"},
        {"mandate_id": "third", "time_zone": "Europe/Zurich"},
    ]
