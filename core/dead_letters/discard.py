"""Discarding dead letters: an operator's word that they are never to be recorded."""

from collections.abc import Callable

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.dead_letters.sql.status import Choice, discard_letters, hold_decisions, next_letters, unknown_letters
from core.errors import NotFound

LETTERS_MAX = 5_000  # of one transaction


def discard_dead_letters(
    database: Database, actor: Actor, choice: Choice, *, by: str, resolution: str, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Every open letter that is meant is DISCARDED, with who said so and why; returns how many. A repetition finds none.

    Their bytes stay. When the same bytes come again they raise `attempts` and stay discarded, and `last_seen_at` tells.

    Raises:
        NotFound: a letter that is named by id does not exist.
        StorageUnavailable: the database can't answer now; what was committed stays, call again.
    """
    require_root(actor, "discard dead letters")
    with database.snapshot() as connection:
        if unknown := unknown_letters(connection, choice.ids):
            raise NotFound(f"there is no dead letter {unknown[0]}")
    discarded = last_id = 0
    while True:
        with database.transaction() as connection:
            hold_decisions(connection)
            ids = next_letters(connection, choice, last_id, LETTERS_MAX)
            part = discard_letters(connection, ids, by, resolution) if ids else 0
        if not ids:
            return discarded
        discarded, last_id = discarded + part, ids[-1]
        progress(discarded)
