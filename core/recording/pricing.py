"""How the events of a batch are priced, before anything is decided about them."""

from collections.abc import Container, Iterable

from core.ledger.sql.event_keys import EventKey
from core.prices.model import Mode
from core.prices.price_event import price_event, priced_by_operator
from core.printable import shown
from core.recording.delivery import Delivery
from core.recording.work import Work
from core.rejection import Reason, Rejection


def price(work: Work, deliveries: Iterable[Delivery], unknown: Container[str]) -> set[EventKey]:
    """Prices each delivery of a mandate that isn't `unknown` by the mode of its mandate; one that has no price to bill gets a defect.

    What an event of version 1 is billed under `given` needs no pricing: it is what was given. Returns the keys of those that can't be
    billed, or not in this moment, as they stand: what is known under such a key already decides first.
    """
    doubtful = set()
    mode, all_given = work.prices.mode, not work.prices.has_modes
    for delivery in deliveries:
        event = delivery.event
        assert event is not None
        if delivery.late or delivery.defect is not None:
            doubtful.add(delivery.key)
        if all_given and delivery.hash_version == 1 and delivery.operator_price is None:
            continue
        if event.mandate_id in unknown:
            continue
        if delivery.operator_price is not None:
            delivery.pricing = priced_by_operator(event, delivery.operator_price)
            continue
        if delivery.hash_version == 1 and mode(event.mandate_id, event.occurred_at) is Mode.GIVEN:
            continue
        delivery.pricing = pricing = price_event(event, work.prices)
        if event.price_chf is None and pricing.mode is not Mode.COMPUTED:
            missing = f"price_chf is missing: mandate {shown(event.mandate_id)} is billed the prices that are given (mode {pricing.mode})"
            delivery.defect = delivery.defect or Rejection(Reason.MISSING_FIELD, missing)
        if delivery.defect is not None or is_suspended(delivery):
            doubtful.add(delivery.key)
    return doubtful


def is_suspended(delivery: Delivery) -> bool:
    """Whether its mandate pays computed prices, and it has none."""
    pricing = delivery.pricing
    return pricing is not None and pricing.mode is Mode.COMPUTED and pricing.rated is None
