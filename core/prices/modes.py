"""Modes: which price a mandate pays, from when on."""

from datetime import datetime

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.directory.read import require_known
from core.errors import Conflict
from core.prices.dated import ModeEntry
from core.prices.model import Mode
from core.prices.sql.changes import mode_since, write_mode
from core.prices.sql.state import hold_prices, raise_revision


def set_mode(database: Database, actor: Actor, mandate_id: str, mode: Mode, *, created_by: str, since: datetime | None = None) -> ModeEntry:
    """What happens from `since` on (None: from now on) is billed so, until a later mode. Nothing that is recorded changes. Repeatable with a `since`.

    Raises:
        NotFound: there is no such mandate.
        Conflict: another mode holds since exactly then.
    """
    require_root(actor, "change which price a mandate pays")
    with database.transaction() as connection:
        hold_prices(connection)
        require_known(connection, [mandate_id])
        there = None if since is None else mode_since(connection, mandate_id, since)
        if there is not None:
            if there.mode == mode:
                return there
            raise Conflict(f"{there.mode} holds since then: name another time", field="since", value=since)
        raise_revision(connection)
        return write_mode(connection, mandate_id, mode.value, since, created_by)
