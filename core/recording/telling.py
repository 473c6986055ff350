"""What a batch leaves for producers: which of their numbers came, and what they are to be told of events that aren't recorded."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from sqlalchemy import Connection

from core.billing import ToldOutcome
from core.config import Configuration
from core.events.outcome import Outcome
from core.ledger.sql.batches import BatchKind
from core.metrics import OUTCOMES_TOLD
from core.outcomes.sql.outbox import ToTell, add_outcomes
from core.producers.model import Number
from core.producers.sql.ranges import append_numbers
from core.recording.delivery import Delivery

_TOLD = frozenset((Outcome.REJECTED, Outcome.CONFLICT, Outcome.PARKED))


def leave_for_producers(connection: Connection, deliveries: Iterable[Delivery], config: Configuration, kind: BatchKind) -> int:
    """Writes both; returns for how many outcomes there was no room. Deliveries without a number, from who wants to be told nothing, leave nothing.

    What was parked or a dead letter came long before: a producer that was forgotten since isn't one again, all of whose other numbers are missing.
    """
    numbers: list[Number] = []
    to_tell: list[Delivery] = []
    for delivery in deliveries:
        event, rejection = delivery.event, delivery.rejection
        if event is not None:
            call = event.call
            if call is not None and call.producer_id is not None and call.producer_seq is not None:
                numbers.append((call.producer_id, call.producer_seq))
        elif rejection is not None and rejection.numbered is not None:
            numbers.append(rejection.numbered)
        if delivery.raw.told_on is not None and delivery.outcome in _TOLD:
            to_tell.append(delivery)
    if numbers:
        append_numbers(connection, numbers, only_known=kind is not BatchKind.USAGE)
    return add_outcomes(connection, list(_outcomes(to_tell)), config.outcomes_queue_max) if to_tell else 0


def count_withheld(outcomes: int) -> None:
    """Counts what was not left for want of room, once it is committed."""
    if outcomes:
        OUTCOMES_TOLD.labels("withheld").inc(outcomes)


def _outcomes(deliveries: Iterable[Delivery]) -> Iterator[ToTell]:
    for delivery in deliveries:
        raw, rejection, event = delivery.raw, delivery.rejection, delivery.event
        assert raw.told_on is not None
        assert delivery.outcome is not None
        if rejection is not None:
            reason, detail, digest = rejection.reason.value, rejection.detail, sha256(raw.body).digest()
        else:
            reason, detail, digest = delivery.parked_for or "", _what_it_waits_for(delivery), None
        of = event or rejection
        assert of is not None
        yield ToTell(raw.told_on, ToldOutcome(delivery.outcome.value), reason, detail, of.mandate_id, of.event_id, digest)


def _what_it_waits_for(delivery: Delivery) -> str:
    if delivery.pricing is not None and delivery.pricing.unpriced is not None:
        return delivery.pricing.unpriced.detail
    return "its mandate is not known, or is disabled"
