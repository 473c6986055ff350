"""What an event is billed, and how that came about, as its debit keeps it."""

from decimal import Decimal

import msgspec

GIVEN_STAMP = 1  # the stamp of every price as it was given


class Priced(msgspec.Struct, frozen=True, gc=False):
    """The amount of a debit in CHF, and what stands beside it.

    Attributes:
        amount: what is billed.
        stamp_id: what it was computed from; None for an event of version 1 as it was given, whose amount is the price given.
        computed: the price that would have been computed, where the given one is billed (mode `shadow`).
        provider_cost: what the provider charges, in `provider_currency`.
        leaves: what was used, by class: `input=328,output=52`, those above 0 in the order of `Leaf`.
        unpriced: why no price could be computed, where the given one is billed.
    """

    amount: Decimal
    stamp_id: int | None = None
    computed: Decimal | None = None
    provider_cost: Decimal | None = None
    provider_currency: str | None = None
    leaves: str | None = None
    unpriced: str | None = None
