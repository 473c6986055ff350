"""How far the statistics have come, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading.rollup import RollupStatus, find_rollup_status


def rollup_status(database: Database, actor: Actor) -> RollupStatus:
    """What the statistics lack, and up to which day they are closed.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "read the status of the rollup")
    with database.snapshot() as connection:
        return find_rollup_status(connection)
