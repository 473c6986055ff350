"""What a source offers for the price book, whatever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from core.money import EXACT
from core.prices.content import PER, PLACES
from core.prices.model import PriceRow


class NotExpressed(NamedTuple):
    """What no row can say: of which model, and why."""

    provider: str
    model: str
    reason: str
    detail: str


class Converted(NamedTuple):
    """An amount that was stated for another number than rows are for."""

    provider: str
    model: str
    leaf: str
    stated: str
    taken: str
    rounded: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """Rows that a source offers.

    Attributes:
        source: its name and version, or its file.
        source_hash: SHA-256 of what was read, in hexadecimal.
        rows: with id 0.
        defaults: {provider: {dimension: value}}, what stands for a dimension that an event doesn't tell.
        covered: providers of whose list prices it tells all, so that what it lacks is gone.
        refused: what it holds and no row can say.
        converted: what was converted.
        lines: of each row the line that it came from, where there are lines.
    """

    source: str
    source_hash: str
    rows: Sequence[PriceRow]
    defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    covered: frozenset[str] = frozenset()
    refused: Sequence[NotExpressed] = ()
    converted: Sequence[Converted] = ()
    lines: Sequence[int] = ()


def converted_amount(amount: Decimal, per: int) -> tuple[Decimal, int, bool]:
    """An amount per any number as one per 1, 1,000 or 1,000,000; the last says whether it was rounded (half-even, twelve places).

    Where it is exact per a smaller one of these, that is taken.
    """
    for unit in PER:
        stated = EXACT.divide(EXACT.multiply(amount, Decimal(unit)), Decimal(per))
        taken = EXACT.quantize(stated, PLACES)
        if EXACT.multiply(taken, Decimal(per)) == EXACT.multiply(amount, Decimal(unit)):
            return taken, unit, False
    return taken, unit, True
