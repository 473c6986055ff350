"""The time zone of a mandate's settings: which one the directory names, and whether there is such a zone."""

from sqlalchemy import Connection

from core.config import Configuration
from core.database.known_zones import known_zones
from core.directory.sql.mirror import mandate_states
from core.errors import NotFound, RequestRefused
from core.printable import shown


def require_known_zone(connection: Connection, time_zone: str) -> None:
    """The database, which takes local days by it, knows the zone: its time zones may be older than Python's.

    Raises:
        RequestRefused: it doesn't; usage of the mandate could not be recorded.
    """
    if time_zone not in known_zones(connection, [time_zone]):
        raise RequestRefused(
            f"{shown(time_zone)} is not a time zone that the database knows; its own list may be older: `pg_timezone_names`",
            field="time_zone",
            value=time_zone,
        )


def named_zone(connection: Connection, mandate_id: str, config: Configuration) -> str | None:
    """The time zone that the directory names for the mandate, if it does.

    Raises:
        NotFound: the directory doesn't know the mandate, so it may have no settings.
    """
    state = mandate_states(connection, [mandate_id]).get(mandate_id)
    if state is None and config.unknown_mandates == "park":
        raise NotFound(f"mandate {shown(mandate_id)} has no billing settings, and the directory does not know it")
    return state.time_zone if state else None
