"""A provider's usage object as JSON can have it, and how large it is to the worker."""

import json
from collections.abc import Mapping
from decimal import Context, Decimal
from enum import Enum

_DIGITS_MAX = 200
_PLACES_MAX = 40  # of a number that the worker writes out; others keep their exponent
_EXACT = Context(prec=_DIGITS_MAX + 10)
_GROWTH_MAX = 9  # of JSON to the worker's: 1e-40 becomes 42 characters


def written(value: object, levels: int) -> object:
    """The value with numbers, texts, lists and dictionaries alone, which the standard library writes as JSON exactly.

    Args:
        value: what was given.
        levels: how deep it may be nested.

    Raises:
        ValueError: it can't be written, or is nested deeper; the message says which.
    """
    if value is None or isinstance(value, (str, bool)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, (int, float)):
        if isinstance(value, int) and abs(value) >= 10**_DIGITS_MAX:
            raise ValueError(f"has a number of more than {_DIGITS_MAX} digits")
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Decimal):
        return _number(value)
    if not isinstance(value, (Mapping, list, tuple)):
        raise ValueError(f"has a {type(value).__name__} in it, which JSON has not")  # noqa: TRY004 - the caller collects ValueError
    if levels == 0:
        raise ValueError("is nested too deep")
    if not isinstance(value, Mapping):
        return [written(part, levels - 1) for part in value]
    if not all(isinstance(key, str) for key in value):
        raise ValueError("has a key that is no text")
    return {key: written(part, levels - 1) for key, part in value.items()}


def is_larger(usage: Mapping[str, object], body: bytes, bytes_max: int) -> bool:
    """Whether it has more bytes than that as the worker keeps it, in canonical JSON.

    Args:
        usage: what `written` returned.
        body: the same as JSON.
        bytes_max: how many it may have.
    """
    return len(body) * _GROWTH_MAX > bytes_max and _size(usage) > bytes_max


def _size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(1, sum(_size(key) + 2 + _size(part) for key, part in value.items()))
    if isinstance(value, list):
        return 1 + max(1, sum(1 + _size(part) for part in value))
    if isinstance(value, str):
        return len(json.dumps(value, ensure_ascii=False).encode()) + 5 * value.count("\x7f")  # which it writes as \u007f
    if value is None or isinstance(value, bool):
        return 5 if value is False else 4
    return len(_canonical_number(Decimal(repr(value))))


def _canonical_number(value: Decimal) -> str:
    plain = _EXACT.normalize(value)
    if not plain:
        return "0"
    return format(plain, "f") if -_PLACES_MAX <= plain.adjusted() <= _PLACES_MAX else str(plain)


def _number(value: Decimal) -> int | float:
    if value.is_finite() and value.adjusted() < _DIGITS_MAX:
        if value == value.to_integral_value(context=_EXACT):
            return int(value)
        if Decimal(repr(float(value))) == value:
            return float(value)
    raise ValueError("has a Decimal that can't be written exactly")
