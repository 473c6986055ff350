"""Parked events, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.errors import NotFound
from core.events.contract import Id, RecordedEventId
from core.prices.load import prices_of
from core.prices.model import Mode
from core.prices.price_event import price_event
from core.prices.sql.state import price_state
from core.printable import shown
from core.recording.delivery import read_events
from core.recording.sql import shown_parked as sql
from core.recording.sql.parked_events import find_parked


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


@dataclass(frozen=True, slots=True)
class ParkedEventDetail:
    """A parked event, and what it waits for: why it is parked, and what stands in its way by what is known now.

    `present` is empty where nothing does any more, so that the next release records it.
    """

    mandate_id: str
    event_id: str
    user_id: str | None
    occurred_at: datetime | None
    provider: str | None
    model: str | None
    reason: str
    present: str
    body: str


@view(None, sees=root("show a parked event"))
def show_parked(connection: Connection, mandate_id: Id, event_id: RecordedEventId) -> ParkedEventDetail:
    """One parked event, judged anew by the present prices; nothing is written."""
    key = mandate_id, event_id
    parked = find_parked(connection, [key]).get(key)
    if parked is None:
        raise NotFound(f"no event {shown(event_id)} of mandate {shown(mandate_id)} is parked", field="event_id", value=event_id)
    (delivery,) = read_events([parked.raw])
    body = parked.body.decode(errors="backslashreplace")
    if delivery.event is None:
        return ParkedEventDetail(mandate_id, event_id, None, None, None, None, parked.reason, str(delivery.rejection), body)
    event, present = delivery.event, "" if parked.priced_under else parked.reason
    if parked.priced_under:
        pricing = price_event(event, prices_of(connection, price_state(connection).token))
        unpriced = None if pricing.rated is not None or pricing.mode is not Mode.COMPUTED else pricing.unpriced
        present = "" if unpriced is None else f"{unpriced.reason}: {unpriced.detail}"
    return ParkedEventDetail(mandate_id, event_id, event.user_id, event.occurred_at, event.provider, event.model, parked.reason, present, body)


@view(None, sees=root("count parked events"))
def parked_per_mandate(
    connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, after: tuple[int, str] | None = None
) -> list[ParkedCount]:
    """How many events are parked for each mandate and since when, the mandate with the most first.

    `after` is `events` and mandate id of the last row already seen.
    """
    fewer = None if after is None else (-after[0], after[1])
    return sql.COUNT.rows(connection, ParkedCount, Rows(limit, offset, fewer))
