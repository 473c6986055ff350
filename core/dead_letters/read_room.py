"""How much of the room for dead letters is taken, for reading."""

from dataclasses import dataclass

from sqlalchemy import Connection

from core.asking.view import root, view
from core.database.rows import rows
from core.dead_letters.sql import shown as sql


@dataclass(frozen=True, slots=True)
class KeptLetters:
    """Dead letters of one queue that are kept, open ones and others, and the bytes of their bodies."""

    queue: str
    letters: int
    bytes: int


@view(None, sees=root("count dead letters"))
def kept_letters(connection: Connection) -> list[KeptLetters]:
    """How many letters are kept of each queue, by the counts that the room is judged by."""
    return rows(connection, KeptLetters, sql.KEPT)
