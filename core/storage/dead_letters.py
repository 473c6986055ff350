"""SQL of dead letters: each unusable message exactly once, with its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

BODY_BYTES_KEPT = 256 * 1024

_WRITE = text("""
    INSERT INTO dead_letters AS d (body_sha256, body, body_length, typed_json, origin, reason, detail, difference,
                                   mandate_id, event_id, payload_hash, attempts, batch_id)
    VALUES (:body_sha256, :body, :body_length, :typed_json, :origin, :reason, :detail, :difference,
            :mandate_id, :event_id, :payload_hash, :attempts, :batch_id)
    ON CONFLICT (body_sha256) DO UPDATE SET attempts = d.attempts + excluded.attempts, last_seen_at = clock_timestamp()
""").bindparams(bindparam("difference", type_=JSONB(none_as_null=True)))

# What was replayed is in the books or parked, and can't be refused any more unless it got lost on its way from there.
_REOPEN = text("""
    UPDATE dead_letters
       SET status = 'OPEN', reason = :reason, detail = :detail, difference = :difference, batch_id = :batch_id,
           resolved_at = NULL, resolved_by = NULL, resolution = NULL
     WHERE body_sha256 = :body_sha256 AND status = 'REPLAYED'
""").bindparams(bindparam("difference", type_=JSONB(none_as_null=True)))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that can't be recorded; mandate, event and hash are there where it was at least a valid event."""

    body: bytes
    typed_json: bool
    origin: str
    reason: str
    detail: str
    difference: dict[str, list[object]] | None = None
    mandate_id: str | None = None
    event_id: str | None = None
    payload_hash: bytes | None = None


def write_dead_letters(connection: Connection, letters: Sequence[DeadLetter], batch_id: int) -> None:
    """Writes each letter, or raises `attempts` of the one that holds the same bytes already. Locks in the order of the hashes.

    One that was replayed is open again. A discarded or accepted one stays so: the operator has seen these very bytes.
    """
    rows: dict[bytes, dict[str, object]] = {}
    for letter in letters:
        digest = sha256(letter.body).digest()
        if digest in rows:
            rows[digest]["attempts"] += 1  # type: ignore[operator]
            continue
        rows[digest] = {
            "body_sha256": digest,
            "body": letter.body[:BODY_BYTES_KEPT],
            "body_length": len(letter.body),
            "typed_json": letter.typed_json,
            "origin": letter.origin,
            "reason": letter.reason,
            "detail": letter.detail,
            "difference": letter.difference,
            "mandate_id": letter.mandate_id,
            "event_id": letter.event_id,
            "payload_hash": letter.payload_hash,
            "attempts": 1,
            "batch_id": batch_id,
        }
    if rows:
        ordered = [rows[digest] for digest in sorted(rows)]
        connection.execute(_WRITE, ordered)
        connection.execute(_REOPEN, ordered)
