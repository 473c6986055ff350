"""JSON as it was written: decimals never pass a float, and a key given twice is seen.

msgspec is exact but keeps only the last of two equal keys. Without a backslash in the text every quotation mark delimits
a key or a string, so their number tells whether a key was lost; only where it does not add up is the standard library's
decoder asked, which sees everything and is slower.
"""

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from core.printable import shown
from core.rejection import Reason, Rejection

DEPTH_MAX = 32
_INTEGER_DIGITS_MAX = 4000  # below the interpreter's own limit for int()


def decode_json(body: bytes) -> object:
    """The value that `body` (UTF-8 JSON) stands for; numbers with a fraction or an exponent are `Decimal`.

    Raises:
        Rejection: `malformed_json`, `duplicate_key`, or `too_deep` beyond 32 levels.
    """
    try:
        value: object = _FAST.decode(body)
        if b"\\" in body or _quotation_marks(value) != body.count(b'"'):
            value = _EXACT.decode(body.decode())
    except RecursionError:
        raise Rejection(Reason.TOO_DEEP, f"JSON is nested deeper than {DEPTH_MAX} levels") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = _decode_refused(body)
    if _depth_exceeds(value, DEPTH_MAX):
        raise Rejection(Reason.TOO_DEEP, f"JSON is nested deeper than {DEPTH_MAX} levels")
    return value


def _decode_refused(body: bytes) -> object:
    """What the fast decoder refused: the exact one either takes it (integers of thousands of digits) or tells why not."""
    try:
        return _EXACT.decode(body.decode())
    except RecursionError:
        raise Rejection(Reason.TOO_DEEP, f"JSON is nested deeper than {DEPTH_MAX} levels") from None
    except UnicodeDecodeError as error:
        raise Rejection(Reason.MALFORMED_JSON, f"is not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Rejection(Reason.MALFORMED_JSON, f"{error.msg} at character {error.pos}") from None


def _quotation_marks(value: object) -> int:
    if isinstance(value, str):
        return 2
    if isinstance(value, dict):
        return 2 * len(value) + sum(map(_quotation_marks, value.values()))
    if isinstance(value, list):
        return sum(map(_quotation_marks, value))
    return 0


def _depth_exceeds(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_depth_exceeds(v, levels - 1) for v in value.values() if isinstance(v, dict | list))
    if isinstance(value, list):
        return levels == 0 or any(_depth_exceeds(v, levels - 1) for v in value if isinstance(v, dict | list))
    return False


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits: whatever it was meant to be, it is no amount
        return Decimal("NaN")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _INTEGER_DIGITS_MAX else Decimal(text)


def repetition(pairs: Sequence[tuple[str, object]]) -> str | None:
    """Which key of an object is given twice, in words."""
    if len(dict(pairs)) == len(pairs):
        return None
    return f"key {shown(Counter(name for name, _ in pairs).most_common(1)[0][0])} is given twice"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if twice := repetition(pairs):
        raise Rejection(Reason.DUPLICATE_KEY, twice)
    return dict(pairs)


def _refuse_constant(text: str) -> object:
    raise Rejection(Reason.MALFORMED_JSON, f"{text} is not JSON")


_FAST = msgspec.json.Decoder(float_hook=_decimal)
_EXACT = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_refuse_constant,
)
