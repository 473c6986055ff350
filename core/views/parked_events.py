"""Parked events, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import parked_events
from core.storage.reading.parked_events import ParkedCount, ParkedEventSummary
from core.views.paging import LIMIT_DEFAULT, check_page


def list_parked(
    database: Database, actor: Actor, *, mandate_id: str | None = None, limit: int = LIMIT_DEFAULT, offset: int = 0
) -> list[ParkedEventSummary]:
    """Parked events of one mandate or of all, newest first.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list parked events")
    check_page(limit, offset)
    with database.snapshot() as connection:
        return parked_events.list_parked(connection, mandate_id, limit, offset)


def parked_per_mandate(database: Database, actor: Actor, *, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[ParkedCount]:
    """How many events are parked for each mandate and since when, the mandate with the most first.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "count parked events")
    check_page(limit, offset)
    with database.snapshot() as connection:
        return parked_events.count_parked_per_mandate(connection, limit, offset)
