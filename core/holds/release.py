"""Releasing a hold whose call was not made, or used nothing."""

from datetime import datetime

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.caps.counters import Moved, caps_of, move_counters
from core.caps.model import Spending
from core.database.database import Database
from core.holds.change import HoldChange, change_hold
from core.holds.model import Hold
from core.holds.question import HoldName
from core.holds.sql import changes
from core.holds.sql.authorise import add_held
from core.ledger.opening import KnownAccounts
from core.settings.sql.settings import load_settings


def release_hold(
    database: Database, actor: Actor, asked: HoldName, *, known_accounts: KnownAccounts | None = None, clock: datetime | None = None
) -> HoldChange:
    """Gives back what an open hold still keeps; what usage has taken of it stays taken.

    One that is settled, or over by the clock, stays as it is, and the answer says so: a replay changes nothing.

    Args:
        database: the books.
        actor: root.
        asked: which hold.
        known_accounts: what this process has met, caps among it.
        clock: the present time (aware); None: the database's own.

    Raises:
        NotFound: there is no such hold.
    """
    require_root(actor, "release a hold")
    known = known_accounts or KnownAccounts()
    with database.transaction() as connection:
        return change_hold(connection, asked, lambda hold: _released(connection, hold, known, clock))


def _released(connection: Connection, hold: Hold, known: KnownAccounts, clock: datetime | None) -> Hold | None:
    released = changes.release(connection, hold.mandate_id, hold.hold_key, clock)
    if released is None:
        return None
    if hold.balance_account_id is not None:
        add_held(connection, {hold.balance_account_id: -hold.remaining})
    settings, _ = load_settings(connection, [hold.mandate_id])
    caps = caps_of(connection, settings.values(), known)
    if caps:
        spending = Spending(hold.mandate_id, hold.user_id, hold.provider, hold.model, hold.feature_code)
        move_counters(connection, caps, [Moved(spending, hold.local_date, held=-hold.remaining)], None)
    return released
