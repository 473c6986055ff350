"""A ledger entry before it is written."""

from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from core.billing import TransactionType
from core.events.model import UsageEvent
from core.ledger.kinds import EntryKind
from core.ledger.priced import Priced
from core.settings.model import BillingSettings


class Entry(NamedTuple):
    """A ledger entry to be: `amount` in CHF, not negative for CREDIT and DEBIT, signed for ADJUSTMENT. Texts hold no control characters."""

    settings: BillingSettings  # of its mandate, under which it is made
    kind: EntryKind
    account_id: int  # whom it is about
    balance_account_id: int | None  # whose balance it moves
    amount: Decimal
    description: str
    by: str | None
    key: str  # under which it was asked for
    reverses_id: int | None = None
    event: UsageEvent | None = None  # whose debit it is
    priced: Priced | None = None  # what the event is billed, and how that came about
    local_date: date | None = None  # None: that of its time, in the mandate's present zone
    occurred_at: datetime | None = None  # None: as the event says, or now
    id: int | None = None  # None: the next one

    @property
    def delta(self) -> Decimal:
        """What it adds to its balance account, in CHF."""
        return -self.amount if self.kind.transaction_type is TransactionType.DEBIT else self.amount
