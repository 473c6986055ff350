"""SQL of what holds for these books as a whole."""

from sqlalchemy import Connection, text

from core.billing import CloudEventKey
from core.database.locks import Lock, hold, share

_READ = text("SELECT cloud_event_key FROM books")
_SET = text("UPDATE books SET cloud_event_key = :cloud_event_key")
_HAS_EVENTS = text("SELECT EXISTS (SELECT FROM event_keys) OR EXISTS (SELECT FROM parked_events)")


def shared_cloud_event_key(connection: Connection) -> CloudEventKey:
    """What a CloudEvent is known by; it stays so until the transaction ends."""
    share(connection, Lock.CLOUD_EVENT_KEY)
    return cloud_event_key(connection)


def cloud_event_key(connection: Connection) -> CloudEventKey:
    """What a CloudEvent is known by."""
    return CloudEventKey(connection.execute(_READ).scalar_one())


def change_cloud_event_key(connection: Connection, key: CloudEventKey) -> bool:
    """Sets what a CloudEvent is known by, under the owner's login; false, and nothing is changed, where the books know an event already."""
    hold(connection, Lock.CLOUD_EVENT_KEY)
    if connection.execute(_HAS_EVENTS).scalar_one():
        return False
    connection.execute(_SET, {"cloud_event_key": key.value})
    return True
