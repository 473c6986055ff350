"""The time zones that a mandate may have, and their offsets from UTC."""

import re
from datetime import timedelta
from functools import lru_cache
from zoneinfo import available_timezones

_OFFSET = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")
_CHANGE_MAX = timedelta(hours=3)  # by more the rules of a zone hardly ever change


def is_time_zone(name: str) -> bool:
    """Whether `name` is a zone of the IANA database, such as Europe/Zurich."""
    return name in _names()


def parse_offset(text: str) -> int:
    """An offset from UTC such as +01:00, in seconds.

    Raises:
        ValueError: it is anything else, or more than 16 hours.
    """
    matched = _OFFSET.fullmatch(text)
    seconds = int(matched[2]) * 3600 + int(matched[3]) * 60 if matched else None
    if matched is None or seconds is None or seconds > 16 * 3600:
        raise ValueError("is not an offset from UTC such as +01:00")
    return -seconds if matched[1] == "-" else seconds


def show_offset(offset: timedelta) -> str:
    """The offset as `parse_offset` reads it."""
    minutes = round(abs(offset) / timedelta(minutes=1))
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"


def likely_offset(present: timedelta, at_least: timedelta, less_than: timedelta) -> timedelta | None:
    """Of the offsets in these bounds the one that a zone most likely had: whole hours first, then halves and quarters, near today's."""
    for minutes in (60, 30, 15):
        step = timedelta(minutes=minutes)
        near = [n * step for n in range(-16 * 60 // minutes, 16 * 60 // minutes + 1) if at_least <= n * step < less_than]
        near = [offset for offset in near if abs(offset - present) <= _CHANGE_MAX]
        if near:
            return min(near, key=lambda offset: abs(offset - present))
    return None


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})  # a link that some systems make; PostgreSQL doesn't know it
