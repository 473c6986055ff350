"""The time zones that a mandate may have."""

from functools import lru_cache
from zoneinfo import available_timezones


def is_time_zone(name: str) -> bool:
    """Whether `name` is a zone of the IANA database, such as Europe/Zurich."""
    return name in _names()


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})  # a link that some systems make; PostgreSQL doesn't know it
