"""When two events are the same: SHA-256 over what is billed, and the difference where they are not."""

from collections.abc import Callable
from hashlib import sha256
from operator import attrgetter

import msgspec

from core.events.model import TOKEN_KINDS, UsageEvent

HASH_VERSION = 1
_JSON = msgspec.json.Encoder().encode
_SEPARATOR, _ABSENT = "\x1f", "\x1e"  # texts of an event hold no control characters, so neither can occur in one

# What version 1 hashes, in this order, for ever: these texts, the price, the time, and the first five kinds of tokens. What comes later is
# part of a later version. Not part of it: description, schema_version, the aliases and the envelope that the producer used.
TEXTS_V1 = ("mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id")
COUNTS_V1 = TOKEN_KINDS[:5]
_counts_of = attrgetter(*COUNTS_V1)


def payload_hash_v1(event: UsageEvent) -> bytes:
    """SHA-256 (32 bytes) of the billed fields; `core/verifying/sql/invariants/events.py` computes the same in SQL from a transaction."""
    e, moment = event, event.occurred_at
    fields = (
        e.mandate_id,
        e.event_id,
        e.user_id,
        e.provider,
        e.model,
        e.feature_code,
        e.feature_instance_id,
        e.workflow_id,
        format(e.price_chf, ".9f"),
        f"{_JSON(moment)[1:20].decode()}.{moment.microsecond:06}",  # as isoformat, in half the time
        *_counts_of(e.usage),
    )
    return sha256(_SEPARATOR.join([_ABSENT if f is None else str(f) for f in fields]).encode()).digest()


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
