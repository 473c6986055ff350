"""What stands on debits: prices with the stamps that tell where they come from."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from core.errors import RequestRefused
from core.events.model import UsageEvent
from core.ledger.priced import GIVEN_STAMP, Priced
from core.prices.book import Prices
from core.prices.model import Mode
from core.prices.price_event import Pricing, price_event
from core.prices.sql.stamps import stamp_ids
from core.printable import shown


def billed(connection: Connection, events: Sequence[UsageEvent], pricings: Iterable[Pricing | None]) -> list[Priced | None]:
    """What each event is billed; stamps that are new are kept. None: an event of version 1, billed what was given.

    None of them is without the price that its mode bills.
    """
    priced = list(pricings)
    # Ratings share their stamps: there are few, however many events.
    stamps = {id(p.rated.stamp): p.rated.stamp for p in priced if p is not None and p.rated is not None}
    found = stamp_ids(connection, set(stamps.values()))
    ids = {key: found[stamp] for key, stamp in stamps.items()}
    return [None if pricing is None else _billed(event, pricing, ids) for event, pricing in zip(events, priced, strict=True)]


def billed_alone(connection: Connection, event: UsageEvent, prices: Prices) -> Priced:
    """What one event is billed that an operator has decided about.

    Raises:
        RequestRefused: it has no price, given or computed, as the mode of its mandate asks for.
    """
    pricing = price_event(event, prices)
    if pricing.mode is Mode.COMPUTED and pricing.rated is None:
        assert pricing.unpriced is not None
        raise RequestRefused(f"event {shown(event.event_id)} has no price: {pricing.unpriced.reason}: {pricing.unpriced.detail}")
    if pricing.mode is not Mode.COMPUTED and event.price_chf is None:
        raise RequestRefused(f"event {shown(event.event_id)} has no price_chf, and its mandate is billed the prices that are given")
    (one,) = billed(connection, [event], [None if pricing.mode is Mode.GIVEN and event.version == 1 else pricing])
    if one is not None:
        return one
    assert event.price_chf is not None
    return Priced(event.price_chf)


def _billed(event: UsageEvent, pricing: Pricing, ids: dict[int, int]) -> Priced:
    given, rated, unpriced = event.price_chf, pricing.rated, pricing.unpriced
    if rated is None:
        assert given is not None
        return Priced(given, GIVEN_STAMP, leaves=pricing.leaves, unpriced=None if unpriced is None else unpriced.reason.value)
    amount, computed = (rated.price, None) if pricing.mode is Mode.COMPUTED else (given, rated.price)
    assert amount is not None
    return Priced(amount, ids[id(rated.stamp)], computed, rated.provider_cost, rated.currency, pricing.leaves)
