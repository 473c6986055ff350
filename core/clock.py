"""The clock, where nobody hands another one down."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
