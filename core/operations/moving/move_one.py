"""A request that is one movement of one balance, from its key to its result."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from core.domain.request import Request, RowId
from core.domain.settings import BillingSettings
from core.operations.moving.accounts import locked_accounts
from core.operations.moving.move import move
from core.operations.moving.once import once
from core.operations.moving.result import MovementResult, result_of
from core.storage.movements import Movement
from core.storage.operation_keys import Operation


class OneMovement(Request):
    """A request about `account_id`; `balance_account_id` is the account whose balance moves, where that is another one."""

    account_id: RowId | None = None
    balance_account_id: RowId | None = None

    @property
    def payer(self) -> int:
        """The account whose balance moves."""
        account_id = self.balance_account_id or self.account_id
        assert account_id is not None, "a movement names an account by now"
        return account_id

    def content(self) -> dict[str, Any]:
        """As ever; naming the account itself as the one whose balance moves says no more than leaving it out."""
        content = super().content()
        return {**content, "balance_account_id": None} if self.payer == self.account_id else content

    def earlier_contents(self) -> list[Mapping[str, Any]]:
        """What an earlier version made of the same request, where it was spelled differently."""
        return [{**self.content(), "balance_account_id": self.payer}] if self.payer == self.account_id else []


def move_one(connection: Connection, settings: BillingSettings, operation: str, asked: OneMovement, movement: Movement) -> MovementResult:
    """Makes the movement that `asked` came to, once for its key. A replay returns the first result.

    Args:
        connection: of the caller's transaction.
        settings: of the mandate, which can't change before the transaction ends.
        operation: the name of what is asked for.
        asked: with its account.
        movement: what it came to.

    Raises:
        NotFound: the mandate has no such account.
        Conflict: the key was used for another request of this operation.
        RequestRefused: the balance would become more than the books can hold.
    """

    def moved() -> MovementResult:
        accounts = locked_accounts(connection, asked.mandate_id, {movement.account_id, asked.payer})
        return result_of(movement, move(connection, [movement], accounts, settings), asked.mandate_id)

    named = Operation(asked.mandate_id, operation, asked.key, asked.content(), tuple(asked.earlier_contents()))
    return once(connection, named, MovementResult, moved)
