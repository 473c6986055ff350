"""When two events are the same: SHA-256 over what is billed, and the difference where they are not."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from operator import attrgetter

import msgspec

from core.events.model import CALL_FIELDS, TOKEN_KINDS, CallFacts, UsageEvent
from core.money import EXACT

_JSON = msgspec.json.Encoder().encode
_SEPARATOR, _ABSENT = "\x1f", "\x1e"  # texts of an event hold no control characters, so neither can occur in one

# What version 1 hashes, in this order, for ever: these texts, the price, the time, and the first five kinds of tokens. What comes later is
# part of a later version. Not part of it: description, schema_version, the aliases and the envelope that the producer used.
TEXTS_V1 = ("mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id")
_COUNTS = 5
COUNTS_V1 = TOKEN_KINDS[:_COUNTS]
_values = msgspec.structs.astuple


# What version 2 adds to it, in this order, for ever: these fields of the call, and the usage object. Not part of it: who sent it, and as which one.
TEXTS_V2 = (
    *("usage_dialect", "service_tier", "processing", "speed", "region_scope", "model_requested", "provider_account", "provider_request_id"),
    *("operation_id", "outcome", "usage_basis", "hold_key"),
)
_texts_v2 = attrgetter(*TEXTS_V2)
_NOTHING_TOLD = CallFacts()


def payload_hash_v1(event: UsageEvent) -> bytes:
    """SHA-256 (32 bytes) of the billed fields; `core/verifying/sql/invariants/events.py` computes the same in SQL from a transaction."""
    return sha256(_SEPARATOR.join(_fields_v1(event)).encode()).digest()


def payload_hash_v2(event: UsageEvent) -> bytes:
    """SHA-256 (32 bytes) of the billed fields, those of version 1 first; computed in SQL too, as `payload_hash_v1` is."""
    call = event.call or _NOTHING_TOLD
    cost = call.reported_cost
    fields = (
        *_fields_v1(event),
        *[_ABSENT if text is None else text for text in _texts_v2(call)],
        _count(call.attempt),
        _ABSENT if call.hold_final is None else str(call.hold_final).lower(),
        _ABSENT if cost is None else plain_decimal(cost.amount),
        _ABSENT if cost is None else cost.currency,
        _ABSENT if event.raw_usage is None else event.raw_usage.canonical,
    )
    return sha256(_SEPARATOR.join(fields).encode()).digest()


def _fields_v1(event: UsageEvent) -> tuple[str, ...]:
    one, two, three, four, five = _values(event.usage)[:_COUNTS]
    return (
        event.mandate_id,
        event.event_id,
        event.user_id,
        _text(event.provider),
        _text(event.model),
        _text(event.feature_code),
        _text(event.feature_instance_id),
        _text(event.workflow_id),
        _ABSENT if event.price_chf is None else _nine_places(event.price_chf),
        _six_places(event.occurred_at),
        _count(one),
        _count(two),
        _count(three),
        _count(four),
        _count(five),
    )


def _text(value: str | None) -> str:
    return _ABSENT if value is None else value


def _count(value: int | None) -> str:
    return _ABSENT if value is None else str(value)


def _nine_places(price: Decimal) -> str:
    text = str(price)  # a third of the time of `format`, which differs only for what is tiny or has other places
    return text if text[-10:-9] == "." and "E" not in text else format(price, ".9f")


def _six_places(moment: datetime) -> str:
    text = _JSON(moment).decode()  # as isoformat, in a fraction of the time
    return text[1:27] if moment.microsecond else f"{text[1:20]}.000000"


def plain_decimal(value: Decimal) -> str:
    """The value without an exponent and without zeros at its end, as PostgreSQL's `trim_scale` shows it."""
    return format(EXACT.normalize(value), "f") if value else "0"


PAYLOAD_HASHES: dict[int, Callable[[UsageEvent], bytes]] = {1: payload_hash_v1, 2: payload_hash_v2}


def payload_hash(event: UsageEvent, version: int | None = None) -> bytes:
    """The payload hash under `version`, by default the event's own, 32 bytes: versions once used stay computable, since keys are kept for ever.

    Raises:
        KeyError: a version that this program doesn't know (a newer program wrote it).
    """
    return PAYLOAD_HASHES[event.version if version is None else version](event)


def difference(first: dict[str, object], second: dict[str, object]) -> dict[str, list[object]]:
    """Field by field what differs between two `billed_fields`: `{field: [first, second]}`."""
    return {name: [first.get(name), second.get(name)] for name in sorted({*first, *second}) if first.get(name) != second.get(name)}


def billed_fields(event: UsageEvent, version: int | None = None) -> dict[str, object]:
    """The fields that payload equality compares under `version`, by default the event's own, as JSON values."""
    counts = {name: getattr(event.usage, name) for name in COUNTS_V1}
    texts = {name: getattr(event, name) for name in TEXTS_V1}
    price = None if event.price_chf is None else format(event.price_chf, ".9f")
    billed = {**texts, "price_chf": price, "occurred_at": event.occurred_at.isoformat(timespec="microseconds"), **counts}
    return billed if (event.version if version is None else version) == 1 else {**billed, **_call_fields(event)}


def _call_fields(event: UsageEvent) -> dict[str, object]:
    call = event.call or _NOTHING_TOLD
    told: dict[str, object] = {name: getattr(call, name) for name in CALL_FIELDS if name not in ("producer_id", "producer_seq", "reported_cost")}
    cost = call.reported_cost
    told["reported_cost"] = None if cost is None else {"amount": plain_decimal(cost.amount), "currency": cost.currency}
    told["usage"] = None if event.raw_usage is None else event.raw_usage.canonical
    return told
