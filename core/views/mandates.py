"""Which mandates there are: what the views say of one that isn't there, or has no billing settings yet."""

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from sqlalchemy import Connection

from core.domain.rejection import shown
from core.errors import NotFound
from core.storage.database import Database
from core.storage.directory.mirror import mandate_states
from core.storage.reading.mandates import unknown_mandates
from core.storage.reading.members import find_member

Row = TypeVar("Row")


def rows_of_mandates(database: Database, mandate_ids: Collection[str] | None, read: Callable[[Connection], list[Row]]) -> list[Row]:
    """What `read` finds of the named mandates, each of which must exist; None: of all.

    Raises:
        NotFound: there is no such mandate.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        if mandate_ids is not None:
            require_known(connection, mandate_ids)
        return read(connection)


def require_known(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Returns if each of the mandates is known to the directory or has billing settings.

    Raises:
        NotFound: one is neither.
    """
    for mandate_id in unknown_mandates(connection, mandate_ids):
        raise NotFound(f"there is no mandate {shown(mandate_id)}: it has no billing settings, and the directory does not know it")


def member_name(connection: Connection, mandate_id: str, user_id: str) -> str:
    """The name of the user, who must be an enabled member of the mandate; whether they have an account doesn't matter.

    Raises:
        NotFound: they are none.
    """
    name = find_member(connection, mandate_id, user_id)
    if name is None:
        raise NotFound(f"user {shown(user_id)} is no enabled member of mandate {shown(mandate_id)}")
    return name


def without_settings(connection: Connection, mandate_id: str) -> NotFound:
    """The error about a mandate that has no billing settings: it tells whether and how they can come."""
    state = mandate_states(connection, [mandate_id]).get(mandate_id)
    if state is None:
        return NotFound(f"mandate {shown(mandate_id)} has no billing settings, and the directory does not know it")
    known, usage = ("known", "its first usage") if state.enabled else ("known, but disabled", "its first usage once it is enabled")
    return NotFound(
        f"mandate {shown(mandate_id)} is {known}, and has no billing settings yet: they come with {usage}, or with `tollbook settings update`"
    )
