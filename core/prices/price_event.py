"""How an event is priced: by the one call that recording, corrections and checks make."""

from decimal import Decimal
from functools import lru_cache
from typing import cast

import msgspec

from core.dialects.all import DIALECTS
from core.dialects.model import Call, Leaf, NotRead, Reading, UsageDialect
from core.events.model import CallFacts, UsageEvent
from core.money import quantize_price
from core.prices.book import Prices
from core.prices.model import Mode, PricedCall, Rated, StampContent, StampKind, Unpriced, UnpricedReason
from core.prices.rate import rate
from core.printable import shown

GIVEN = StampContent(StampKind.GIVEN)
_NOTHING_TOLD = CallFacts()


class Pricing(msgspec.Struct, frozen=True, gc=False):
    """How an event is priced under the mode of its mandate.

    Attributes:
        mode: at the time of the event.
        reading: what its usage object says; None where it has none, or none that its dialect reads.
        rated: the computed price; None under `given`, and where there is none.
        unpriced: why it could not be computed; under `given`, why its usage object could not be read.
    """

    mode: Mode
    reading: Reading | None
    rated: Rated | None
    unpriced: Unpriced | None

    @property
    def leaves(self) -> str | None:
        """What was used, by class, as a debit keeps it: `input=328,output=52`. None: nothing was, or nobody knows what."""
        return None if self.reading is None else leaves_text(self.reading)


def price_event(event: UsageEvent, prices: Prices) -> Pricing:
    """Reads the usage object of an event and computes its price where its mandate's mode asks for it. Pure; never raises."""
    mode = prices.mode(event.mandate_id, event.occurred_at)
    reading = None
    if event.raw_usage is not None:
        read = read_event(event)
        if type(read) is Unpriced:
            return Pricing(mode, None, None, read)
        reading = cast("Reading", read)
    if mode is Mode.GIVEN:
        return Pricing(mode, reading, None, None)
    rated = rate(priced_call(event, reading), prices)
    return Pricing(mode, reading, rated, None) if type(rated) is Rated else Pricing(mode, reading, None, cast("Unpriced", rated))


def priced_by_operator(event: UsageEvent, price: Decimal) -> Pricing:
    """An event that an operator has said the price of (CHF), as it is billed under `computed`; its usage is read as far as it can be."""
    read = read_event(event)
    rated = Rated(quantize_price(price), None, None, StampContent(StampKind.OPERATOR))
    return Pricing(Mode.COMPUTED, None if isinstance(read, Unpriced) else read, rated, None)


def read_event(event: UsageEvent) -> Reading | Unpriced | None:
    """What the usage object of an event says, or why its dialect doesn't read it; None where it has none."""
    call = event.call
    if event.raw_usage is None or call is None or call.usage_dialect is None:
        return None
    try:
        reading = DIALECTS[cast("UsageDialect", call.usage_dialect)].read(event.raw_usage.decoded(), Call(event.provider, event.model))
    except NotRead as refused:
        return Unpriced(UnpricedReason(refused.reason.value), refused.detail)
    cost = call.reported_cost
    if cost is not None and reading.cost is not None and (cost.amount, cost.currency) != tuple(reading.cost):
        told = f"{reading.cost.amount} {reading.cost.currency}"
        detail = f"reported_cost is {cost.amount} {shown(cost.currency)}, the usage object says {told}"
        return Unpriced(UnpricedReason.USAGE_CONTRADICTION, detail)
    return reading


def priced_call(event: UsageEvent, reading: Reading | None) -> PricedCall:
    """What the price of an event depends on."""
    call = event.call or _NOTHING_TOLD
    dialect = None if reading is None else call.usage_dialect
    return PricedCall(
        event.mandate_id,
        event.occurred_at,
        reading,
        call.usage_basis,
        event.provider,
        event.model,
        call.region_scope,
        call.service_tier,
        call.processing,
        call.speed,
        call.outcome,
        dialect,
        None if dialect is None else DIALECTS[cast("UsageDialect", dialect)].version,
    )


def leaves_text(reading: Reading) -> str | None:
    """The leaves above 0, in the order of `Leaf`; None where there are none."""
    leaves = reading.leaves
    return ",".join([f"{name}{leaves[leaf]}" for leaf, name in _ordered(tuple(leaves)) if leaves[leaf]]) or None


@lru_cache(maxsize=4096)
def _ordered(leaves: tuple[Leaf, ...]) -> list[tuple[Leaf, str]]:
    return [(leaf, f"{leaf.value}=") for leaf in Leaf if leaf in leaves]
