"""Renewing a hold whose call takes longer than expected."""

from datetime import datetime

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.holds.change import HoldChange, change_hold
from core.holds.question import Renewal
from core.holds.sql import changes


def renew_hold(database: Database, actor: Actor, asked: Renewal, *, clock: datetime | None = None) -> HoldChange:
    """An open hold ends `ttl_seconds` from now, but never earlier than before, nor later than 24 hours after its authorisation.

    One that is settled, or over by the clock, stays so, and the answer says it. A replay renews from its own time on.

    Args:
        database: the books.
        actor: root.
        asked: which hold, for how long.
        clock: the present time (aware); None: the database's own.

    Raises:
        NotFound: there is no such hold.
    """
    require_root(actor, "renew a hold")
    with database.transaction() as connection:
        return change_hold(connection, asked, lambda _: changes.renew(connection, asked.mandate_id, asked.key, asked.ttl_seconds, clock))
