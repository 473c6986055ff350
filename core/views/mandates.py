"""Which mandates there are: what the views say of one that isn't there, or has no billing settings yet."""

from sqlalchemy import Connection

from core.domain.rejection import shown
from core.errors import NotFound
from core.storage.directory.mirror import mandate_states
from core.storage.reading.mandates import mandate_exists


def require_mandate(connection: Connection, mandate_id: str) -> None:
    """Returns if the mandate is known to the directory or has billing settings.

    Raises:
        NotFound: neither.
    """
    if not mandate_exists(connection, mandate_id):
        raise NotFound(f"there is no mandate {shown(mandate_id)}: it has no billing settings, and the directory does not know it")


def without_settings(connection: Connection, mandate_id: str) -> NotFound:
    """The error about a mandate that has no billing settings: it tells whether and how they can come."""
    state = mandate_states(connection, [mandate_id]).get(mandate_id)
    if state is None:
        return NotFound(f"mandate {shown(mandate_id)} has no billing settings, and the directory does not know it")
    known, usage = ("known", "its first usage") if state.enabled else ("known, but disabled", "its first usage once it is enabled")
    return NotFound(
        f"mandate {shown(mandate_id)} is {known}, and has no billing settings yet: they come with {usage}, or with `tollbook settings update`"
    )
