"""Topping up: a payment lifts a balance."""

from core.domain.billing import ReferenceType, TransactionType
from core.domain.request import PositiveAmount, Reason, Request, RowId
from core.domain.rights import Actor, require_root
from core.operations.moving.move_one import move_one
from core.operations.moving.result import MovementResult
from core.storage.database import Database
from core.storage.movements import Movement

TOP_UP = "top_up"


class TopUp(Request):
    """A payment to be credited: CHF above 0, exact to nine decimal places, under the payment's number as key, for example.

    It is about `account_id`; `balance_account_id` is the account whose balance is lifted, where that is another one.
    """

    account_id: RowId
    amount: PositiveAmount
    description: Reason = "Top-up"
    balance_account_id: RowId | None = None


def top_up(database: Database, actor: Actor, asked: TopUp) -> MovementResult:
    """Credits the payment (CREDIT, PAYMENT) and sets the warning threshold anew. A replay returns the first result.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another top-up.
        RequestRefused: the balance would become more than the books can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "top up a balance")
    payer = asked.balance_account_id or asked.account_id
    movement = Movement(asked.account_id, payer, TransactionType.CREDIT, asked.amount, ReferenceType.PAYMENT, asked.description, asked.by, asked.key)
    return move_one(database, TOP_UP, asked, movement)
