"""Batches, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import batches
from core.storage.reading.batches import CommittedBatch
from core.views.paging import LIMIT_DEFAULT, check_page


def list_batches(database: Database, actor: Actor, *, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[CommittedBatch]:
    """Committed recording transactions, newest first.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list batches")
    check_page(limit, offset)
    with database.snapshot() as connection:
        return batches.list_batches(connection, limit, offset)
