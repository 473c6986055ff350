"""The queues, and how much the worker reads of what comes out of each that Celery's own consumer serves."""

from core.events.envelope import MESSAGE_BYTES_MAX, PLAIN_QUEUE

USAGE = "usage"
USAGE_QUEUES = (USAGE, PLAIN_QUEUE)  # what the pump empties
TRUSTED_QUEUES = frozenset({"maintenance", "movements"})  # whoever writes to them may have anything done
SERVED_QUEUES = TRUSTED_QUEUES | {USAGE, PLAIN_QUEUE, "checks", "views"}
REQUEST_BYTES_MAX = 64 * 1024  # a question is short, and its answer is waited for
_HEADERS_BYTES_MAX = 64 * 1024


def body_bytes_max(queue: str | None) -> int:
    """How long the body of a message may be, in bytes, before it is decoded."""
    return MESSAGE_BYTES_MAX if queue == USAGE or queue in TRUSTED_QUEUES else REQUEST_BYTES_MAX


def entry_bytes_max(queue: str) -> float:
    """How long an entry of a Redis list may be, in bytes, before it is decoded; what is too long on `usage` is kept as a dead letter."""
    return float("inf") if queue == USAGE else body_bytes_max(queue) * 4 // 3 + _HEADERS_BYTES_MAX
