"""Parked events, for reading."""

from datetime import datetime

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import parked_events
from core.storage.reading.parked_events import ParkedCount, ParkedEventSummary
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_parked(
    database: Database,
    actor: Actor,
    *,
    mandate_id: str | None = None,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    before: tuple[datetime, str, str] | None = None,
) -> list[ParkedEventSummary]:
    """Parked events of one mandate or of all, newest first; `before` is `received_at`, mandate and event id of the last row already seen.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list parked events")
    page = rows_of(limit, offset, before)
    with database.snapshot() as connection:
        return parked_events.list_parked(connection, mandate_id, page)


def parked_per_mandate(
    database: Database, actor: Actor, *, limit: int = LIMIT_DEFAULT, offset: int = 0, after: tuple[int, str] | None = None
) -> list[ParkedCount]:
    """How many events are parked for each mandate and since when, the mandate with the most first.

    `after` is `events` and mandate id of the last row already seen.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "count parked events")
    page = rows_of(limit, offset, None if after is None else (-after[0], after[1]))
    with database.snapshot() as connection:
        return parked_events.count_parked_per_mandate(connection, page)
