"""What a movement of one balance came to."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.operations.moving.move import Moved
from core.storage.movements import Movement


@dataclass(frozen=True, slots=True)
class MovementResult:
    """One ledger entry and the balance right after it; amounts in CHF. Without balance account it moved none."""

    mandate_id: str
    transaction_id: int
    account_id: int
    balance_account_id: int | None
    amount: Decimal
    balance: Decimal | None
    warning_threshold: Decimal | None
    recorded_at: datetime
    repeated: bool = False


def result_of(movement: Movement, moved: Moved, mandate_id: str) -> MovementResult:
    """The result of a request that made one movement."""
    payer = None if movement.balance_account_id is None else moved.accounts[movement.balance_account_id]
    return MovementResult(
        mandate_id,
        moved.transaction_ids[0],
        movement.account_id,
        movement.balance_account_id,
        movement.amount,
        payer.balance if payer else None,
        payer.warning_threshold if payer else None,
        moved.recorded_at,
    )
