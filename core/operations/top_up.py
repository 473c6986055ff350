"""Topping up: a payment lifts a balance."""

from core.domain.billing import ReferenceType, TransactionType
from core.domain.request import PositiveAmount, Reason
from core.domain.rights import Actor, require_root
from core.operations.moving.accounts import present_settings
from core.operations.moving.move_one import OneMovement, move_one
from core.operations.moving.result import MovementResult
from core.operations.open_account import opened_pool
from core.storage.database import Database
from core.storage.movements import Movement
from core.storage.operation_keys import hold_key

TOP_UP = "top_up"


class TopUp(OneMovement):
    """A payment to be credited: CHF above 0, exact to nine decimal places, under the payment's number as key, for example.

    It is about `account_id`, without which it is about the mandate's pool; `balance_account_id` is the account whose balance is
    lifted, where that is another one.
    """

    amount: PositiveAmount
    description: Reason = "Top-up"


def top_up(database: Database, actor: Actor, asked: TopUp) -> MovementResult:
    """Credits the payment (CREDIT, PAYMENT) and sets the warning threshold anew. A replay returns the first result.

    One of a mandate opens its pool where the model has one and it isn't there yet.

    Raises:
        Forbidden: the actor is not root.
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another top-up.
        RequestRefused: the balance would become more than the books can hold; or no account is named and the mandate has no pool.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    require_root(actor, "top up a balance")
    with database.transaction() as connection:
        settings = present_settings(connection, asked.mandate_id)
        account_id = asked.account_id
        if account_id is None:  # the key is held first, so that who asks for the same at the same time finds the pool that was opened
            hold_key(connection, asked.mandate_id, TOP_UP, asked.key)
            account_id, _ = opened_pool(connection, settings)
            asked = asked.model_copy(update={"account_id": account_id})
        movement = Movement(
            account_id, asked.payer, TransactionType.CREDIT, asked.amount, ReferenceType.PAYMENT, asked.description, asked.by, asked.key
        )
        return move_one(connection, settings, TOP_UP, asked, movement)
