"""Withholding alerts: what is too old to tell anybody is never published."""

from datetime import datetime

from core.storage.alert_outbox import withhold_all
from core.storage.database import Database


def withhold_alerts(database: Database, until: datetime) -> int:
    """No alert that was recorded before `until` (aware) and still waits is ever published; returns how many. Repeatable.

    Raises:
        StorageUnavailable, Misconfigured: it is not known whether it was done; ask again.
    """
    with database.transaction() as connection:
        return withhold_all(connection, until)
