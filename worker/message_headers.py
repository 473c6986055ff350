"""What a message's headers may say, before Celery believes them: its log lines, its events and Flower's metrics are made of them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery.utils.time import maybe_iso8601, maybe_make_aware

from core.printable import printable, shown

ID_CHARACTERS_MAX = 128
_CHARACTERS_MAX = {"argsrepr": 1024, "kwargsrepr": 1024, "origin": 255, "lang": 32}  # what only people read, and only its beginning


def is_id(value: object) -> bool:
    """Whether this can name a task or a message: text of 1 to 128 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= ID_CHARACTERS_MAX and value.isprintable()


def _is_moment(value: object) -> bool:
    """Whether Celery can read this as a time, and compare it with now."""
    try:
        moment = maybe_iso8601(value) if isinstance(value, str) else None
        return moment is not None and isinstance(maybe_make_aware(moment) > datetime.now(UTC), bool)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_limits(value: object) -> bool:
    """Whether these are a hard and a soft limit, in seconds."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(limit is None or _is_count(limit) for limit in value)


_ID = (is_id, f"a text of 1 to {ID_CHARACTERS_MAX} printable characters")
_MOMENT = (_is_moment, "a time as ISO 8601 has it")
_FORMS: dict[str, tuple[Callable[[object], bool], str]] = {
    "task": _ID,
    "id": _ID,
    "root_id": _ID,
    "parent_id": _ID,
    "group": _ID,
    "shadow": _ID,
    "expires": _MOMENT,
    "eta": _MOMENT,
    "retries": (_is_count, "a whole number from 0"),
    "timelimit": (_is_limits, "two limits in seconds"),
}


def sound_headers(headers: Mapping[str, Any], *, lenient: bool = False) -> dict[str, Any]:
    """The headers, with what only people read made short and printable. `null` is as good as left out.

    Args:
        headers: those of a message, or in Celery's old protocol its body.
        lenient: leave out what has a wrong form, instead of refusing the message: what happened is recorded all the same.

    Raises:
        ValueError: a header has a wrong form; the text names it and the value.
    """
    sound: dict[str, Any] = {}
    for name, value in headers.items():
        if name in _CHARACTERS_MAX:
            if isinstance(value, str):
                sound[name] = printable(value[: _CHARACTERS_MAX[name]])
            continue
        is_sound, form = _FORMS.get(name, (None, ""))
        if is_sound is None or value is None or is_sound(value):
            sound[name] = value
        elif not lenient:
            raise ValueError(f"{name}: {shown(value)} is not {form}")
    return sound
