"""The quick way for what most producers send: canonical names, plain ASCII, nothing given twice.

It reads an event only where it is certain that the whole contract agrees (`core/events/contract.py`); of everything else
it says nothing, and the slow way decides and tells what is wrong. A property test holds the two together.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from core.events.model import EVENT_FIELDS, NO_TOKENS, TOKEN_KINDS, TokenUsage, UsageEvent, parse_time
from core.money import EXACT, PRICE_MAX, QUANTUM, quantize_price

# What is read as it was sent and turned into what the event has; the other fields are decoded within the bounds of the event's own.
_AS_SENT: dict[str, Any] = {"occurred_at": str, "usage": TokenUsage | None, "schema_version": Literal[1] | None}


def _sent(price: Any = Any) -> type[msgspec.Struct]:
    """A struct to decode an event into: the fields of `UsageEvent`, in its order, but for the source; what wasn't given is as there."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(UsageEvent):
        kind = price if field.name == "price_chf" else _AS_SENT.get(field.name, field.type)
        fields.append((field.name, kind) if field.required else (field.name, kind, field.default))
    return msgspec.defstruct("_Sent", fields[:-1], forbid_unknown_fields=True, gc=False)


_decode = msgspec.json.Decoder(_sent(), float_hook=Decimal).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
_decode_plain = msgspec.json.Decoder(_sent(str)).decode
_values = msgspec.structs.astuple
_FIELDS, _KINDS, _USAGE = len(EVENT_FIELDS) - 1, len(TOKEN_KINDS), EVENT_FIELDS.index("usage")
_BACKSLASH, _DELETE = 0x5C, 0x7F
_PRICE_LENGTH_MAX = 16  # characters, of a price that is read here


def read_canonical(body: bytes) -> UsageEvent | None:
    """The event that `body` holds, or None where only the slow way can tell; never raises."""
    if _BACKSLASH in body or _DELETE in body or not body.isascii():  # so that no text in it can hold a character that is forbidden
        return None
    try:
        values: Any = _values(_decode(body))
        event_id, mandate_id, user_id, sent_price, sent_time, provider, model, feature, instance, workflow, description, usage, version = values
        price, occurred_at = _price(sent_price), parse_time(sent_time)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if price is None:
        return None
    if not _given_once(body, values, type(sent_price) is str, usage):
        return None
    tokens = NO_TOKENS if usage is None else usage
    return UsageEvent(event_id, mandate_id, user_id, price, occurred_at, provider, model, feature, instance, workflow, description, tokens, version)


def is_plain(body: bytes) -> bool:
    """Whether `body` is an event that a copy of its bytes tells exactly: JSON with canonical names, each given once, and a price in text.

    Never raises. Whether the values keep the contract is another question.
    """
    if _BACKSLASH in body:
        return False
    try:
        values = _values(_decode_plain(body))
    except (ValueError, RecursionError):
        return False
    return _given_once(body, values, True, values[_USAGE])


def _given_once(body: bytes, values: tuple[Any, ...], price_is_text: bool, usage: TokenUsage | None) -> bool:
    """Whether no key of the event stands in `body` twice: it has the quotation marks of all keys and texts, and those of nulls, but no more."""
    marks = 4 * (_FIELDS - values.count(None))
    if not price_is_text:
        marks -= 2
    if values[-1] is not None:  # the schema's version
        marks -= 2
    if usage is NO_TOKENS:
        marks -= 4
    elif usage is not None:
        marks += 2 * (_KINDS - _values(usage).count(None)) - 2
    given = body.count(b'"')
    return marks == given or marks + 2 * _nulls(body) == given


def _nulls(body: bytes) -> int:
    """How many fields of the event in `body` are null, those of its usage included."""
    fields = _decode_fields(body)
    usage = fields.get("usage")
    nulls = list(fields.values()).count(None)
    return nulls + list(usage.values()).count(None) if usage else nulls


def _price(value: object) -> Decimal | None:
    if type(value) is str:
        if len(value) > _PRICE_LENGTH_MAX or not value.replace(".", "", 1).isdigit():  # digits, and perhaps a point
            return None
        price = Decimal(value)
        return EXACT.quantize(price, QUANTUM) if price <= PRICE_MAX else None
    if type(value) is Decimal or type(value) is int:
        return quantize_price(Decimal(value))
    return None
