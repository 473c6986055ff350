"""The local day of a transaction: taken at recording, in the mandate's zone, and never again."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.events.outcome import Outcome
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

USAGE = "SELECT event_id, local_date, occurred_at FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY id"
MIDNIGHTS = [
    ("UTC", "2026-01-01T00:00:00+00:00"),
    ("Europe/Zurich", "2026-03-29T00:00:00+01:00"),  # 23 hours
    ("Europe/Zurich", "2026-03-30T00:00:00+02:00"),
    ("Europe/Zurich", "2026-10-25T00:00:00+02:00"),  # 25 hours
    ("Europe/Zurich", "2026-10-26T00:00:00+01:00"),
    ("Pacific/Kiritimati", "2026-01-01T00:00:00+14:00"),
    ("Etc/GMT+12", "2026-01-01T00:00:00-12:00"),
    ("Asia/Kolkata", "2026-05-01T00:00:00+05:30"),
    ("Asia/Kathmandu", "2026-05-01T00:00:00+05:45"),
    ("Australia/Lord_Howe", "2026-04-05T00:00:00+11:00"),  # goes back by half an hour
    ("America/Santiago", "2025-09-07T01:00:00-03:00"),  # a day that begins at one o'clock
    ("Africa/Cairo", "2026-04-24T01:00:00+03:00"),
    ("UTC", "2024-02-29T00:00:00+00:00"),
    ("UTC", "2024-03-01T00:00:00+00:00"),
]


@pytest.mark.parametrize(("zone", "midnight"), MIDNIGHTS)
def test_a_day_begins_at_the_mandates_own_midnight(zone: str, midnight: str, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A microsecond before, it is still yesterday: at changes of the clock, at the date line, in half-hour zones, on leap days."""
    put_settings(users=["ada"], time_zone=zone)
    start = datetime.fromisoformat(midnight)
    moments = [start - timedelta(microseconds=1), start, start + timedelta(hours=22, minutes=59)]
    result = record(*[event(occurred_at=moment.isoformat()) for moment in moments], clock=lambda: start + timedelta(days=1))
    assert set(result.outcomes) == {Outcome.RECORDED}
    assert [row["local_date"] for row in rows(USAGE)] == [start.date() - timedelta(days=1), start.date(), start.date()]


def test_every_hour_of_a_year_is_in_one_local_day(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The database's days are the calendar's, for every hour of a year in zones with and without changes of the clock."""
    zones = ["Europe/Zurich", "America/Santiago", "Asia/Beirut", "Pacific/Apia"]
    start = datetime.fromisoformat("2025-11-01T00:30:00+00:00")
    for zone in zones:
        put_settings(zone, users=["ada"], time_zone=zone)
        batch = [event(mandate_id=zone, occurred_at=(start + timedelta(hours=hour)).isoformat()) for hour in range(0, 365 * 24, 3)]
        record(*batch, clock=lambda: start + timedelta(days=366))
    found = rows("SELECT mandate_id, occurred_at, local_date FROM transactions WHERE reference_type = 'WORKFLOW'")
    assert len(found) == len(zones) * 365 * 8
    assert all(row["local_date"] == row["occurred_at"].astimezone(ZoneInfo(row["mandate_id"])).date() for row in found)


def test_the_offset_that_the_producer_wrote_does_not_matter(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The same moment is the same local day, however it was written."""
    put_settings(users=["ada"], time_zone="Europe/Zurich")
    spelled = ["2026-02-01T00:30:00+01:00", "2026-01-31T23:30:00Z", "2026-02-01T13:30:00+14:00", "2026-01-31T11:30:00-12:00"]
    record(*[event(occurred_at=text) for text in spelled], clock=lambda: datetime.fromisoformat("2026-02-02T00:00:00Z"))
    assert {row["local_date"] for row in rows(USAGE)} == {date(2026, 2, 1)}


def test_a_changed_zone_moves_no_day_that_was_recorded(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The stored day stays; later usage has the new zone's."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    moment = "2026-02-01T11:00:00Z"
    record(event(occurred_at=moment), clock=lambda: datetime.fromisoformat("2026-02-02T00:00:00Z"))
    rows("UPDATE billing_settings SET time_zone = 'Etc/GMT+12', version = 2")
    record(event(occurred_at=moment), clock=lambda: datetime.fromisoformat("2026-02-02T00:00:00Z"))
    assert [row["local_date"] for row in rows(USAGE)] == [date(2026, 2, 2), date(2026, 1, 31)]


def test_a_grant_has_the_local_day_of_its_making(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Today in the mandate's zone, by the database's clock."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    record(event())
    (grant,) = rows(
        "SELECT local_date, (recorded_at AT TIME ZONE 'Pacific/Kiritimati')::date AS today FROM transactions WHERE reference_type = 'SYSTEM'"
    )
    assert grant["local_date"] == grant["today"]


def test_the_sessions_zone_does_not_matter(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A database whose default zone is another gives the same days."""
    (name,) = rows("SELECT current_database() AS name")
    rows(f"ALTER DATABASE {name['name']} SET timezone = 'Asia/Tokyo'")
    put_settings(users=["ada"])
    record(event(occurred_at="2026-02-01T23:30:00Z"), clock=lambda: datetime.fromisoformat("2026-02-02T00:00:00Z"))
    assert [row["local_date"] for row in rows(USAGE)] == [date(2026, 2, 1)]
