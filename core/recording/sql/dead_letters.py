"""SQL of dead letters: each unusable message exactly once, with its bytes, as long as there is room."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, text

BODY_BYTES_KEPT = 256 * 1024

_FIND = text("SELECT body_sha256 FROM dead_letters WHERE body_sha256 = ANY(:digests)")
_COUNT = text("SELECT queue, letters, bytes FROM dead_letter_counts")

# One statement, which locks the letters in the order of their hashes before its trigger locks the counts: as whoever removes some.
_WRITE = text("""
    INSERT INTO dead_letters AS d (body_sha256, body, body_length, typed_json, origin, reason, detail, difference,
                                   mandate_id, event_id, payload_hash, attempts, batch_id)
    SELECT l.body_sha256, l.body, l.body_length, l.typed_json, l.origin, l.reason, l.detail, CAST(l.difference AS jsonb),
           l.mandate_id, l.event_id, l.payload_hash, l.attempts, :batch_id
      FROM unnest(CAST(:body_sha256 AS bytea[]), CAST(:body AS bytea[]), CAST(:body_length AS bigint[]), CAST(:typed_json AS boolean[]),
                  CAST(:origin AS text[]), CAST(:reason AS text[]), CAST(:detail AS text[]), CAST(:difference AS text[]),
                  CAST(:mandate_id AS text[]), CAST(:event_id AS text[]), CAST(:payload_hash AS bytea[]), CAST(:attempts AS int[]))
           AS l(body_sha256, body, body_length, typed_json, origin, reason, detail, difference, mandate_id, event_id, payload_hash, attempts)
     ORDER BY l.body_sha256
    ON CONFLICT (body_sha256) DO UPDATE SET attempts = d.attempts + excluded.attempts, last_seen_at = clock_timestamp()
""")

# What was replayed is in the books or parked, and can't be refused any more unless it got lost on its way from there.
_REOPEN = text("""
    UPDATE dead_letters d
       SET status = 'OPEN', reason = l.reason, detail = l.detail, difference = CAST(l.difference AS jsonb), batch_id = :batch_id,
           resolved_at = NULL, resolved_by = NULL, resolution = NULL
      FROM unnest(CAST(:body_sha256 AS bytea[]), CAST(:reason AS text[]), CAST(:detail AS text[]), CAST(:difference AS text[]))
           AS l(body_sha256, reason, detail, difference)
     WHERE d.body_sha256 = l.body_sha256 AND d.status = 'REPLAYED'
""")

_OVERFLOW = text("""
    INSERT INTO dead_letter_overflow AS o (queue, reason, letters, bytes, last_sha256) VALUES (:queue, :reason, :letters, :bytes, :last_sha256)
    ON CONFLICT (queue, reason) DO UPDATE
       SET letters = o.letters + excluded.letters, bytes = o.bytes + excluded.bytes, last_sha256 = excluded.last_sha256,
           last_seen_at = clock_timestamp()
""")


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


@dataclass(frozen=True, slots=True)
class Room:
    """How many dead letters may be kept, and how many bytes of them; one queue's may be half of either."""

    letters: int
    bytes: int


@dataclass(slots=True)
class _Row:
    """One letter, however often it is in the batch."""

    digest: bytes
    letter: DeadLetter
    attempts: int = 1

    @property
    def queue(self) -> str:
        return self.letter.origin.partition("/")[0]

    @property
    def kept_bytes(self) -> int:
        return min(len(self.letter.body), BODY_BYTES_KEPT)


class _Kept:
    """What is kept already: letters and bytes, of each queue and altogether."""

    def __init__(self, room: Room, counts: Iterable[tuple[str, int, int]]) -> None:
        self._room = room
        self._of = {queue: (letters, size) for queue, letters, size in counts}
        self._letters, self._bytes = (sum(column) for column in zip((0, 0), *self._of.values(), strict=True))

    def admit(self, row: _Row) -> bool:
        """Whether there is room for one more; if so, it is counted."""
        letters, size = self._of.get(row.queue, (0, 0))
        if (
            max(self._letters + 1, 2 * (letters + 1)) > self._room.letters
            or max(self._bytes + row.kept_bytes, 2 * (size + row.kept_bytes)) > self._room.bytes
        ):
            return False
        self._of[row.queue] = letters + 1, size + row.kept_bytes
        self._letters, self._bytes = self._letters + 1, self._bytes + row.kept_bytes
        return True


def write_dead_letters(connection: Connection, letters: Sequence[DeadLetter], batch_id: int, room: Room | None) -> dict[str, int]:
    """Writes each letter, or raises `attempts` of the one that holds the same bytes already.

    One that was replayed is open again. A discarded or accepted one stays so: the operator has seen these very bytes. Of new ones
    for which there is no room only number, bytes and the hash of the last are kept, by queue and reason. Batches at the same time
    may together keep some more than there is room for. Without `room` all are kept.

    Returns:
        By reason the deliveries for which there was no room.
    """
    rows: dict[bytes, _Row] = {}
    for letter in letters:
        digest = sha256(letter.body).digest()
        if digest in rows:
            rows[digest].attempts += 1
        else:
            rows[digest] = _Row(digest, letter)
    if not rows:
        return {}
    kept, refused = (list(rows.values()), []) if room is None else _with_room(connection, rows, room)
    if kept:
        parameters = _parameters(kept) | {"batch_id": batch_id}
        connection.execute(_WRITE, parameters)
        connection.execute(_REOPEN, parameters)
    return _count_refused(connection, refused)


def _with_room(connection: Connection, rows: Mapping[bytes, _Row], room: Room) -> tuple[list[_Row], list[_Row]]:
    """Those of the rows that can be kept, and those for which there is no room."""
    known = set(connection.execute(_FIND, {"digests": list(rows)}).scalars())
    kept = [row for digest, row in rows.items() if digest in known]
    new = [row for digest, row in rows.items() if digest not in known]
    refused: list[_Row] = []
    if new:
        there = _Kept(room, [(queue, letters, size) for queue, letters, size in connection.execute(_COUNT)])
        for row in new:
            (kept if there.admit(row) else refused).append(row)
    return kept, refused


def _parameters(rows: Sequence[_Row]) -> dict[str, Any]:
    letters = [row.letter for row in rows]
    same: dict[str, Any] = {name: [getattr(letter, name) for letter in letters] for name in _SAME}
    return same | {
        "body_sha256": [row.digest for row in rows],
        "body": [letter.body[:BODY_BYTES_KEPT] for letter in letters],
        "body_length": [len(letter.body) for letter in letters],
        "difference": [None if letter.difference is None else json.dumps(letter.difference) for letter in letters],
        "attempts": [row.attempts for row in rows],
    }


_SAME = ("typed_json", "origin", "reason", "detail", "mandate_id", "event_id", "payload_hash")


def _count_refused(connection: Connection, rows: Sequence[_Row]) -> dict[str, int]:
    counted: dict[tuple[str, str], dict[str, Any]] = {}
    by_reason: dict[str, int] = {}
    for row in rows:
        reason = row.letter.reason
        one = counted.setdefault((row.queue, reason), {"queue": row.queue, "reason": reason, "letters": 0, "bytes": 0})
        one["letters"] += row.attempts
        one["bytes"] += row.attempts * len(row.letter.body)
        one["last_sha256"] = row.digest
        by_reason[reason] = by_reason.get(reason, 0) + row.attempts
    if counted:
        connection.execute(_OVERFLOW, [counted[key] for key in sorted(counted)])
    return by_reason
