"""What a movement of one balance came to."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.ledger.entry import Entry
from core.ledger.post import Posted


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


def result_of(entry: Entry, posted: Posted) -> MovementResult:
    """The result of a request that made one entry."""
    payer = None if entry.balance_account_id is None else posted.accounts[entry.balance_account_id]
    return MovementResult(
        entry.settings.mandate_id,
        posted.transaction_ids[0],
        entry.account_id,
        entry.balance_account_id,
        entry.amount,
        payer.balance if payer else None,
        payer.warning_threshold if payer else None,
        posted.recorded_at,
    )
