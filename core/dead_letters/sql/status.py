"""SQL of what operators make of dead letters: chosen, replayed, discarded, accepted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from core.billing import DeadLetterStatus
from core.database.locks import Lock, hold
from core.recording.sql.dead_letters import DeadLetter

_LAST = 2**63 - 1  # no id is greater

_CHOSEN = """
       status = 'OPEN' AND id > :after_id AND id <= :last_id AND (NOT :by_id OR id = ANY(:ids))
       AND (CAST(:reason AS text) IS NULL OR reason = :reason) AND (CAST(:mandate_id AS text) IS NULL OR mandate_id = :mandate_id)
       AND (CAST(:since AS timestamptz) IS NULL OR last_seen_at >= :since) AND (CAST(:until AS timestamptz) IS NULL OR last_seen_at < :until)
"""

_COUNT = text(f"SELECT count(*) AS letters, coalesce(max(id), 0) AS last_id FROM dead_letters WHERE {_CHOSEN}")

_TAKE = text(f"""
    SELECT id, body, body_length, typed_json, origin, reason, first_seen_at, status, mandate_id, event_id
      FROM dead_letters WHERE {_CHOSEN} ORDER BY id LIMIT :letters_max
""")

_FIND = text("""
    SELECT id, body, body_length, typed_json, origin, reason, first_seen_at, status, mandate_id, event_id FROM dead_letters WHERE id = :dead_letter_id
""")

_KNOWN = text("SELECT id FROM dead_letters WHERE id = ANY(:ids)")

# In the order in which recorders lock them.
_LOCK_ROWS = text("SELECT FROM dead_letters WHERE id = ANY(:ids) ORDER BY body_sha256 FOR NO KEY UPDATE")

_RESOLVE = text("""
    UPDATE dead_letters SET status = :status, resolved_at = clock_timestamp(), resolved_by = :resolved_by, resolution = :resolution
     WHERE id = :id AND status = 'OPEN'
""")

_NEXT = text(f"SELECT id FROM dead_letters WHERE {_CHOSEN} ORDER BY id LIMIT :letters_max")

_DISCARD = text("""
    UPDATE dead_letters SET status = 'DISCARDED', resolved_at = clock_timestamp(), resolved_by = :resolved_by, resolution = :resolution
     WHERE id = ANY(:ids) AND status = 'OPEN'
""")

_CORRECT = text("""
    UPDATE dead_letters
       SET status = 'CORRECTED', corrected_body = :body, corrected_sha256 = :digest, mandate_id = :mandate_id, event_id = :event_id,
           resolved_at = clock_timestamp(), resolved_by = :resolved_by, resolution = :resolution
     WHERE id = :id AND status = 'OPEN'
""")
_FIND_CORRECTION = text("SELECT corrected_sha256 FROM dead_letters WHERE id = :id")

_REFUSE_AGAIN = text("""
    UPDATE dead_letters
       SET reason = :reason, detail = :detail, difference = :difference, mandate_id = :mandate_id, event_id = :event_id, payload_hash = :payload_hash
     WHERE id = :id
""").bindparams(bindparam("difference", type_=JSONB(none_as_null=True)))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which open dead letters are meant: those that fit every field given. The times (aware) are those of the latest delivery."""

    ids: Collection[int] = ()
    reason: str | None = None
    mandate_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it is kept; `body_length` in bytes as it came."""

    id: int
    body: bytes
    body_length: int
    typed_json: bool
    origin: str
    reason: str
    first_seen_at: datetime
    status: DeadLetterStatus
    mandate_id: str | None
    event_id: str | None

    @property
    def is_whole(self) -> bool:
        """Whether all of its bytes are kept."""
        return len(self.body) == self.body_length


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of one open letter."""

    id: int
    status: DeadLetterStatus
    text: str


def hold_decisions(connection: Connection) -> None:
    """Until the transaction ends, nobody else decides about dead letters. Call it first: intake never asks for it."""
    hold(connection, Lock.DEAD_LETTERS)


def count_letters(connection: Connection, choice: Choice) -> tuple[int, int]:
    """How many open letters are meant, and the newest one's id (0 if there is none)."""
    row = connection.execute(_COUNT, _parameters(choice, 0, _LAST)).one()
    return row.letters, row.last_id


def take_letters(connection: Connection, choice: Choice, after_id: int, last_id: int, letters_max: int) -> list[KeptLetter]:
    """The next open letters that are meant, after `after_id` and up to `last_id`, by id."""
    rows = connection.execute(_TAKE, _parameters(choice, after_id, last_id) | {"letters_max": letters_max})
    return [_kept(row) for row in rows]


def find_letter(connection: Connection, dead_letter_id: int) -> KeptLetter | None:
    """The letter with this id, open or not, if there is one."""
    row = connection.execute(_FIND, {"dead_letter_id": dead_letter_id}).one_or_none()
    return None if row is None else _kept(row)


def unknown_letters(connection: Connection, ids: Collection[int]) -> list[int]:
    """Those of `ids` that no letter has."""
    known = set(connection.execute(_KNOWN, {"ids": list(ids)}).scalars())
    return sorted(set(ids) - known)


def lock_letters(connection: Connection, ids: Collection[int]) -> None:
    """Locks the letters in the order in which everybody does; only after the balances."""
    connection.execute(_LOCK_ROWS, {"ids": list(ids)})


def resolve_letters(connection: Connection, resolutions: Sequence[Resolution], resolved_by: str) -> None:
    """Keeps what became of open letters, by whom and when."""
    if resolutions:
        connection.execute(_RESOLVE, [{"id": r.id, "status": r.status.value, "resolution": r.text, "resolved_by": resolved_by} for r in resolutions])


def refuse_again(connection: Connection, letters: Sequence[tuple[int, DeadLetter]]) -> None:
    """Open letters that stay open are open for what they were refused for this time."""
    if letters:
        rows = [
            {
                "id": letter_id,
                "reason": letter.reason,
                "detail": letter.detail,
                "difference": letter.difference,
                "mandate_id": letter.mandate_id,
                "event_id": letter.event_id,
                "payload_hash": letter.payload_hash,
            }
            for letter_id, letter in letters
        ]
        connection.execute(_REFUSE_AGAIN, rows)


def correct_letter(connection: Connection, letter_id: int, body: bytes, digest: bytes, key: tuple[str, str], corrected_by: str, reason: str) -> None:
    """An open letter becomes CORRECTED: `body`, with its SHA-256, was recorded in its place, as the event of this mandate and id."""
    told = {"mandate_id": key[0], "event_id": key[1], "resolved_by": corrected_by, "resolution": reason}
    connection.execute(_CORRECT, {"id": letter_id, "body": body, "digest": digest, **told})


def find_correction(connection: Connection, letter_id: int) -> bytes | None:
    """The SHA-256 of what was recorded in the letter's place, if anything was."""
    digest: bytes | None = connection.execute(_FIND_CORRECTION, {"id": letter_id}).scalar_one()
    return digest


def next_letters(connection: Connection, choice: Choice, after_id: int, letters_max: int) -> list[int]:
    """The ids of the next open letters that are meant, after `after_id`, ascending."""
    return list(connection.execute(_NEXT, _parameters(choice, after_id, _LAST) | {"letters_max": letters_max}).scalars())


def discard_letters(connection: Connection, ids: Collection[int], resolved_by: str, resolution: str) -> int:
    """Discards those of the letters that are open; returns how many."""
    lock_letters(connection, ids)
    return connection.execute(_DISCARD, {"ids": list(ids), "resolved_by": resolved_by, "resolution": resolution}).rowcount


def _kept(row: Row[Any]) -> KeptLetter:
    columns: list[Any] = list(row)
    columns[7] = DeadLetterStatus(columns[7])
    return KeptLetter(*columns)


def _parameters(choice: Choice, after_id: int, last_id: int) -> dict[str, object]:
    return {
        "by_id": bool(choice.ids),
        "ids": list(choice.ids),
        "reason": choice.reason,
        "mandate_id": choice.mandate_id,
        "since": choice.since,
        "until": choice.until,
        "after_id": after_id,
        "last_id": last_id,
    }
