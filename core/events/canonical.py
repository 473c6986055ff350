"""The quick way for what most producers send: canonical names, plain ASCII, nothing given twice.

It reads an event only where it is certain that the whole contract agrees (`core/events/contract.py`); of everything else
it says nothing, and the slow way decides and tells what is wrong. A property test holds the two together.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.dialects.model import UsageDialect
from core.events.model import (
    CALL_FIELDS,
    EVENT_FIELDS,
    NO_TOKENS,
    TOKEN_KINDS,
    CallFacts,
    CallOutcome,
    Processing,
    ReportedCost,
    TokenUsage,
    UsageBasis,
    UsageEvent,
    parse_cost,
    parse_time,
)
from core.events.usage_object import RawUsage, raw_usage_of
from core.money import EXACT, PRICE_MAX, QUANTUM, quantize_price


class _Cost(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    amount: Any
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


# What is read as it was sent and turned into what the event has; the other fields are decoded within the bounds of the event's own.
_AS_SENT: dict[str, Any] = {"occurred_at": str, "usage": TokenUsage | None, "schema_version": Literal[1, 2] | None}
_CALL_AS_SENT: dict[str, Any] = {
    "usage_dialect": Literal[tuple(map(str, UsageDialect))] | None,
    "processing": Literal[tuple(map(str, Processing))] | None,
    "outcome": Literal[tuple(map(str, CallOutcome))] | None,
    "usage_basis": Literal[tuple(map(str, UsageBasis))] | None,
    "reported_cost": _Cost | None,
}
_SENT_FIELDS = EVENT_FIELDS[: EVENT_FIELDS.index("source")]


def _sent(price: Any = Any) -> type[msgspec.Struct]:
    """A struct to decode an event of version 1 into: the fields of `UsageEvent`, in its order; what wasn't given is as there."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(UsageEvent)[: len(_SENT_FIELDS)]:
        kind = price if field.name == "price_chf" else _AS_SENT.get(field.name, field.type)
        fields.append((field.name, kind) if field.required else (field.name, kind, field.default))
    return msgspec.defstruct("_Sent", fields, forbid_unknown_fields=True, gc=False)


def _sent_v2() -> type[msgspec.Struct]:
    """As `_sent`, for an event of version 2: the price last of the event's own, since it may be absent, then what is told of the call."""
    own = {field.name: field for field in msgspec.structs.fields(UsageEvent)[: len(_SENT_FIELDS)]}
    fields: list[Any] = []
    for name in (*(name for name in own if name != "price_chf"), "price_chf"):
        kind = {**_AS_SENT, "price_chf": Any, "usage": msgspec.Raw}.get(name, own[name].type)
        default = None if name in ("price_chf", "usage") else own[name].default
        fields.append((name, kind) if own[name].required and name != "price_chf" else (name, kind, default))
    fields += [(field.name, _CALL_AS_SENT.get(field.name, field.type), None) for field in msgspec.structs.fields(CallFacts)]
    return msgspec.defstruct("_SentV2", fields, forbid_unknown_fields=True, gc=False)


_decode = msgspec.json.Decoder(_sent(), float_hook=Decimal).decode
_decode_v2 = msgspec.json.Decoder(_sent_v2(), float_hook=Decimal).decode
_decode_usage = msgspec.json.Decoder(TokenUsage).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
_decode_plain = msgspec.json.Decoder(_sent(str)).decode
_values = msgspec.structs.astuple
_FIELDS, _KINDS, _USAGE = len(_SENT_FIELDS), len(TOKEN_KINDS), EVENT_FIELDS.index("usage")
_COST = CALL_FIELDS.index("reported_cost")
_BACKSLASH, _DELETE = 0x5C, 0x7F
_PRICE_LENGTH_MAX = 16  # characters, of a price that is read here
_FIRST_OF_CALL = b'"usage_dialect"'


def read_canonical(body: bytes) -> UsageEvent | None:
    """The event that `body` holds, or None where only the slow way can tell; never raises."""
    if _BACKSLASH in body or _DELETE in body or not body.isascii():  # so that no text in it can hold a character that is forbidden
        return None
    if _FIRST_OF_CALL in body:
        return _read_v2(body)
    try:
        values: Any = _values(_decode(body))
        event_id, mandate_id, user_id, sent_price, sent_time, provider, model, feature, instance, workflow, description, usage, version = values
        price, occurred_at = _price(sent_price), parse_time(sent_time)
    except msgspec.ValidationError:  # of a field that version 1 hasn't, or of one that is wrong
        return _read_v2(body)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if price is None or not _given_once(body, values, type(sent_price) is str, usage):
        return None
    tokens = NO_TOKENS if usage is None else usage
    return UsageEvent(event_id, mandate_id, user_id, price, occurred_at, provider, model, feature, instance, workflow, description, tokens, version)


def _read_v2(body: bytes) -> UsageEvent | None:
    """The event of version 2 that `body`, plain ASCII without a backslash, holds; as `read_canonical`."""
    try:
        sent: Any = _decode_v2(body)
        values = _values(sent)
        event_id, mandate_id, user_id, sent_time, provider, model, feature, instance, workflow, description, _, version, sent_price, *told = values
        price, occurred_at = _price(sent_price), parse_time(sent_time)
        usage, raw, marks = _usage_of(sent.usage, sent.usage_dialect)
        if (cost := sent.reported_cost) is not None:
            told[_COST] = ReportedCost(parse_cost(cost.amount), cost.currency)
            marks += 8 if type(cost.amount) is str else 6
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if usage is None or (price is None) is not (sent_price is None):
        return None
    # Of each field that was given the quotation marks of its name, and those of its value where that is a text.
    no_texts = (version, sent_price if type(sent_price) is not str else None, sent.usage, sent.attempt, sent.hold_final, sent.producer_seq, cost)
    marks += 4 * (len(values) - values.count(None)) - 2 * (len(no_texts) - no_texts.count(None))
    found = body.count(b'"')
    if marks != found and marks + 2 * _nulls(body) != found:
        return None
    call = CallFacts(*told) if len(told) > told.count(None) else None
    return UsageEvent(
        *(event_id, mandate_id, user_id, price, occurred_at, provider, model, feature, instance, workflow, description, usage, version),
        call=call,
        raw_usage=raw,
    )


def _usage_of(sent: msgspec.Raw | None, dialect: str | None) -> tuple[TokenUsage | None, RawUsage | None, int]:
    """Token counts or a dialect's usage object, and the quotation marks in it. No counts where only the slow way can tell."""
    body = b"null" if sent is None else bytes(sent)
    if body == b"null":
        return NO_TOKENS, None, 0 if sent is None else -2  # as of any null, `_nulls` counts its name
    if dialect is not None:
        raw = raw_usage_of(body)
        return (None if raw is None else NO_TOKENS), raw, body.count(b'"')
    usage = _decode_usage(body)
    marks = 2 * (_KINDS - _values(usage).count(None))
    return (usage if body.count(b'"') == marks else None), None, marks


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
    if not usage or fields.get("usage_dialect") is not None:  # what is in the object of a dialect is counted already
        return nulls
    return nulls + list(usage.values()).count(None)


def _price(value: object) -> Decimal | None:
    if type(value) is str:
        if len(value) > _PRICE_LENGTH_MAX or not value.replace(".", "", 1).isdigit():  # digits, and perhaps a point
            return None
        price = Decimal(value)
        return EXACT.quantize(price, QUANTUM) if price <= PRICE_MAX else None
    if type(value) is Decimal or type(value) is int:
        return quantize_price(Decimal(value))
    return None
