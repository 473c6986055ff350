"""The event contract, checked before anything is sent: what passes here isn't refused for its form.

What fields there are stands in `contract.json`, which is made of the worker's own contract. Whether an event is too old, or its mandate needs a
price, only the worker knows. Stricter than the worker in two things: a price is no float, and fields have their canonical names.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from tollbook_client.errors import ContractError
from tollbook_client.usage_object import is_larger, written

CONTRACT: dict[str, Any] = json.loads(Path(__file__).with_name("contract.json").read_text(encoding="utf-8"))
FIELDS: dict[str, dict[str, Any]] = CONTRACT["FIELDS"]
COUNTS: dict[str, Any] = CONTRACT["COUNTS"]
EVENT_BYTES_MAX: int = CONTRACT["EVENT_BYTES_MAX"]
USAGE_BYTES_MAX: int = CONTRACT["USAGE_BYTES_MAX"]
DEPTH_MAX: int = CONTRACT["LEVELS_MAX"]
_ALIASES: dict[str, str] = CONTRACT["ALIASES"]
_PRICE_MAX = Decimal(1_000_000)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE)
_FRACTION = re.compile(r"\.(\d{1,6})\d*")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?")
_CURRENCY = re.compile("[A-Z]{3}")
_COST_PLACES_MAX = 18


def encoded(fields: Mapping[str, object]) -> bytes:
    """The event as JSON, checked.

    Args:
        fields: by the contract's names; None is as good as absent. Times are aware datetimes or RFC 3339, prices Decimal, int or decimal text.

    Raises:
        ContractError: a field is missing, unknown, or can't be what it is; the message says which and why.
    """
    for name, value in fields.items():
        if name not in FIELDS:
            known = _ALIASES.get(name)
            raise ContractError(name, value, "is not a field of the contract", f"it is {known} here" if known else f"there are {', '.join(FIELDS)}")
    event = {name: _plain(name, value) for name, value in fields.items() if value is not None}
    for name, rule in FIELDS.items():
        if name in event:
            _CHECKS[rule["kind"]](name, event[name], rule, event)
        elif rule.get("required"):
            raise ContractError(name, None, "is missing")
    body = _json(event)
    if len(body) > EVENT_BYTES_MAX:
        raise ContractError("event", f"{len(body)} bytes", f"is larger than {EVENT_BYTES_MAX} bytes", "leave out what is not needed")
    return body


def _plain(name: str, value: object) -> object:
    if name == "usage":
        return _written_usage(name, value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ContractError(name, value.isoformat(), "has no offset", "datetime.now(timezone.utc) has one")
        return _utc(name, value).isoformat()
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and -60 < value.adjusted() < 60 else str(value)  # written out while short
    if isinstance(value, Mapping):
        return {key: _plain(name, part) for key, part in value.items()}
    return value


def _written_usage(name: str, value: object) -> object:
    try:
        return written(value, DEPTH_MAX - 1)
    except ValueError as error:
        raise ContractError(name, "…", str(error)) from None


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ContractError("event", "…", "has half a character (a surrogate) in a text") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError("event", "…", f"is not JSON: {error}") from None


def _text(name: str, value: object, rule: Mapping[str, Any], _: object) -> None:
    if not isinstance(value, str):
        raise ContractError(name, value, "is not text")
    if not rule["min"] <= len(value) <= rule["max"]:
        raise ContractError(name, value, f"is not text of {rule['min']} to {rule['max']} characters")
    if any(_is_unprintable(character) for character in value):
        raise ContractError(name, value, "has a control character, a surrogate or a noncharacter in it")


def _is_unprintable(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character) in ("Cc", "Cs") or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def _choice(name: str, value: object, rule: Mapping[str, Any], _: object) -> None:
    if value not in rule["of"] or not isinstance(value, str):
        raise ContractError(name, value, f"is none of {', '.join(rule['of'])}")


def _integer(name: str, value: object, rule: Mapping[str, Any], _: object = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not rule["min"] <= value <= rule["max"]:
        raise ContractError(name, value, f"is not an integer from {rule['min']} to {rule['max']}")


def _boolean(name: str, value: object, *_: object) -> None:
    if not isinstance(value, bool):
        raise ContractError(name, value, "is neither true nor false")


def _price(name: str, value: object, *_: object) -> None:
    if isinstance(value, float):
        raise ContractError(name, value, "is a float, which is not exact", "give a Decimal, or a text such as '0.0042'")
    if not 0 <= _decimal(name, value) <= _PRICE_MAX:
        raise ContractError(name, value, f"is not between 0 and {_PRICE_MAX}")


def _decimal(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or (isinstance(value, str) and _DECIMAL.fullmatch(value) is None):
        raise ContractError(name, value, "is not a decimal number such as '0.0042'")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ContractError(name, value, "is not a decimal number such as '0.0042'") from None
    return number


def _time(name: str, value: object, *_: object) -> None:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        raise ContractError(name, value, "is not an RFC 3339 time with offset, such as 2026-01-31T12:00:00.5+01:00, or an aware datetime")
    text = _FRACTION.sub(lambda match: "." + match[1].ljust(6, "0"), value.upper()).replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError(name, value, f"is not a time of the calendar: {error}") from None
    _utc(name, moment)


def _utc(name: str, moment: datetime) -> datetime:
    try:
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ContractError(name, moment.isoformat(), f"is not a time of the calendar: {error}") from None


def _cost(name: str, value: object, *_: object) -> None:
    if not isinstance(value, dict) or value.keys() != {"amount", "currency"}:
        raise ContractError(name, value, "is not {'amount': …, 'currency': …}")
    _price(f"{name}.amount", value["amount"])
    amount = _decimal(f"{name}.amount", value["amount"])
    if amount and amount != round(amount, _COST_PLACES_MAX):
        raise ContractError(f"{name}.amount", value["amount"], f"has more than {_COST_PLACES_MAX} decimal places")
    if not isinstance(value["currency"], str) or _CURRENCY.fullmatch(value["currency"]) is None:
        raise ContractError(f"{name}.currency", value["currency"], "is not a currency's three letters, such as USD")


def _usage(name: str, value: object, _: Mapping[str, Any], event: Mapping[str, object]) -> None:
    if not isinstance(value, dict):
        raise ContractError(name, value, "is not an object", "an SDK's has .model_dump(mode='json')")
    if "usage_dialect" not in event:
        for kind, count in value.items():
            if kind not in COUNTS["names"]:
                known = ", ".join(COUNTS["names"])
                raise ContractError(f"{name}.{kind}", count, f"is not one of {known}", "a provider's own object needs its usage_dialect")
            if count is not None:
                _integer(f"{name}.{kind}", count, COUNTS)
    elif is_larger(value, body := _json(value), USAGE_BYTES_MAX):
        raise ContractError(name, f"{len(body)} bytes", f"is larger than {USAGE_BYTES_MAX} bytes")


_CHECKS: dict[str, Callable[[str, object, Mapping[str, Any], Mapping[str, object]], None]] = {
    "text": _text,
    "choice": _choice,
    "integer": _integer,
    "boolean": _boolean,
    "price": _price,
    "time": _time,
    "cost": _cost,
    "usage": _usage,
}
