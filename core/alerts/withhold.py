"""Withholding alerts: what is too old to tell anybody is never published."""

from datetime import datetime

from core.alerts.sql.outbox import withhold_all
from core.asking.rights import Actor, require_root
from core.database.database import Database


def withhold_alerts(database: Database, actor: Actor, until: datetime) -> int:
    """No alert that was recorded before `until` (aware) and still waits is ever published; returns how many. Repeatable.

    Raises:
        StorageUnavailable, Misconfigured: it is not known whether it was done; ask again.
    """
    require_root(actor, "withhold alerts")
    with database.transaction() as connection:
        return withhold_all(connection, until)
