"""Settling an event that can't be priced: it is recorded at a price that an operator says, for a reason."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.once import once
from core.asking.request import Asked, By, Reason
from core.asking.rights import Actor, require_root
from core.asking.sql import Operation
from core.config import Configuration
from core.database.database import Database
from core.database.locks import share_mandates
from core.errors import Conflict, NotFound, RequestRefused, StorageUnavailable
from core.events.contract import Id, Price, RecordedEventId
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import BatchKind
from core.ledger.sql.event_keys import find_keys
from core.printable import shown
from core.recording.batch import settle_batch
from core.recording.delivery import Delivery, read_events
from core.recording.settle import settle
from core.recording.sql.parked_events import ParkedEvent, find_parked

OPERATION = "settle_parked"  # its key is the event's id: an event is settled once


class Settlement(Asked):
    """What a parked event is to cost in CHF, read as a producer's price is; why, and who says so."""

    mandate_id: Id
    event_id: RecordedEventId
    price_chf: Price
    reason: Reason
    by: By

    @property
    def operation(self) -> Operation:
        """The one settlement of the event; who says so is no part of what is said."""
        return Operation(self.mandate_id, OPERATION, self.event_id, {"price_chf": format(self.price_chf, "f"), "reason": self.reason})


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """The debit that a parked event became, its price in CHF, why it had been parked, and what the operator said."""

    mandate_id: str
    event_id: str
    transaction_id: int
    amount: Decimal
    parked_for: str
    reason: str
    by: str
    repeated: bool = False


def settle_parked(database: Database, actor: Actor, asked: Settlement, *, config: Configuration, worker: str) -> SettledEvent:
    """Records an event that waits for a price at this one, as a release does: its key, balance, alerts and batch follow the same rules.

    Its stamp is of kind OPERATOR; who said it and why stays under the operation `settle_parked` with the event's id as key. Done once:
    a replay returns the first result.

    Raises:
        NotFound: no such event is parked.
        Conflict: it was settled at another price or for another reason, or is recorded already.
        RequestRefused: it waits for its mandate, not for a price, or can't be read.
        StorageUnavailable: the database can't answer now, or the event is just being released; call again.
    """
    require_root(actor, "settle a parked event")
    with database.transaction() as connection:
        share_mandates(connection, [asked.mandate_id])
        return once(connection, asked.operation, SettledEvent, lambda: _settled(connection, asked, config, worker))


def _settled(connection: Connection, asked: Settlement, config: Configuration, worker: str) -> SettledEvent:
    parked = _waiting(connection, asked)
    (delivery,) = read_events([parked.raw])
    if delivery.event is None:
        raise RequestRefused(f"event {shown(asked.event_id)} can't be read: {delivery.rejection}", field="event_id", value=asked.event_id)
    delivery.key, delivery.operator_price = parked.key, asked.price_chf
    written = settle_batch(
        connection,
        [delivery],
        settle,
        config=config,
        known_accounts=KnownAccounts(),
        worker=worker,
        kind=BatchKind.RELEASE,
    )
    _require_recorded(delivery, asked)
    (transaction_id,) = written.transaction_ids
    return SettledEvent(asked.mandate_id, asked.event_id, transaction_id, asked.price_chf, parked.reason, asked.reason, asked.by)


def _waiting(connection: Connection, asked: Settlement) -> ParkedEvent:
    key = asked.mandate_id, asked.event_id
    named = f"event {shown(asked.event_id)} of mandate {shown(asked.mandate_id)}"
    parked = find_parked(connection, [key]).get(key)
    if parked is None:
        if recorded := find_keys(connection, [key]).get(key):
            raise Conflict(
                f"{named} is recorded already (transaction {recorded.transaction_id})",
                field="event_id",
                value=asked.event_id,
            )
        raise NotFound(f"{named} is not parked", field="event_id", value=asked.event_id)
    if not parked.priced_under:
        raise RequestRefused(f"{named} waits for its mandate ({parked.reason}), not for a price", field="event_id", value=asked.event_id)
    return parked


def _require_recorded(delivery: Delivery, asked: Settlement) -> None:
    """Returns if it is the event that was recorded now; whatever else was written is taken back by the error."""
    if delivery.left:
        raise StorageUnavailable(f"event {shown(asked.event_id)} is being released in this moment, or its mandate isn't known any more")
    if delivery.outcome is not Outcome.RECORDED:
        detail = "" if delivery.rejection is None else f": {delivery.rejection}"
        raise Conflict(f"event {shown(asked.event_id)} would be {delivery.outcome}{detail}", field="event_id", value=asked.event_id)
