"""What the steps of one recording transaction share."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from core.caps.sql.alerts import CapAlert
from core.config import Configuration
from core.ledger.opening import KnownAccounts
from core.ledger.sql.accounts import Holder
from core.ledger.sql.alerts import BalanceAlert
from core.ledger.sql.batches import Batch, BatchKind
from core.prices.book import Prices


@dataclass(frozen=True, slots=True)
class Work:
    """One recording transaction: where it writes, under which rules, and on which batch's account."""

    connection: Connection
    config: Configuration
    batch: Batch
    known_accounts: KnownAccounts
    prices: Prices  # of one revision, under which everything of the transaction is priced
    kind: BatchKind = BatchKind.USAGE
    hold_clock: datetime | None = None  # by which holds end; None: the database's own, as the batch began

    @property
    def batch_id(self) -> int:
        """See `Opening`."""
        return self.batch.id


@dataclass(slots=True)
class Settled:
    """What a settled part of a batch has written, valid once its transaction commits."""

    transaction_ids: list[int] = field(default_factory=list)
    accounts: dict[Holder, int] = field(default_factory=dict)
    unknown_users: int = 0
    without_room: dict[str, int] = field(default_factory=dict)  # by reason, the dead letters that only were counted
    untold: int = 0  # outcomes for which there was no room
    hold_events: Counter[str] = field(default_factory=Counter)  # of the debits that named a hold, how many were what
    balance_alerts: list[BalanceAlert] = field(default_factory=list)
    cap_alerts: list[CapAlert] = field(default_factory=list)  # some may have been told before

    def add(self, others: Iterable["Settled"]) -> "Settled":
        """This part and further ones together."""
        for other in others:
            self.transaction_ids += other.transaction_ids
            self.accounts |= other.accounts
            self.unknown_users += other.unknown_users
            self.hold_events += other.hold_events
            self.balance_alerts += other.balance_alerts
            self.cap_alerts += other.cap_alerts
        return self
