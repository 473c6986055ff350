"""Parked events, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.recording.sql import shown_parked as sql


@dataclass(frozen=True, slots=True)
class ParkedEventSummary:
    """A parked event without its bytes; `body_length` in bytes."""

    mandate_id: str
    event_id: str
    reason: str
    origin: str
    received_at: datetime
    body_length: int


@dataclass(frozen=True, slots=True)
class ParkedCount:
    """How many events of one mandate are parked, and since when."""

    mandate_id: str
    events: int
    oldest_received_at: datetime


@view(None, sees=root("list parked events"))
def list_parked(
    connection: Connection,
    *,
    mandate_id: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: tuple[datetime, str, str] | None = None,
) -> list[ParkedEventSummary]:
    """Parked events of one mandate or of all, newest first; `before` is `received_at`, mandate and event id of the last row already seen."""
    of = None if mandate_id is None else {"mandate_id": [mandate_id]}
    return sql.LIST.rows(connection, ParkedEventSummary, Rows(limit, offset, before), of)


@view(None, sees=root("count parked events"))
def parked_per_mandate(
    connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, after: tuple[int, str] | None = None
) -> list[ParkedCount]:
    """How many events are parked for each mandate and since when, the mandate with the most first.

    `after` is `events` and mandate id of the last row already seen.
    """
    fewer = None if after is None else (-after[0], after[1])
    return sql.COUNT.rows(connection, ParkedCount, Rows(limit, offset, fewer))
