"""Dead letters, for reading."""

from core.domain.billing import DeadLetterStatus
from core.domain.rejection import Reason
from core.domain.rights import Actor, require_root
from core.errors import NotFound
from core.storage.database import Database
from core.storage.dead_letter_status import Choice, count_letters
from core.storage.reading import dead_letters
from core.storage.reading.dead_letters import DeadLetterSummary, Overflow, WholeDeadLetter
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_dead_letters(
    database: Database,
    actor: Actor,
    *,
    mandate_id: str | None = None,
    reason: Reason | None = None,
    status: DeadLetterStatus | None = None,
    seen_again: bool = False,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    before: int | None = None,
) -> list[DeadLetterSummary]:
    """Dead letters without their bytes, newest first, of this mandate, with this reason and status; None: with any.

    A message that can't be parsed is of no mandate. With `seen_again` only resolved ones whose bytes came once more.
    `before` is the id of the last row already seen.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list dead letters")
    page = rows_of(limit, offset, None if before is None else (before,))
    with database.snapshot() as connection:
        return dead_letters.list_dead_letters(connection, mandate_id, reason, status, seen_again, page)


def dead_letter(database: Database, actor: Actor, dead_letter_id: int) -> WholeDeadLetter:
    """One dead letter with its bytes, up to 256 KiB of them, exactly as they came.

    Raises:
        Forbidden: the actor is not root.
        NotFound: there is none with this id.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "read a dead letter")
    with database.snapshot() as connection:
        found = dead_letters.find_dead_letter(connection, dead_letter_id)
    if found is None:
        raise NotFound(f"there is no dead letter {dead_letter_id}")
    return found


def overflow(database: Database, actor: Actor) -> list[Overflow]:
    """What was refused when there was no room for further letters (`TOLLBOOK_DEAD_LETTERS_MAX`), by queue and reason: only counted.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list dead letters")
    with database.snapshot() as connection:
        return dead_letters.list_overflow(connection)


def count_open(database: Database, actor: Actor, choice: Choice) -> int:
    """How many open dead letters are meant.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "count dead letters")
    with database.snapshot() as connection:
        return count_letters(connection, choice)[0]
