"""Times of events: RFC 3339 with offset, truncated to microseconds, kept as UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events.model import parse_time
from tests.sample_events import event, rejection_of

OFFSETS = st.integers(-(23 * 60 + 59), 23 * 60 + 59)


def _offset_text(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)), OFFSETS, st.text("0123456789", max_size=12), st.sampled_from("Tt "))  # noqa: DTZ001
def test_a_time_is_the_same_moment_truncated_to_microseconds(local: datetime, offset: int, fraction: str, separator: str) -> None:
    """Any offset and any number of decimals give the moment in UTC, with what is below a microsecond cut off, not rounded."""
    local = local.replace(microsecond=0)
    text = f"{local.isoformat(separator)}{'.' + fraction if fraction else ''}{_offset_text(offset)}"
    expected = local + timedelta(microseconds=int(f"{fraction:0<6}"[:6])) - timedelta(minutes=offset)
    assert parse_time(text) == expected.replace(tzinfo=UTC)
    assert parse_time(text).tzinfo is UTC


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS.map(lambda m: timezone(timedelta(minutes=m)))))  # noqa: DTZ001
def test_what_python_writes_is_read_back(moment: datetime) -> None:
    """`datetime.isoformat()` of an aware time comes back as the same moment."""
    assert parse_time(moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00.9999999Z", "2026-01-31T12:00:00.999999+00:00"),
        ("2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.100000+00:00"),
        ("2026-02-01T00:30:00+14:00", "2026-01-31T10:30:00+00:00"),
        ("2026-01-31T23:30:00-12:00", "2026-02-01T11:30:00+00:00"),
        ("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
        ("0001-01-01T14:00:00+14:00", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_this_text_is_this_moment(text: str, expected: str) -> None:
    """Examples at the edges: the date line, leap days, the first and the last year."""
    assert parse_time(text).isoformat() == expected


_NO_TIMES = [
    *["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00,5Z", "20260131T120000Z"],
    *["2026-01-31T12:00:60Z", "2016-12-31T23:59:60Z", "2026-01-31T24:00:00Z", "2026-01-31T12:60:00Z", "2026-02-29T12:00:00Z", "2026-13-01T00:00:00Z"],
    *[
        "2026-00-10T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "294277-01-01T00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "26-01-31T12:00:00Z",
    ],
    *["2026-01-31T12:00:00+1400", "2026-01-31T12:00:00+14", "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+01:60", "2026-01-31T12:00:00+01:00:30"],
    *["2026-01-31T12:00:00 Z", " 2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z ", "2026-01-31T12:00:00Z\n", "2026-01-31T12:00:00UTC", "1769860800"],
    *["\uff12026-01-31T12:00:00Z", "2026-01-31T12:00:00.\u0661Z", "2026-01-31T12:00:00\u221201:00", "2026-W05-6T12:00:00Z", "2026-031T12:00:00Z"],
    *["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"],
]


@pytest.mark.parametrize("text", _NO_TIMES)
def test_what_is_no_rfc_3339_time_with_offset_is_refused(text: str) -> None:
    """No guessing: naive times, leap seconds, hour 24, other notations and times beyond the calendar are named refusals."""
    rejection = rejection_of(event(occurred_at=text))
    assert rejection.reason == "invalid_field"
    assert rejection.detail.startswith("occurred_at ")


@pytest.mark.parametrize("value", [1769860800, 1769860800123, True, None, [], {"now": 1}])
def test_a_time_that_is_no_string_is_refused(value: object) -> None:
    """Numbers are ambiguous (seconds or milliseconds), so they are no times."""
    assert rejection_of(event(occurred_at=value)).detail.startswith("occurred_at ")


@given(
    st.text(max_size=40)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})", fullmatch=True)
)
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Whatever the text, the answer is a time in UTC or a ValueError, never another exception."""
    try:
        moment = parse_time(text)
    except ValueError:
        return
    assert moment.tzinfo is UTC
