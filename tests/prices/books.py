"""Price books and calls for tests: what isn't named is the plain case."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from core.dialects.model import Leaf, Reading
from core.prices.book import Prices
from core.prices.model import Boundary, FxRate, Layer, PricedCall, PriceRow, Rated, SaleRule, Unpriced
from core.prices.rate import rate

PLAIN = {"region_scope": "global", "service_tier": "standard", "processing": "interactive", "speed": "standard"}
DEFAULTS = {"openai": PLAIN, "xai": PLAIN}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USD = FxRate(901, "USD", date(2026, 11, 19), Decimal("0.8"))
TEN_PERCENT = SaleRule(801, None, 0, None, None, Decimal(10), None, None, None)
NO_MARKUP = SaleRule(800, None, 0, None, None, Decimal(0), None, None, None)
_ids = count(1_000)


def row(leaf: str, amount: str, **other: Any) -> PriceRow:
    """A row of the list of openai's gpt-6 in USD for a million, for all tiers, times and plain dimensions."""
    plain: dict[str, Any] = {
        "id": next(_ids),
        "layer": Layer.LIST,
        "mandate_id": "",
        "book": "",
        "provider": "openai",
        "model": "gpt-6",
        **PLAIN,
        "from_tokens": None,
        "boundary": None,
        "per": 1_000_000,
        "currency": "USD",
        "valid_from": None,
        "valid_to": None,
    }
    return PriceRow(leaf=Leaf(leaf), amount=Decimal(amount), **(plain | other))


def tiers(leaf: str, low: str, high: str, threshold: int, boundary: Boundary, **other: Any) -> Iterator[PriceRow]:
    """Two rows of a leaf: from 0, and beyond a threshold."""
    yield row(leaf, low, from_tokens=0, boundary=Boundary.FROM, **other)
    yield row(leaf, high, from_tokens=threshold, boundary=boundary, **other)


def call(leaves: Mapping[str, int] | None, **other: Any) -> PricedCall:
    """A completed call of gpt-6 at noon that used these leaves; `told` and `unmapped` are the usage object's."""
    told, unmapped = other.pop("told", {}), other.pop("unmapped", ())
    plain: dict[str, Any] = {
        "mandate_id": "acme",
        "occurred_at": NOON,
        "usage_basis": "reported",
        "provider": "openai",
        "model": "gpt-6",
        "outcome": "completed",
        "dialect": "openai.responses",
        "dialect_version": 3,
    }
    reading = None if leaves is None else Reading({Leaf(leaf): number for leaf, number in leaves.items()}, unmapped, told)
    return PricedCall(reading=reading, **(plain | other))


def book(rows: Sequence[PriceRow], **other: Any) -> Prices:
    """A version 7 with these rows, a rate of 0.8 CHF for noon's USD and a markup of 10 % for all."""
    plain: dict[str, Any] = {"fx": [USD], "rules": [TEN_PERCENT], "defaults": DEFAULTS, "version_id": 7, "revision": 12}
    return Prices(rows=rows, **(plain | other))


def rated(call: PricedCall, prices: Prices) -> Rated:
    """What the call is rated at; it must be."""
    result = rate(call, prices)
    assert isinstance(result, Rated), result
    return result


def paid(call: PricedCall, prices: Prices) -> str:
    """What is paid for the call, as the books write it."""
    return format(rated(call, prices).price, "f")


def cost(call: PricedCall, prices: Prices) -> str:
    """What the provider takes for the call, as the books write it."""
    return format(rated(call, prices).provider_cost or Decimal("NaN"), "f")


def refused(call: PricedCall, prices: Prices) -> tuple[str, str]:
    """Why the call has no price, and the detail; it must have none."""
    result = rate(call, prices)
    assert isinstance(result, Unpriced), result
    return result.reason.value, result.detail
