"""SQL that shows parked events."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_LIST = text("""
    SELECT mandate_id, event_id, reason, origin, received_at, octet_length(body) AS body_length
      FROM parked_events
     WHERE mandate_id = coalesce(CAST(:mandate_id AS text), mandate_id)
     ORDER BY received_at DESC, mandate_id DESC, event_id DESC LIMIT :limit OFFSET :offset
""")

_COUNT = text("""
    SELECT mandate_id, count(*) AS events, min(received_at) AS oldest_received_at
      FROM parked_events GROUP BY mandate_id ORDER BY events DESC, mandate_id LIMIT :limit OFFSET :offset
""")


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


def list_parked(connection: Connection, mandate_id: str | None, limit: int, offset: int) -> list[ParkedEventSummary]:
    """Parked events of one mandate or of all, newest first."""
    rows = connection.execute(_LIST, {"mandate_id": mandate_id, "limit": limit, "offset": offset})
    return [ParkedEventSummary(*row) for row in rows]


def count_parked_per_mandate(connection: Connection, limit: int, offset: int) -> list[ParkedCount]:
    """Parked events per mandate, the mandate with the most first."""
    return [ParkedCount(*row) for row in connection.execute(_COUNT, {"limit": limit, "offset": offset})]
