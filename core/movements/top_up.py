"""Topping up: a payment lifts a balance."""

from sqlalchemy import Connection

from core.asking.request import PositiveAmount, Reason
from core.ledger.kinds import TOP_UP
from core.movements.move_one import OneMovement, move_one
from core.movements.movement import movement, under_key
from core.movements.open_account import opened_pool
from core.movements.result import MovementResult
from core.settings.model import BillingSettings


class TopUp(OneMovement):
    """A payment to be credited: CHF above 0, exact to nine decimal places, under the payment's number as key, for example.

    It is about `account_id`, without which it is about the mandate's pool; `balance_account_id` is the account whose balance is
    lifted, where that is another one.
    """

    amount: PositiveAmount
    description: Reason = "Top-up"


def _of_pool(connection: Connection, settings: BillingSettings, asked: TopUp) -> TopUp:
    if asked.account_id is not None:
        return asked
    return asked.model_copy(update={"account_id": opened_pool(connection, settings)[0]})


@movement("movement.top_up", "top up a balance")
@under_key(named=_of_pool)
def top_up(connection: Connection, settings: BillingSettings, asked: TopUp) -> MovementResult:
    """Credits the payment (CREDIT, PAYMENT) and sets the warning threshold anew. A replay returns the first result.

    One of a mandate opens its pool where the model has one and it isn't there yet.

    Raises:
        NotFound: the mandate has no such account.
        RequestRefused: the balance would become more than the books can hold; or no account is named and the mandate has no pool.
    """
    return move_one(connection, settings, asked, TOP_UP, asked.amount, asked.description)
