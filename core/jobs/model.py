"""The names of the periods in which scheduled jobs are done once."""

from datetime import UTC, datetime


def period_at(now: datetime, seconds: int) -> str:
    """The period of so many seconds (UTC, counted from midnight) in which `now` lies, by its beginning to the minute."""
    began = int(now.timestamp()) // seconds * seconds
    return f"{datetime.fromtimestamp(began, UTC):%Y-%m-%dT%H:%M}"


def moment_at(now: datetime) -> str:
    """A period of its own for what is done when it is asked for, by `now` in UTC to the microsecond."""
    return f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
