"""Dead letters, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.billing import DeadLetterStatus
from core.database.listing import Rows
from core.database.rows import row, rows
from core.dead_letters.sql import shown as sql
from core.dead_letters.sql.status import Choice, count_letters
from core.errors import NotFound
from core.rejection import Reason


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
    corrected_body: bytes | None  # of a corrected one: what was recorded in its place


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


@view(None, sees=root("list dead letters"))
def list_dead_letters(
    connection: Connection,
    *,
    mandate_id: str | None = None,
    reason: Reason | None = None,
    status: DeadLetterStatus | None = None,
    seen_again: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: int | None = None,
) -> list[DeadLetterSummary]:
    """Dead letters without their bytes, newest first, of this mandate, with this reason and status; None: with any.

    A message that can't be parsed is of no mandate. With `seen_again` only resolved ones whose bytes came once more; with `since`
    and `until` (aware) those last seen from the one on and before the other.
    `before` is the id of the last row already seen.
    """
    page = Rows(limit, offset, before)
    if mandate_id is None and not seen_again and (status or reason):
        each = {"status": [status] if status else list(DeadLetterStatus)} | ({"reason": [reason]} if reason else {})
        return sql.LIST.rows(connection, DeadLetterSummary, page, each, since=since, until=until)
    of = None if mandate_id is None else {"mandate_id": [mandate_id]}
    return sql.LIST.rows(connection, DeadLetterSummary, page, of, reason=reason, status=status, seen_again=seen_again, since=since, until=until)


@view(None, sees=root("read a dead letter"))
def dead_letter(connection: Connection, dead_letter_id: int) -> WholeDeadLetter:
    """One dead letter with its bytes, up to 256 KiB of them, exactly as they came."""
    found = row(connection, WholeDeadLetter, sql.FIND, dead_letter_id=dead_letter_id)
    if found is None:
        raise NotFound(f"there is no dead letter {dead_letter_id}")
    return found


@view(None, sees=root("list dead letters"))
def overflow(connection: Connection) -> list[Overflow]:
    """What was refused when there was no room for further letters (`TOLLBOOK_DEAD_LETTERS_MAX`), by queue and reason: only counted."""
    return rows(connection, Overflow, sql.OVERFLOW)


@view(None, sees=root("count dead letters"))
def count_open(connection: Connection, choice: Choice) -> int:
    """How many open dead letters are meant."""
    return count_letters(connection, choice)[0]
