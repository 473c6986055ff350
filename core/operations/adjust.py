"""Adjusting: an operator sets a balance right, up or down, and says why."""

from core.domain.billing import ReferenceType, TransactionType
from core.domain.request import Reason, RowId, SignedAmount
from core.domain.rights import Actor, require_root
from core.operations.moving.accounts import present_settings
from core.operations.moving.move_one import OneMovement, move_one
from core.operations.moving.result import MovementResult
from core.storage.database import Database
from core.storage.movements import Movement

ADJUST = "adjust"


class Adjustment(OneMovement):
    """An amount to be added to a balance: CHF, below 0 to take off, exact to nine decimal places, never 0.

    It is about `account_id`; `balance_account_id` is the account whose balance moves, where that is another one.
    """

    account_id: RowId
    amount: SignedAmount
    reason: Reason


def adjust(database: Database, actor: Actor, asked: Adjustment) -> MovementResult:
    """Moves the balance (ADJUSTMENT), also below zero; the warning threshold stays. A replay returns the first result.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another adjustment.
        RequestRefused: the balance would become more than the books can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "adjust a balance")
    movement = Movement(
        asked.account_id, asked.payer, TransactionType.ADJUSTMENT, asked.amount, ReferenceType.ADJUSTMENT, asked.reason, asked.by, asked.key
    )
    with database.transaction() as connection:
        return move_one(connection, present_settings(connection, asked.mandate_id), ADJUST, asked, movement)
