"""Batches, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import batches
from core.storage.reading.batches import CommittedBatch
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_batches(database: Database, actor: Actor, *, limit: int = LIMIT_DEFAULT, offset: int = 0, before: int | None = None) -> list[CommittedBatch]:
    """Committed recording transactions, newest first; `before` is the id of the last row already seen.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list batches")
    page = rows_of(limit, offset, None if before is None else (before,))
    with database.snapshot() as connection:
        return batches.list_batches(connection, page)
