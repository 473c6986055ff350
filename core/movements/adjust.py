"""Adjusting: an operator sets a balance right, up or down, and says why."""

from sqlalchemy import Connection

from core.asking.request import Reason, RowId, SignedAmount
from core.ledger.kinds import ADJUSTMENT
from core.movements.move_one import OneMovement, move_one
from core.movements.movement import movement, under_key
from core.movements.result import MovementResult
from core.settings.model import BillingSettings


class Adjustment(OneMovement):
    """An amount to be added to a balance: CHF, below 0 to take off, exact to nine decimal places, never 0.

    It is about `account_id`; `balance_account_id` is the account whose balance moves, where that is another one.
    """

    account_id: RowId
    amount: SignedAmount
    reason: Reason


@movement("movement.adjust", "adjust a balance")
@under_key()
def adjust(connection: Connection, settings: BillingSettings, asked: Adjustment) -> MovementResult:
    """Moves the balance (ADJUSTMENT), also below zero; the warning threshold stays. A replay returns the first result.

    Raises:
        NotFound: the mandate has no such account.
        RequestRefused: the balance would become more than the books can hold.
    """
    return move_one(connection, settings, asked, ADJUSTMENT, asked.amount, asked.reason)
