"""When two events are the same: SHA-256 over what is billed, and the difference where they are not."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

import msgspec

from core.events.model import TOKEN_KINDS, UsageEvent

HASH_VERSION = 1
_JSON = msgspec.json.Encoder().encode
_SEPARATOR, _ABSENT = "\x1f", "\x1e"  # texts of an event hold no control characters, so neither can occur in one

# What version 1 hashes, in this order, for ever: these texts, the price, the time, and the first five kinds of tokens. What comes later is
# part of a later version. Not part of it: description, schema_version, the aliases and the envelope that the producer used.
TEXTS_V1 = ("mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id")
_COUNTS = 5
COUNTS_V1 = TOKEN_KINDS[:_COUNTS]
_values = msgspec.structs.astuple


def payload_hash_v1(event: UsageEvent) -> bytes:
    """SHA-256 (32 bytes) of the billed fields; `core/verifying/sql/invariants/events.py` computes the same in SQL from a transaction."""
    one, two, three, four, five = _values(event.usage)[:_COUNTS]
    fields = (
        event.mandate_id,
        event.event_id,
        event.user_id,
        _text(event.provider),
        _text(event.model),
        _text(event.feature_code),
        _text(event.feature_instance_id),
        _text(event.workflow_id),
        _nine_places(event.price_chf),
        _six_places(event.occurred_at),
        _count(one),
        _count(two),
        _count(three),
        _count(four),
        _count(five),
    )
    return sha256(_SEPARATOR.join(fields).encode()).digest()


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


PAYLOAD_HASHES: dict[int, Callable[[UsageEvent], bytes]] = {1: payload_hash_v1}


def payload_hash(event: UsageEvent, version: int = HASH_VERSION) -> bytes:
    """The payload hash under `version`, 32 bytes: versions once used stay computable, since keys are kept for ever.

    Raises:
        KeyError: a version that this program doesn't know (a newer program wrote it).
    """
    return PAYLOAD_HASHES[version](event)


def difference(first: dict[str, object], second: dict[str, object]) -> dict[str, list[object]]:
    """Field by field what differs between two `billed_fields`: `{field: [first, second]}`."""
    return {name: [first.get(name), second.get(name)] for name in sorted({*first, *second}) if first.get(name) != second.get(name)}


def billed_fields(event: UsageEvent) -> dict[str, object]:
    """The fields that payload equality compares, as JSON values."""
    counts = {name: getattr(event.usage, name) for name in COUNTS_V1}
    texts = {name: getattr(event, name) for name in TEXTS_V1}
    return {**texts, "price_chf": format(event.price_chf, ".9f"), "occurred_at": event.occurred_at.isoformat(timespec="microseconds"), **counts}
