"""Renewing and releasing: what one hold and its account go through under their locks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.billing import HoldState
from core.database.locks import share_mandates
from core.errors import NotFound
from core.holds.model import Hold
from core.holds.question import HoldName
from core.holds.sql.changes import lock_hold
from core.ledger.sql.accounts import lock_accounts
from core.money import ZERO
from core.printable import shown


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A hold after it was to be renewed or released; amounts in CHF.

    Attributes:
        done: whether it was; else it isn't open any more, and nothing was changed.
        key: the hold's.
        state: what became of it; EXPIRED by the clock alone, too.
        amount: what was authorised.
        captured, released, expired: what became of the amount.
        remaining: what it still keeps.
        expires_at: until when.
    """

    done: bool
    key: str
    state: HoldState
    amount: Decimal
    captured: Decimal
    released: Decimal
    expired: Decimal
    remaining: Decimal
    expires_at: datetime


def change_hold(connection: Connection, asked: HoldName, change: Callable[[Hold], Hold | None]) -> HoldChange:
    """Changes a hold that is open, under the locks of its mandate, its row and its account; of one that isn't it only tells.

    `change` reads the clock, and returns the hold as it is then; None: the clock has ended it.

    Raises:
        NotFound: there is no such hold.
    """
    share_mandates(connection, [asked.mandate_id])
    hold = lock_hold(connection, asked.mandate_id, asked.key)
    if hold is None:
        raise NotFound(f"mandate {shown(asked.mandate_id)} has no hold {shown(asked.key)}", field="key", value=asked.key)
    if hold.state is not HoldState.OPEN:
        return _told(hold, hold.state, done=False)
    if hold.balance_account_id is not None:
        lock_accounts(connection, [hold.balance_account_id])
    changed = change(hold)
    if changed is None:  # the sweep settles it soon
        return _told(hold, HoldState.EXPIRED, done=False)
    return _told(changed, changed.state, done=True)


def _told(hold: Hold, state: HoldState, *, done: bool) -> HoldChange:
    remaining = hold.remaining if state is HoldState.OPEN else ZERO
    expired = hold.expired if state is hold.state else hold.remaining
    return HoldChange(done, hold.hold_key, state, hold.amount, hold.captured, hold.released, expired, remaining, hold.expires_at)
