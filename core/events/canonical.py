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
_AS_SENT: dict[str, Any] = {"price_chf": Any, "occurred_at": str, "usage": TokenUsage | None, "schema_version": Literal[1] | None}


def _sent() -> type[msgspec.Struct]:
    """A struct to decode an event into: the fields of `UsageEvent`, in its order, but for the source; what wasn't given is as there."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(UsageEvent):
        kind = _AS_SENT.get(field.name, field.type)
        fields.append((field.name, kind) if field.required else (field.name, kind, field.default))
    return msgspec.defstruct("_Sent", fields[:-1], forbid_unknown_fields=True, gc=False)


_decode = msgspec.json.Decoder(_sent(), float_hook=Decimal).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
_values = msgspec.structs.astuple
_FIELDS, _KINDS = len(EVENT_FIELDS) - 1, len(TOKEN_KINDS)
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
    # The quotation marks of all keys and texts but nulls; where there are more than these and those of nulls, a key was given twice.
    marks = 4 * (_FIELDS - values.count(None))
    if type(sent_price) is not str:
        marks -= 2
    if version is not None:
        marks -= 2
    if usage is None:
        usage = NO_TOKENS
    elif usage is NO_TOKENS:
        marks -= 4
    else:
        marks += 2 * (_KINDS - _values(usage).count(None)) - 2
    given = body.count(b'"')
    if marks != given and marks + 2 * _nulls(body) != given:
        return None
    return UsageEvent(event_id, mandate_id, user_id, price, occurred_at, provider, model, feature, instance, workflow, description, usage, version)


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
