"""Deciding what a CloudEvent is known by, before the books know the first event."""

from core.billing import CloudEventKey
from core.database.database import Database
from core.errors import Conflict
from core.recording.sql.cloud_events import change_cloud_event_key, cloud_event_key


def set_cloud_event_key(owner_database: Database, key: CloudEventKey) -> None:
    """From now on a CloudEvent is known by `key`, for good once the first event is recorded or parked. Repeatable.

    Args:
        owner_database: the books, under the owner's login: no worker may change this.
        key: its id alone (as the books begin), or its source and id.

    Raises:
        Conflict: the books know events already, and by another key.
        StorageUnavailable, Misconfigured: the database can't be asked, or the login is not the owner's.
    """
    with owner_database.transaction() as connection:
        present = cloud_event_key(connection)
        if present is not key and not change_cloud_event_key(connection, key):
            raise Conflict(f"CloudEvents are known by {present} since the first event came: another key would charge what is sent again anew")
