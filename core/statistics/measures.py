"""What was used by class, and what it cost at the provider: totals of leaves, and of provider cost by currency."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from core.dialects.leaves import in_order
from core.dialects.model import Leaf
from core.ledger.sql.measured import PROVIDER_COST
from core.money import EXACT

# As columns: one for each leaf, and the provider's cost where it is in one currency, beside the costs in all.
LEAF_COLUMNS = tuple(f"leaf_{leaf}" for leaf in Leaf)
COST_COLUMNS = ("provider_cost", "provider_currency", "provider_costs")


class Measure(NamedTuple):
    """A total: of a leaf, or of what a provider charges in a currency."""

    measure: str
    currency: str
    total: Decimal


@dataclass(frozen=True, slots=True)
class Measured:
    """Totals above and below 0: `leaves` in the order of `Leaf`, `provider_cost` by currency."""

    leaves: dict[str, int] = field(default_factory=dict)
    provider_cost: dict[str, Decimal] = field(default_factory=dict)


def measured(totals: Iterable[Measure]) -> Measured:
    """What these totals come to; those of one measure and currency are added up."""
    leaves: dict[str, int] = defaultdict(int)
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for measure, currency, total in totals:
        if measure == PROVIDER_COST:
            costs[currency] = EXACT.add(costs[currency], total)
        else:
            leaves[measure] += int(total)
    return Measured(in_order(leaves), {currency: costs[currency] for currency in sorted(costs) if costs[currency]})


def measured_of(text: str | None) -> Measured:
    """What a list as core/ledger/sql/measured.py has it comes to: `input=328,provider_cost:USD=0.00042`."""
    totals = []
    for one in text.split(",") if text else ():
        name, _, total = one.partition("=")
        measure, _, currency = name.partition(":")
        totals.append(Measure(measure, currency, Decimal(total)))
    return measured(totals)


def added_up(parts: Iterable[tuple[dict[str, int], dict[str, Decimal]]]) -> Measured:
    """The sum of leaves and provider costs."""
    kept = list(parts)
    leaves = [Measure(leaf, "", Decimal(count)) for one, _ in kept for leaf, count in one.items()]
    return measured(leaves + [Measure(PROVIDER_COST, currency, cost) for _, one in kept for currency, cost in one.items()])


def leaf_values(leaves: Mapping[str, int]) -> tuple[Decimal | None, ...]:
    """A value for each of `LEAF_COLUMNS`; none where nothing of it was used."""
    return tuple(Decimal(leaves[leaf]) if leaf in leaves else None for leaf in Leaf)


def cost_values(costs: Mapping[str, Decimal]) -> tuple[Decimal | None, str | None, str | None]:
    """A value for each of `COST_COLUMNS`: amount and currency of the one that there is, and all of them as a text."""
    ((currency, cost),) = costs.items() if len(costs) == 1 else ((None, None),)
    return cost, currency, ", ".join(f"{cost:f} {currency}" for currency, cost in costs.items()) or None
