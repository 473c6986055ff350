"""A strict reader of usage events by the letter of the contract, for comparison: slow, small, and shares nothing with the product.

It knows the rules from docs/producers.md alone. Whatever it can't take for certain it refuses.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from tests.events.strict_json import Reader, Refused

_EVENT_BYTES, _LEVELS, _USAGE_BYTES = 65_536, 32, 8_192
_BILLION, _PRICE_MOST, _COUNT_MOST, _DIGITS = 10**9, 1_000_000, 2**53 - 1, 4_000
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_V1_ALIASES = {
    "eventId": "event_id",
    "mandateId": "mandate_id",
    "userId": "user_id",
    "priceCHF": "price_chf",
    "occurredAt": "occurred_at",
    "aicoreProvider": "provider",
    "aicoreModel": "model",
    "featureCode": "feature_code",
    "featureInstanceId": "feature_instance_id",
    "workflowId": "workflow_id",
}
_V2_ALIASES = {
    "usageDialect": "usage_dialect",
    "serviceTier": "service_tier",
    "regionScope": "region_scope",
    "modelRequested": "model_requested",
    "providerAccount": "provider_account",
    "providerRequestId": "provider_request_id",
    "operationId": "operation_id",
    "usageBasis": "usage_basis",
    "reportedCost": "reported_cost",
    "holdKey": "hold_key",
    "holdFinal": "hold_final",
    "producerId": "producer_id",
    "producerSeq": "producer_seq",
}
_ALIASES = _V1_ALIASES | _V2_ALIASES
_DECIMAL = re.compile(r"([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,6}))?")
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))")
Check = Callable[[Any], Any]


@dataclass(frozen=True)
class StrictEvent:
    """What an event says: its fields by canonical name, absent ones left out, and the source of a CloudEvent, empty where it is no part of a key."""

    fields: dict[str, Any]
    source: str | None


class _Exact(Reader):
    """Reads numbers of any length; what no Decimal can hold is no finite number."""

    def number(self) -> int | Decimal:
        """See `Reader`."""
        found = re.compile(r"-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)").match(self.text, self.at)
        if not found:
            raise Refused
        self.at = found.end()
        if not found[1] and len(found[0]) <= 4000:
            return int(found[0])
        try:
            return Decimal(found[0])
        except InvalidOperation:
            return Decimal("NaN")


def read_json(body: bytes, levels: int = _LEVELS) -> object:
    """The value of `body`.

    Raises:
        Refused: it is not JSON, not UTF-8, gives a key twice or is nested too deeply.
    """
    try:
        return _Exact(body.decode("utf-8"), levels).document()
    except (UnicodeDecodeError, RecursionError):
        raise Refused from None


def read_event(body: bytes, dialects: frozenset[str], *, typed_json: bool = False) -> StrictEvent:
    """The event in `body`; its age is not judged. `dialects` are the names of all that are known.

    Raises:
        Refused: it is none.
    """
    if len(body) > _EVENT_BYTES:
        raise Refused
    value = read_json(body)
    if typed_json and b"__type__" in body:
        value = _untyped(value, in_usage=False)
    if not isinstance(value, dict):
        raise Refused
    source = None
    pairs: list[tuple[str, Any]]
    if "specversion" in value:
        source, pairs = _source(value.get("source")), list(_cloud_event(value))
    else:
        pairs = [(_ALIASES.get(str(name), str(name)), item) for name, item in value.items()]
    return StrictEvent(_checked(_merged(pairs), dialects), source)


def _cloud_event(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if value["specversion"] != "1.0" or not isinstance(value.get("data"), dict):
        raise Refused
    for name, item in value.items():
        if not re.fullmatch("[a-z0-9]+", name):
            raise Refused
        if name in ("id", "time"):
            yield {"id": "event_id", "time": "occurred_at"}[name], item
    for name, item in value["data"].items():
        yield _ALIASES.get(name, name), item


def _source(value: object) -> str:
    if isinstance(value, str) and len(value) <= 256 and value.isprintable() and " " not in value:
        return value
    return ""


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, item in pairs:
        if item is None:
            fields.setdefault(name, None)
        elif fields.get(name) is None:
            fields[name] = item
        elif not _alike(name, fields[name], item):
            raise Refused
    return fields


def _alike(name: str, one: Any, other: Any) -> bool:
    if name in ("price_chf", "occurred_at"):
        check = _price if name == "price_chf" else _moment
        try:
            return bool(check(one) == check(other))
        except Refused:
            return type(one) is type(other) and bool(one == other)
    return type(one) is type(other) and bool(one == other)


def _untyped(value: Any, *, in_usage: bool) -> Any:
    if isinstance(value, list):
        return [_untyped(item, in_usage=in_usage) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"__type__", "__value__"}:
        return {name: _untyped(item, in_usage=in_usage or name == "usage") for name, item in value.items()}
    kind, held = value["__type__"], value["__value__"]
    if kind == "decimal" and in_usage and isinstance(held, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?", held):
        return Decimal(held)
    if kind in ("decimal", "datetime") and isinstance(held, str):
        return held
    if kind == "uuid" and isinstance(held, dict) and isinstance(held.get("hex"), str):
        digits = held["hex"].lower().replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "")
        if re.fullmatch("[0-9a-f]{32}", digits):
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    raise Refused


def _checked(fields: dict[str, Any], dialects: frozenset[str]) -> dict[str, Any]:
    checks = _CHECKS | {"usage_dialect": _one_of(*dialects)}
    if not fields.keys() <= checks.keys():
        raise Refused
    given = {name: item for name, item in fields.items() if item is not None}
    if not {"event_id", "mandate_id", "user_id", "occurred_at"} <= given.keys():
        raise Refused
    if "usage_dialect" in given and isinstance(given.get("usage"), dict):
        checks["usage"] = usage_object
    return {name: checks[name](item) for name, item in given.items()}


def _text(least: int, most: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise Refused
        for character in value:
            code = ord(character)
            if unicodedata.category(character) in ("Cc", "Cs") or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
                raise Refused
        return value

    return check


def _one_of(*names: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise Refused
        return value

    return check


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Refused
        return value

    return check


def _flag(value: Any) -> bool:
    if value is not True and value is not False:
        raise Refused
    return bool(value)


def _number(value: Any) -> tuple[int, int, int]:
    """A sign, the digits as a whole number, and the power of ten by which they are multiplied."""
    if isinstance(value, str):
        found = _DECIMAL.fullmatch(value) if len(value) <= 200 else None
        if found is None or not found[2] + found[3]:
            raise Refused
        return -1 if found[1] == "-" else 1, int(found[2] + found[3]), int(found[4] or 0) - len(found[3])
    if type(value) is int:
        return -1 if value < 0 else 1, abs(value), 0
    if not isinstance(value, Decimal) or not value.is_finite():
        raise Refused
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    if len(text) > _DIGITS:  # what is behind them only tells that the number is a little more than they say
        text, exponent = text[:_DIGITS] + ("1" if text[_DIGITS:].strip("0") else "0"), exponent + len(text) - _DIGITS - 1
    return -1 if sign else 1, int(text or "0"), exponent


def _amount(value: Any) -> Fraction:
    """The exact number, from 0 to a million; what is below a nonillionth may come as anything below that."""
    sign, digits, power = _number(value)
    if not digits:
        return Fraction(0)
    size = len(str(digits)) + power
    if sign < 0 or size > 8:
        raise Refused
    exact = Fraction(1, 10**60) if size < -60 else Fraction(digits) * Fraction(10) ** power
    if exact > _PRICE_MOST:
        raise Refused
    return exact


def _price(value: Any) -> Fraction:
    return Fraction(round(_amount(value) * _BILLION), _BILLION)  # half to even


def _cost(value: Any) -> Any:
    if not isinstance(value, dict) or value.keys() != {"amount", "currency"}:
        raise Refused
    if not isinstance(value["currency"], str) or not re.fullmatch("[A-Z]{3}", value["currency"]):
        raise Refused
    amount = _amount(value["amount"])
    if (amount * 10**18).denominator != 1:
        raise Refused
    return amount, value["currency"]


def _moment(value: Any) -> datetime:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    hours, minutes = int(found[9] or 0), int(found[10] or 0)
    if hours > 23 or minutes > 59:
        raise Refused
    away = timedelta(hours=hours, minutes=minutes) * (-1 if found[8] == "-" else 1)
    try:
        return datetime(year, month, day, hour, minute, second, int(((found[7] or "") + "000000")[:6]), UTC) - away
    except (ValueError, OverflowError):
        raise Refused from None


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not value.keys() <= set(_COUNTS):
        raise Refused
    return {name: _whole(0, _COUNT_MOST)(item) for name, item in value.items() if item is not None}


def usage_object(value: Any) -> Any:
    """The usage object of a dialect: any JSON object of at most 8 KiB whose numbers have at most 200 digits, and whose texts are whole."""
    if not isinstance(value, dict):
        raise Refused
    if sum(map(len, _pieces(value))) > _USAGE_BYTES:
        raise Refused
    return value


def _pieces(value: Any) -> Iterator[bytes]:
    """The value's JSON without white space, in pieces; numbers in their shortest form."""
    if isinstance(value, dict):
        yield b"{" + b"," * (len(value) - 1 if value else 0)
        for name, item in value.items():
            yield from _pieces(name)
            yield b":"
            yield from _pieces(item)
        yield b"}"
    elif isinstance(value, list):
        yield b"[" + b"," * (len(value) - 1 if value else 0)
        for item in value:
            yield from _pieces(item)
        yield b"]"
    elif isinstance(value, str):
        yield _quoted(value)
    elif isinstance(value, bool) or value is None:
        yield {True: b"true", False: b"false", None: b"null"}[value]
    else:
        yield _shortest(value)


def _quoted(value: str) -> bytes:
    try:
        plain = value.encode()
    except UnicodeEncodeError:
        raise Refused from None
    longer = sum(1 if byte in b'"\\\b\f\n\r\t' else 5 if byte < 0x20 or byte == 0x7F else 0 for byte in plain)
    return b'"' + plain + b" " * longer + b'"'


def _shortest(number: int | Decimal) -> bytes:
    value = Decimal(number)
    if not value.is_finite() or len(value.as_tuple().digits) > 200:
        raise Refused
    if not value:
        return b"0"
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(text)
    adjusted = exponent + len(text) - 1
    if -40 <= adjusted <= 40:
        plain: str = text + "0" * exponent if exponent >= 0 else text.rjust(1 - exponent, "0")
        return b"-" * sign + plain.encode() + b"." * (exponent < 0)
    return b"-" * sign + text.encode() + b"." * (len(text) > 1) + f"E{adjusted:+d}".encode()


_LABEL, _NAME = _text(0, 128), _text(1, 128)
_CHECKS: dict[str, Check] = {
    "event_id": _NAME,
    "mandate_id": _NAME,
    "user_id": _NAME,
    "price_chf": _price,
    "occurred_at": _moment,
    **dict.fromkeys(("provider", "model", "feature_code", "feature_instance_id", "workflow_id"), _LABEL),
    "description": _text(0, 500),
    "usage": _counts,
    "schema_version": _whole(1, 2),
    **dict.fromkeys(
        (
            *("service_tier", "speed", "region_scope", "model_requested", "provider_account", "provider_request_id", "operation_id"),
            *("hold_key", "producer_id"),
        ),
        _NAME,
    ),
    "processing": _one_of("interactive", "batch"),
    "attempt": _whole(0, 2**15 - 1),
    "outcome": _one_of("completed", "cancelled", "failed", "timed_out"),
    "usage_basis": _one_of("reported", "partial", "estimated", "none"),
    "reported_cost": _cost,
    "hold_final": _flag,
    "producer_seq": _whole(1, _COUNT_MOST),
}
