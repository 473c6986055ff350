"""SQL that shows dead letters."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.domain.billing import DeadLetterStatus

_LIST = text("""
    SELECT id, reason, detail, status, mandate_id, event_id, origin, body_length, attempts, first_seen_at, last_seen_at,
           coalesce(last_seen_at > resolved_at, false) AS seen_again
      FROM dead_letters
     WHERE status = ANY(:statuses) AND (CAST(:reason AS text) IS NULL OR reason = :reason)
       AND (CAST(:mandate_id AS text) IS NULL OR mandate_id = :mandate_id) AND (NOT :seen_again OR last_seen_at > resolved_at)
     ORDER BY id DESC LIMIT :limit OFFSET :offset
""")

_FIND = text("""
    SELECT id, reason, detail, status, mandate_id, event_id, origin, body_length, attempts, first_seen_at, last_seen_at,
           coalesce(last_seen_at > resolved_at, false) AS seen_again, body, octet_length(body) < body_length AS body_truncated,
           encode(body_sha256, 'hex') AS body_sha256, typed_json, difference, batch_id, resolved_at, resolved_by, resolution
      FROM dead_letters WHERE id = :dead_letter_id
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


def list_dead_letters(
    connection: Connection,
    mandate_id: str | None,
    reason: str | None,
    status: DeadLetterStatus | None,
    seen_again: bool,
    limit: int,
    offset: int,
) -> list[DeadLetterSummary]:
    """Dead letters of this mandate with this reason and status, newest first; None: with any."""
    statuses = [s.value for s in ([status] if status else DeadLetterStatus)]
    parameters = {"mandate_id": mandate_id, "reason": reason, "statuses": statuses, "seen_again": seen_again, "limit": limit, "offset": offset}
    return [DeadLetterSummary(*row) for row in connection.execute(_LIST, parameters)]


def find_dead_letter(connection: Connection, dead_letter_id: int) -> WholeDeadLetter | None:
    """The dead letter with this id, if there is one."""
    row = connection.execute(_FIND, {"dead_letter_id": dead_letter_id}).one_or_none()
    return None if row is None else WholeDeadLetter(*row)
