"""The sweep: holds that the clock has ended are settled, so that no answer has to leave them out any more."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.caps.counters import Moved, caps_of, move_counters
from core.caps.model import Spending
from core.database.database import Database
from core.database.locks import share_mandates
from core.holds.sql import changes
from core.holds.sql.authorise import add_held
from core.ledger.opening import KnownAccounts
from core.ledger.sql.accounts import lock_accounts
from core.metrics import HOLDS_EXPIRED
from core.money import ZERO
from core.settings.sql.settings import load_settings

HOLDS_MAX = 500  # of one transaction
TRANSACTIONS_MAX = 40  # of one sweep: the next one goes on


def expire_holds(
    database: Database, *, known_accounts: KnownAccounts | None = None, transactions_max: int = TRANSACTIONS_MAX, clock: datetime | None = None
) -> int:
    """Settles holds that the clock has ended, the first ones first, at most 500 in a transaction; returns how many.

    Whoever captures, renews or releases one at the same time isn't waited for: it is theirs. While an event that came in time is parked, its
    hold doesn't end. A replay, or a second one at once, settles none twice.

    Args:
        database: the books.
        known_accounts: what this process has met, caps among it.
        transactions_max: how many transactions it may take.
        clock: the present time (aware); None: the database's own.
    """
    known, expired = known_accounts or KnownAccounts(), 0
    for _ in range(transactions_max):
        with database.transaction() as connection:
            ended, settled = _expire_some(connection, known, clock)
        HOLDS_EXPIRED.inc(settled)
        expired += settled
        if ended < HOLDS_MAX:
            break
    return expired


def _expire_some(connection: Connection, known: KnownAccounts, clock: datetime | None) -> tuple[int, int]:
    """How many holds were over, and how many of them are settled."""
    changes.look_up_by_keys(connection)
    mandate_ids = changes.ended_mandates(connection, HOLDS_MAX, clock)
    if not mandate_ids:
        return 0, 0
    share_mandates(connection, mandate_ids)
    ended = changes.lock_ended(connection, mandate_ids, HOLDS_MAX, clock)
    lock_accounts(connection, {one.balance_account_id for one in ended if one.balance_account_id is not None})
    expired = changes.expire(connection, [one.key for one in ended], clock)
    freed: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for one in expired:
        if one.balance_account_id is not None:
            freed[one.balance_account_id] -= one.expired
    add_held(connection, freed)
    settings, _ = load_settings(connection, {one.mandate_id for one in expired})
    caps = caps_of(connection, settings.values(), known)
    if caps:
        move_counters(connection, caps, [Moved(Spending(*one[:5]), one.local_date, held=-one.expired) for one in expired], None)
    return len(ended), len(expired)
