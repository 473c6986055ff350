"""When two events are the same: SHA-256 over what is billed, and the difference where they are not."""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from core.domain.usage_event import UsageEvent

HASH_VERSION = 1
_JSON = msgspec.json.Encoder().encode
_SEPARATOR, _ABSENT = "\x1f", "\x1e"  # texts of an event hold no control characters, so neither can occur in one

# Not part of it: description, schema_version, the aliases and the envelope that the producer used.
_TEXTS = ("mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id")
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def payload_hash_v1(event: UsageEvent) -> bytes:
    """SHA-256 (32 bytes) of the billed fields; `core/storage/invariants/events.py` computes the same in SQL from a transaction."""
    e, u = event, event.usage
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
        f"{_JSON(e.occurred_at)[1:20].decode()}.{e.occurred_at.microsecond:06}",  # as isoformat, in half the time
        u.input_tokens,
        u.output_tokens,
        u.cached_input_tokens,
        u.cache_write_tokens,
        u.reasoning_tokens,
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
    counts = {name: getattr(event.usage, name) for name in _COUNTS}
    texts = {name: getattr(event, name) for name in _TEXTS}
    return {**texts, "price_chf": format(event.price_chf, ".9f"), "occurred_at": event.occurred_at.isoformat(timespec="microseconds"), **counts}
