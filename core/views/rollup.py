"""How far the statistics have come, for reading."""

from core.storage.database import Database
from core.storage.reading.rollup import RollupStatus, find_rollup_status


def rollup_status(database: Database) -> RollupStatus:
    """What the statistics lack, and up to which day they are closed.

    Raises:
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        return find_rollup_status(connection)
