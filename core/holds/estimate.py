"""What a call is expected to cost: the price of its estimated usage, by the version of the price book that is active."""

from datetime import datetime

from core.dialects.canonical import DIALECT
from core.dialects.model import Call
from core.holds.question import HoldQuestion
from core.prices.book import Prices
from core.prices.model import PricedCall, Rated, Unpriced
from core.prices.rate import rate


def estimated(asked: HoldQuestion, prices: Prices, now: datetime) -> Rated | Unpriced:
    """The price of the usage that the question estimates, as if it had happened `now` (aware, UTC), or why there is none. Pure."""
    counts = {leaf.value: count for leaf, count in (asked.estimated_usage or {}).items()}
    return rate(
        PricedCall(
            asked.mandate_id,
            now,
            DIALECT.read(counts, Call(asked.provider, asked.model)),
            None,
            asked.provider,
            asked.model,
            region_scope=asked.region_scope,
            service_tier=asked.service_tier,
            processing=asked.processing,
            speed=asked.speed,
            dialect=DIALECT.name,
            dialect_version=DIALECT.version,
        ),
        prices,
    )
