"""A request that is one movement of one balance, from its key to its result."""

from core.domain.request import Request
from core.operations.moving.accounts import locked_accounts, present_settings
from core.operations.moving.move import move
from core.operations.moving.once import once
from core.operations.moving.result import MovementResult, result_of
from core.storage.database import Database
from core.storage.movements import Movement
from core.storage.operation_keys import Operation


def move_one(database: Database, operation: str, asked: Request, movement: Movement) -> MovementResult:
    """Makes the movement that `asked` came to, once for its key. A replay returns the first result.

    Raises:
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another request of this operation.
        RequestRefused: the balance would become more than the books can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    with database.transaction() as connection:
        settings = present_settings(connection, asked.mandate_id)

        def moved() -> MovementResult:
            wanted = {movement.account_id, movement.balance_account_id or movement.account_id}
            accounts = locked_accounts(connection, asked.mandate_id, wanted)
            return result_of(movement, move(connection, [movement], accounts, settings), asked.mandate_id)

        return once(connection, Operation(asked.mandate_id, operation, asked.key, asked.content()), MovementResult, moved)
