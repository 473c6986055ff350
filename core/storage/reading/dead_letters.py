"""SQL that shows dead letters."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.domain.billing import DeadLetterStatus
from core.domain.rejection import Reason
from core.storage.reading.listing import Listing, Rows

_LIST = Listing(
    "dead_letters",
    """
    r.id, r.reason, r.detail, r.status, r.mandate_id, r.event_id, r.origin, r.body_length, r.attempts, r.first_seen_at, r.last_seen_at,
    coalesce(r.last_seen_at > r.resolved_at, false) AS seen_again
    """,
    ("id",),
    conditions={
        "reason": "r.reason = :reason",
        "status": "r.status = :status",
        "seen_again": "r.last_seen_at > r.resolved_at",
    },
)

_FIND = text("""
    SELECT id, reason, detail, status, mandate_id, event_id, origin, body_length, attempts, first_seen_at, last_seen_at,
           coalesce(last_seen_at > resolved_at, false) AS seen_again, body, octet_length(body) < body_length AS body_truncated,
           encode(body_sha256, 'hex') AS body_sha256, typed_json, difference, batch_id, resolved_at, resolved_by, resolution
      FROM dead_letters WHERE id = :dead_letter_id
""")


_OVERFLOW = text("""
    SELECT queue, reason, letters, bytes, encode(last_sha256, 'hex') AS last_sha256, first_seen_at, last_seen_at
      FROM dead_letter_overflow ORDER BY queue, reason
""")


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """A dead letter without its bytes; `body_length` in bytes as it came; `seen_again`: its bytes came after it was resolved."""

    id: int
    reason: str
    detail: str
    status: str
    mandate_id: str | None
    event_id: str | None
    origin: str
    body_length: int
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    seen_again: bool


@dataclass(frozen=True, slots=True)
class WholeDeadLetter(DeadLetterSummary):
    """A dead letter with its bytes: all of them, or of more than 256 KiB the first 256 KiB, and the hash of all of them in hex."""

    body: bytes
    body_truncated: bool
    body_sha256: str
    typed_json: bool
    difference: dict[str, list[object]] | None
    batch_id: int | None
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None


@dataclass(frozen=True, slots=True)
class Overflow:
    """Deliveries of one queue that were refused for one reason when there was no room for them: how many, their bytes, the last one's hash in hex."""

    queue: str
    reason: str
    letters: int
    bytes: int
    last_sha256: str
    first_seen_at: datetime
    last_seen_at: datetime


def list_dead_letters(
    connection: Connection, mandate_id: str | None, reason: Reason | None, status: DeadLetterStatus | None, seen_again: bool, page: Rows
) -> list[DeadLetterSummary]:
    """Dead letters of this mandate with this reason and status, newest first; None: with any."""
    statuses, reasons = [status] if status else list(DeadLetterStatus), [reason] if reason else []
    if mandate_id is not None:
        rows = _LIST.rows(connection, page, {"mandate_id": [mandate_id]}, reason=reason, status=status, seen_again=seen_again)
    elif seen_again or (status is None and reason is None):
        rows = _LIST.rows(connection, page, reason=reason, status=status, seen_again=seen_again)
    else:
        rows = _LIST.rows(connection, page, {"status": statuses, "reason": reasons} if reasons else {"status": statuses})
    return [DeadLetterSummary(*row) for row in rows]


def list_overflow(connection: Connection) -> list[Overflow]:
    """What came when there was no room for further letters."""
    return [Overflow(**row) for row in connection.execute(_OVERFLOW).mappings()]


def find_dead_letter(connection: Connection, dead_letter_id: int) -> WholeDeadLetter | None:
    """The dead letter with this id, if there is one."""
    row = connection.execute(_FIND, {"dead_letter_id": dead_letter_id}).one_or_none()
    return None if row is None else WholeDeadLetter(*row)
