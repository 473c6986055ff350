"""A provider's usage object as it came: what it looks like, its values, and its canonical JSON.

Thousands of calls share what their objects look like, so a shape is kept once and each event has its values. Nothing is lost but the order
of keys, white space, and how a number was written: 18.0 and 18 are one value.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, cast

import msgspec

from core.json_exact import decode_json
from core.money import EXACT
from core.printable import shown
from core.rejection import Rejection

USAGE_BYTES_MAX = 8 * 1024
_DIGITS_MAX = 200
_PLACES_MAX = 40  # of a number that is written out; others keep their exponent
_SEPARATOR = "\n"  # between values: canonical JSON has none in a text
# A number as JSON has it, where one may stand; what only looks so, in a text, is found out when its template is first met.
_NUMBER = re.compile(r"\b((?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?)(?=[,}\] \n\r\t])", re.ASCII)
_EXPONENT = re.compile(r"[0-9][eE][+-]?[0-9]")
_TEMPLATES_KEPT, _TEMPLATE_LENGTH_MAX = 1024, 1024  # at most a few megabytes, whatever producers put into their objects
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class RawUsage(msgspec.Struct, frozen=True, gc=False):
    r"""The object's `shape`, canonical JSON with %s for each text and number (and %% for a percent sign), and their JSON, one in a line.

    `format(shape, VARIADIC string_to_array(values, E'\n'))` is `canonical` in SQL.
    """

    shape: str
    values: str
    canonical: str  # JSON without white space, keys in the order of their code points, numbers exact and written in one way

    def decoded(self) -> dict[str, Any]:
        """The object; numbers are int or Decimal."""
        body = self.canonical
        try:
            found: dict[str, Any] = _decode(body)
        except msgspec.MsgspecError:  # integers of more than 64 bits
            found = cast("dict[str, Any]", decode_json(body.encode()))
        return found


def raw_usage(value: dict[str, Any]) -> RawUsage:
    """The usage object that a decoded JSON object (numbers int or Decimal) is.

    Raises:
        ValueError: it is more than 8 KiB, or a number or text in it can't be kept.
    """
    found = _unbounded(value)
    if len(found.canonical.encode()) > USAGE_BYTES_MAX:
        raise ValueError(f"is more than {USAGE_BYTES_MAX} bytes of JSON")
    return found


def raw_usage_of(body: bytes) -> RawUsage | None:
    """The usage object that `body`, JSON without a backslash, is; None where `raw_usage` has to tell. Never raises."""
    if len(body) > USAGE_BYTES_MAX:
        return None
    parts = _NUMBER.split(body.decode())
    text = "\x00".join(parts[::2])
    known = _template(text) if len(text) <= _TEMPLATE_LENGTH_MAX else None
    if known is None:
        return None
    numbers = parts[1::2]
    if not "".join(numbers).isdigit():
        numbers = [number if number.isdigit() else _number(Decimal(number)) for number in numbers]
    picked = known.picked(numbers)
    values = _SEPARATOR.join(picked) if known.values is None else known.values % picked
    return RawUsage(known.shape, values, known.canonical % picked)


def raw_usage_as_kept(shape: str, values: str) -> RawUsage:
    """The usage object that has this shape and these values."""
    return RawUsage(shape, values, shape % tuple(values.split(_SEPARATOR)) if values else shape % ())


class _Template(NamedTuple):
    """What a usage object comes to whose text is a template's, whatever numbers stand in it: %s stands for each, as `picked` has them."""

    shape: str
    values: str | None  # None: the numbers are all that there is
    canonical: str
    picked: Any


def _pick(order: list[int]) -> Any:
    if not order:
        return lambda _: ()
    if len(order) == 1:
        return lambda numbers: (numbers[order[0]],)
    return itemgetter(*order)


@lru_cache(maxsize=_TEMPLATES_KEPT)
def _template(text: str) -> _Template | None:
    """What a template, a text with NUL for each number, comes to; None if one of them is no number but part of a text, or a key is given twice.

    It is read with numbers that occur nowhere else: what is found of them, and where, holds for all others.
    """
    first, *rest = text.split("\x00")
    base = 7 * 10**38  # of 39 digits, which no object has by chance
    marks = [str(base + n) for n in range(len(rest))]
    body = first + "".join(mark + part for mark, part in zip(marks, rest, strict=True))
    if str(base)[:20] in text or _EXPONENT.search(text):  # the size of what is written with an exponent is for `raw_usage` to judge
        return None
    try:
        whole = decode_json(f'{{"usage":{body}}}'.encode())  # as deep as it stands in its event
        value = whole["usage"] if isinstance(whole, dict) else None
        if not isinstance(value, dict):
            return None
        found = _unbounded(value)
    except (Rejection, ValueError):
        return None
    texts = found.values.split(_SEPARATOR) if found.values else []
    places = {mark: at for at, mark in enumerate(marks)}
    order = [places[one] for one in texts if one in places]
    if sorted(order) != list(range(len(marks))):
        return None
    escaped = ["%s" if one in places else one.replace("%", "%%") for one in texts]
    values = None if len(order) == len(texts) else _SEPARATOR.join(escaped)
    return _Template(found.shape, values, _with_marks(found.shape, escaped), _pick(order))


def _with_marks(shape: str, texts: list[str]) -> str:
    """The canonical JSON with `texts` for its values; a percent sign stays doubled, since the numbers are still to be put in."""
    return shape.replace("%%", "%%%%") % tuple(texts)


def _unbounded(value: dict[str, Any]) -> RawUsage:
    """As `raw_usage`, however large."""
    shape: list[str] = []
    values = list(_walked(value, shape))
    return raw_usage_as_kept("".join(shape), _SEPARATOR.join(values))


def _walked(value: object, shape: list[str]) -> Iterator[str]:
    """Each text and number of the value as JSON; what it looks like goes into `shape`."""
    if isinstance(value, dict):
        yield from _walked_object(value, shape)
    elif isinstance(value, list):
        shape.append("[")
        for at, item in enumerate(value):
            if at:
                shape.append(",")
            yield from _walked(item, shape)
        shape.append("]")
    elif value is None or isinstance(value, bool):
        shape.append("null" if value is None else "true" if value else "false")
    else:
        shape.append("%s")
        yield _text(value) if isinstance(value, str) else _number(value)


def _walked_object(value: dict[str, Any], shape: list[str]) -> Iterator[str]:
    shape.append("{")
    for at, key in enumerate(sorted(value)):
        shape.append(f"{',' if at else ''}{_text(key).replace('%', '%%')}:")
        yield from _walked(value[key], shape)
    shape.append("}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"has half a surrogate pair in {shown(value)}") from None
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: object) -> str:
    if isinstance(value, int):
        text = str(value)
        if len(text) > _DIGITS_MAX:
            raise ValueError(f"has a number of more than {_DIGITS_MAX} digits")
        return text if len(text) <= _PLACES_MAX else _number(Decimal(value))  # as any other number of its value
    assert isinstance(value, Decimal)
    if not value.is_finite() or len(value.as_tuple().digits) > _DIGITS_MAX:
        raise ValueError(f"has a number that is not finite, or of more than {_DIGITS_MAX} digits")
    plain = EXACT.normalize(value)
    if not plain:
        return "0"
    return format(plain, "f") if -_PLACES_MAX <= plain.adjusted() <= _PLACES_MAX else str(plain)
