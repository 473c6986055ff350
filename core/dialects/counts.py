"""Takes counts off a usage object: each key is looked at once, nothing is clamped, and what isn't known is named.

A count is a whole number from 0 to 2^53 - 1; JSON's `18.0` is 18. null is as if the key weren't there.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from core.dialects.model import NotRead, NotReadReason
from core.printable import shown

COUNT_MAX = 2**53 - 1
WORD_CHARACTERS_MAX = 128
_KEY_CHARACTERS_MAX = 64
_DIGITS_SHOWN_MAX = 40

Name = TypeVar("Name")


def take(
    of: Mapping[str, Any],
    names: Mapping[str, Name],
    beside: Collection[str],
    path: str,
    unmapped: list[str],
) -> dict[Name, int]:
    """The counts of an object by their names; two keys of one name must agree.

    Keys in `beside` are the caller's; of every other key the positive numbers are added to `unmapped`. `path` is what
    stands before a key: empty, or the object's own path and a full stop.

    Raises:
        NotRead: a named key holds no count.
    """
    found: dict[Name, int] = {}
    for key, value in of.items():
        name = names.get(key)
        if name is None:
            if key not in beside:
                unmapped.extend(positive(value, path + plain(key)))
            continue
        if type(value) is not int or not 0 <= value <= COUNT_MAX:
            if value is None:
                continue
            value = count(value, path + key)  # noqa: PLW2901 - the same count, as an int
        if found.setdefault(name, value) != value:
            raise contradiction(f"{path}{key}", value, f"is told as {found[name]}, too")
    return found


def count(value: object, path: str) -> int:
    """The count that a value stands for.

    Raises:
        NotRead: it stands for none.
    """
    if type(value) is int:
        if 0 <= value <= COUNT_MAX:
            return value
    elif isinstance(value, Decimal) and value.is_finite() and 0 <= value <= COUNT_MAX and value == int(value):
        return int(value)
    raise contradiction(path, value, "is no count")


def given(of: Mapping[str, Any], key: str, path: str) -> int:
    """The count at a key, 0 where there is none.

    Raises:
        NotRead: it holds something else.
    """
    value = of.get(key)
    return 0 if value is None else count(value, path + key)


def inner(of: Mapping[str, Any], key: str, path: str = "") -> Mapping[str, Any]:
    """The object at a key, an empty one where there is none.

    Raises:
        NotRead: it holds something else.
    """
    value = of.get(key)
    if value is None:
        return {}
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise contradiction(path + key, value, "is no object")


def entries(of: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of the list at a key; none where there is no list.

    Raises:
        NotRead: it holds something else.
    """
    value = of.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise contradiction(key, value, "is no list")
    for number, entry in enumerate(value):
        if type(entry) is not dict and not isinstance(entry, Mapping):
            raise contradiction(f"{key}[{number}]", entry, "is no object")
    return value


def word(of: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """The text at a key, None where there is none or an empty one.

    Raises:
        NotRead: it holds something else, such as a long text.
    """
    value = of.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= WORD_CHARACTERS_MAX and value.isprintable():
        return value
    raise contradiction(path + key, value, f"is no printable text of at most {WORD_CHARACTERS_MAX} characters")


def positive(value: object, path: str) -> list[str]:
    """The paths of the numbers above 0, or not finite, in a value of any depth."""
    if not value or type(value) is str:
        return []
    found: list[str] = []
    waiting = [(path, value)]
    while waiting:
        where, one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += [(f"{where}.{plain(key)}", held) for key, held in reversed(list(one.items()))]
        elif isinstance(one, list | tuple):
            waiting += [(f"{where}[{number}]", one[number]) for number in reversed(range(len(one)))]
        elif _is_positive(one):
            found.append(where)
    return found


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        return False
    return (isinstance(value, Decimal) and not value.is_finite()) or not value <= 0


def rest(whole: int | None, parts: int, path: str) -> int | None:
    """What of a whole isn't in its parts; None where the whole isn't told.

    Raises:
        NotRead: the parts are more than the whole.
    """
    if whole is None:
        if parts:
            raise contradiction(path, None, f"is absent, but its parts are {parts}")
        return None
    if parts > whole:
        raise contradiction(path, whole, f"is less than its parts, {parts}")
    return whole - parts


def agree(told: int | None, parts: int, path: str) -> None:
    """Holds if a sum is what its parts come to, or isn't told.

    Raises:
        NotRead: it is another one.
    """
    if told is not None and told != parts:
        raise contradiction(path, told, f"is not the sum of its parts, {parts}")


def contradiction(path: str, value: object, what: str) -> NotRead:
    """The error that names a path, its value, and what is wrong with it."""
    return NotRead(NotReadReason.USAGE_CONTRADICTION, f"{path} {_said(value)} {what}")


def _said(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 4 * _DIGITS_SHOWN_MAX:
        return f"(an integer of {value.bit_length()} bits)"
    if isinstance(value, Decimal):
        return shown(str(value), _DIGITS_SHOWN_MAX)[1:-1]
    if isinstance(value, Mapping):
        return "(an object)"
    return "(a list)" if isinstance(value, list | tuple) else shown(value, _DIGITS_SHOWN_MAX)


def plain(key: object) -> str:
    """A key as it stands, or as one line of ASCII if it is odd."""
    is_plain = isinstance(key, str) and 0 < len(key) <= _KEY_CHARACTERS_MAX and key.isascii() and key.isprintable()
    return str(key) if is_plain else shown(key, _KEY_CHARACTERS_MAX)
