"""SQL that shows parked events."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.storage.reading.listing import Listing, Rows

_LIST = Listing(
    "parked_events",
    "r.mandate_id, r.event_id, r.reason, r.origin, r.received_at, octet_length(r.body) AS body_length",
    ("received_at", "mandate_id", "event_id"),
)

# By the counts that are kept, so that it costs a row for each mandate, not for each event.
_COUNT = Listing(
    "(SELECT mandate_id, CAST(sum(events) AS bigint) AS events, CAST(-sum(events) AS bigint) AS fewer FROM parked_counts"
    " WHERE mandate_id <> '' GROUP BY mandate_id)",
    "r.mandate_id, r.events, (SELECT min(p.received_at) FROM parked_events p WHERE p.mandate_id = r.mandate_id) AS oldest_received_at",
    ("fewer", "mandate_id"),
    ascending=True,
)


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


def list_parked(connection: Connection, mandate_id: str | None, page: Rows) -> list[ParkedEventSummary]:
    """Parked events of one mandate or of all, newest first."""
    return [ParkedEventSummary(*row) for row in _LIST.rows(connection, page, None if mandate_id is None else {"mandate_id": [mandate_id]})]


def count_parked_per_mandate(connection: Connection, page: Rows) -> list[ParkedCount]:
    """Parked events per mandate, the mandate with the most first; the cursor is how many there are, negative, and the mandate."""
    return [ParkedCount(*row) for row in _COUNT.rows(connection, page)]
