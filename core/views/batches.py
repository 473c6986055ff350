"""Batches, for reading."""

from core.storage.database import Database
from core.storage.reading import batches
from core.storage.reading.batches import CommittedBatch
from core.views.paging import LIMIT_DEFAULT, check_page


def list_batches(database: Database, *, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[CommittedBatch]:
    """Committed recording transactions, newest first.

    Raises:
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit, offset)
    with database.snapshot() as connection:
        return batches.list_batches(connection, limit, offset)
