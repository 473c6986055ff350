"""SQL of movements: the ledger entries that are no usage, any number in one statement."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.domain.billing import ReferenceType, TransactionType
from core.domain.settings import BillingSettings
from core.storage.database import transaction_time
from core.storage.packing import packed, unpacked
from core.storage.transactions import next_transaction_ids
from core.storage.zones import local_day

_COLUMNS = {
    "id": "bigint",
    "account_id": "bigint",
    "balance_account_id": "bigint",
    "transaction_type": "text",
    "amount": "numeric",
    "reference_type": "text",
    "description": "text",
    "created_by_user_id": "text",
    "operation_key": "text",
    "reverses_id": "bigint",
}

_INSERT = text(f"""
    INSERT INTO transactions ({", ".join(_COLUMNS)}, mandate_id, occurred_at, recorded_at, local_date, settings_version, batch_id)
    SELECT {", ".join(f"m.{name}" for name in _COLUMNS)},
           :mandate_id, now(), now(), {local_day("now()", "CAST(:time_zone AS text)")}, :settings_version, :batch_id
      FROM unnest({", ".join(unpacked(name, kind) for name, kind in _COLUMNS.items())}) AS m({", ".join(_COLUMNS)})
     WHERE m.id IS NOT NULL
""")


class Movement(NamedTuple):
    """A ledger entry to be: `amount` in CHF, not negative for CREDIT and DEBIT, signed for ADJUSTMENT. Texts hold no control characters."""

    account_id: int
    balance_account_id: int | None
    transaction_type: TransactionType
    amount: Decimal
    reference_type: ReferenceType
    description: str
    created_by_user_id: str
    operation_key: str
    reverses_id: int | None = None

    @property
    def delta(self) -> Decimal:
        """What it adds to its balance account, in CHF."""
        return -self.amount if self.transaction_type is TransactionType.DEBIT else self.amount


def insert_movements(
    connection: Connection, movements: Sequence[Movement], settings: BillingSettings, batch_id: int | None
) -> tuple[list[int], datetime]:
    """Writes the movements of one mandate, happening now, in its local day; returns their ids in order, and `recorded_at` of them all."""
    ids = next_transaction_ids(connection, len(movements))
    columns = dict(zip(_COLUMNS, [ids, *zip(*movements, strict=True)], strict=True))
    connection.execute(
        _INSERT,
        {
            **{name: packed(values) for name, values in columns.items()},
            "mandate_id": settings.mandate_id,
            "time_zone": settings.time_zone,
            "settings_version": settings.version,
            "batch_id": batch_id,
        },
    )
    return ids, transaction_time(connection)
