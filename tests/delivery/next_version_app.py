"""The worker's app as its next version may be: it knows one more version of the payload hash, and writes it.

Its hash is over the billed fields in another form, so that no hash of one version is ever that of the other.
"""

import json
from hashlib import sha256

from core.events import payload
from core.events.model import UsageEvent

NEXT = max(payload.PAYLOAD_HASHES) + 1


def payload_hash_next(event: UsageEvent) -> bytes:
    """SHA-256 of the billed fields as canonical JSON."""
    return sha256(json.dumps(payload.billed_fields(event), sort_keys=True).encode()).digest()


payload.PAYLOAD_HASHES[NEXT] = payload_hash_next
UsageEvent.version = property(lambda _: NEXT)  # type: ignore[assignment,method-assign]

from worker.app import app  # noqa: E402 - after the version is set

__all__ = ["app"]
