"""Periods: days, the months and years that they lie in, and when a day is over everywhere."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import PeriodType, days_of, last_ended_day


@given(st.dates())
def test_a_day_lies_in_one_month_and_one_year(day: date) -> None:
    """The periods of a day begin with a first, and hold the day."""
    assert PeriodType.DAY.start(day) == day
    assert PeriodType.MONTH.start(day) == date(day.year, day.month, 1) <= day
    assert PeriodType.YEAR.start(day) == date(day.year, 1, 1) <= day
    first, last = days_of(day.year, day.month)
    assert first <= day <= last
    assert {PeriodType.MONTH.start(end) for end in (first, last)} == {first}


@pytest.mark.parametrize(
    ("year", "month", "last"), [(2024, 2, "2024-02-29"), (2026, 2, "2026-02-28"), (2026, 12, "2026-12-31"), (2026, None, "2026-12-31")]
)
def test_a_year_and_a_month_have_their_days(year: int, month: int | None, last: str) -> None:
    """Leap days and the year's end included."""
    assert days_of(year, month) == (date(year, month or 1, 1), date.fromisoformat(last))


def test_the_last_year_of_the_calendar_has_an_end() -> None:
    """The year 9999 and its December are whole."""
    assert days_of(9999) == (date(9999, 1, 1), date.max)
    assert days_of(9999, 12) == (date(9999, 12, 1), date.max)


@pytest.mark.parametrize(("year", "month"), [(0, None), (10_000, None), (2026, 0), (2026, 13)])
def test_there_is_no_such_period(year: int, month: int | None) -> None:
    """What no calendar has is an error."""
    with pytest.raises(ValueError, match=r"year|month"):
        days_of(year, month)


@pytest.mark.parametrize(
    ("now", "ended"),
    [
        ("2026-01-01T11:59:59.999999+00:00", "2025-12-30"),  # it is still New Year's Eve in UTC-12
        ("2026-01-01T12:00:00+00:00", "2025-12-31"),
        ("2024-03-01T12:00:00+00:00", "2024-02-29"),
        ("2024-03-02T02:00:00+14:00", "2024-02-29"),
    ],
)
def test_a_day_is_over_once_it_is_over_everywhere(now: str, ended: str) -> None:
    """UTC-12 comes last: there a day ends at noon of the next in UTC."""
    assert last_ended_day(datetime.fromisoformat(now)) == date.fromisoformat(ended)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis adds the zone
def test_no_zone_is_still_in_an_ended_day(now: datetime) -> None:
    """In every offset from -12 to +14 hours the local date is later."""
    ended = last_ended_day(now)
    assert all((now + timedelta(hours=offset)).date() > ended for offset in range(-12, 15))
    assert (now - timedelta(hours=12)).date() == ended + timedelta(days=1)
