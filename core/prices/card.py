"""A rate card: what every leaf of one model costs at one moment, by tier, in whole numbers."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from core.dialects.model import INPUT_LEAVES, Leaf
from core.money import EXACT
from core.prices.model import Boundary, Layer, PriceRow

PLACES = 18  # of an amount per one of a leaf: 12 of a row's amount, 6 of a million
_TIER_SHIFT = len(Leaf)
_BITS = {leaf: 1 << place for place, leaf in enumerate(Leaf)}
_INPUTS = frozenset(INPUT_LEAVES)
_RANKS = {layer: rank for rank, layer in enumerate(Layer)}


def holds(valid_from: datetime | None, valid_to: datetime | None, at: datetime) -> bool:
    """Whether `at` is in a validity: from its first moment to before its last; None is without end."""
    return (valid_from is None or valid_from <= at) and (valid_to is None or at < valid_to)


def scaled(value: Decimal, places: int) -> int:
    """`value` as a whole number of units of the last of `places`.

    Raises:
        ValueError: it has more places.
    """
    shifted = EXACT.scaleb(value, places)
    whole = int(shifted)
    if whole != shifted:
        raise ValueError(f"{value} has more than {places} places")
    return whole


def unit_rate(row: PriceRow) -> int:
    """What one of the row's leaf costs, exact, in units of 10⁻¹⁸ of its currency.

    Raises:
        ValueError: it has more than 18 places; the books hold no such row.
    """
    rate, rest = divmod(scaled(row.amount, PLACES), row.per)
    if rest:
        raise ValueError(f"row {row.id}: {row.amount} per {row.per} has more than {PLACES} places for one")
    return rate


class Tier:
    """The rows that price a call whose whole input is in one tier: those of that very tier and those for all."""

    __slots__ = ("contested", "rates", "request", "rows", "start")

    def __init__(self, number: int) -> None:
        self.start = number << _TIER_SHIFT
        self.rows: dict[Leaf, PriceRow] = {}
        self.rates: dict[Leaf, tuple[int, int]] = {}  # what one costs, and its bit in a mark
        self.contested: dict[Leaf, tuple[int, int]] = {}  # rows of which nobody can tell which holds
        self.request = (0, self.start)  # what every call begins with: its amount and mark

    def add(self, row: PriceRow) -> None:
        """Takes a row; a second one for the same leaf makes the leaf unpriceable instead of choosing."""
        other = self.rows.setdefault(row.leaf, row)
        if other is not row:
            self.contested[row.leaf] = (other.id, row.id)
            self.rates.pop(row.leaf, None)
        elif row.leaf not in self.contested:
            self.rates[row.leaf] = unit_rate(row), _BITS[row.leaf]


class Card:
    """What the leaves of one model cost, for one choice of its dimensions, as long as no row begins or ends."""

    __slots__ = ("_begins", "_charges_request", "_tiers", "name")

    def __init__(self, name: str, rows: Iterable[PriceRow]) -> None:
        """Compiles rows that hold now, all of one model and its dimensions; `name` is what details call it.

        Of each leaf only the rows of the first layer that has any belong to the card, and their thresholds are its tiers.
        """
        by_leaf: dict[Leaf, list[PriceRow]] = defaultdict(list)
        for row in rows:
            by_leaf[row.leaf].append(row)
        for leaf, own in by_leaf.items():
            first = min(_RANKS[row.layer] for row in own)
            by_leaf[leaf] = sorted((row for row in own if _RANKS[row.layer] == first), key=lambda row: row.id)
        chosen = [row for own in by_leaf.values() for row in own]
        self.name = name
        self._begins = tuple(sorted({begin for row in chosen if (begin := _begin(row)) is not None}))
        self._charges_request = Leaf.REQUEST in by_leaf
        self._tiers = tuple(self._tier(number, by_leaf) for number in range(len(self._begins) + 1))

    def _tier(self, number: int, by_leaf: Mapping[Leaf, list[PriceRow]]) -> Tier:
        tier = Tier(number)
        begin = self._begins[number - 1] if number else None
        for own in by_leaf.values():
            # "for all tiers" is what is not said of this one
            for row in [row for row in own if begin is not None and _begin(row) == begin] or [row for row in own if row.from_tokens is None]:
                tier.add(row)
        if Leaf.REQUEST in tier.rates:
            amount, bit = tier.rates[Leaf.REQUEST]
            tier.request = amount, tier.start | bit
        return tier

    def total(self, leaves: Mapping[Leaf, int]) -> tuple[int, int]:
        """What these leaves cost together, exact, in units of 10⁻¹⁸, and the mark of tier and rows that it took.

        Raises:
            KeyError: of a leaf above 0 that has no row in the tier of the whole input.
        """
        tier = self._tier_of(leaves) if self._begins else self._tiers[0]
        rates = tier.rates
        amount, mark = 0, tier.start
        if self._charges_request and Leaf.REQUEST not in leaves:  # one call is one request, unless the producer counts them
            if Leaf.REQUEST not in rates:
                raise KeyError(Leaf.REQUEST)
            amount, mark = tier.request
        for leaf, count in leaves.items():
            if count:
                rate, bit = rates[leaf]
                amount += count * rate
                mark |= bit
        return amount, mark

    def rows(self, mark: int) -> list[PriceRow]:
        """The rows that a mark stands for, in the order of the leaves."""
        tier = self._tiers[mark >> _TIER_SHIFT]
        return [tier.rows[leaf] for leaf, bit in _BITS.items() if mark & bit]

    def currency(self) -> str:
        """The currency of the oldest row: what nothing at all is counted in."""
        return min((row for tier in self._tiers for row in tier.rows.values()), key=lambda row: row.id).currency

    def lacking(self, leaf: str, leaves: Mapping[Leaf, int]) -> str:
        """Says which row is missing, or which two exclude each other, where `total` found none for `leaf`."""
        tier = self._tier_of(leaves)
        for known, (first, second) in tier.contested.items():
            if known == leaf:
                return f"rows {first} and {second} both price {leaf} of {self.name}"
        number = tier.start >> _TIER_SHIFT
        within = f" for a whole input from {self._begins[number - 1]}" if number else ""
        return f"no row prices {leaf} of {self.name}{within}"

    def _tier_of(self, leaves: Mapping[Leaf, int]) -> Tier:
        whole = 0
        for leaf, count in leaves.items():
            if leaf in _INPUTS:
                whole += count
        return self._tiers[bisect_right(self._begins, whole)]


def _begin(row: PriceRow) -> int | None:
    """The smallest whole input of the row's tier; None is for all tiers."""
    if row.from_tokens is None:
        return None
    return row.from_tokens + 1 if row.boundary == Boundary.ABOVE else row.from_tokens
