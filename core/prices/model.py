"""Prices, exchange rates and sale rules as they are rated by, and what rating comes to."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from core.dialects.model import Leaf, Reading

RATER_VERSION = 1


class Layer(StrEnum):
    """Who a row comes from; the first layer that has a row for a leaf decides. SALE rows are no costs: a sale rule names their book."""

    MANDATE = "mandate"  # a contract for one mandate
    OPERATOR = "operator"  # the operator's own contract
    LIST = "list"  # as the provider publishes it; imports write only these
    SALE = "sale"  # what is asked for, in CHF


class Mode(StrEnum):
    """Which price a mandate pays."""

    GIVEN = "given"  # the producer's
    SHADOW = "shadow"  # the producer's; the computed one stands beside it
    COMPUTED = "computed"


class UnpricedReason(StrEnum):
    """Why an event has no computed price."""

    UNPRICED_MODEL = "unpriced_model"
    UNPRICED_CLASS = "unpriced_class"
    UNKNOWN_TIER = "unknown_tier"
    NO_FX = "no_fx"
    NO_RULE = "no_rule"
    NO_USAGE = "no_usage"
    USAGE_CONTRADICTION = "usage_contradiction"
    MULTI_MODEL = "multi_model"


class Boundary(StrEnum):
    """Whether the input that a tier begins at belongs to it."""

    ABOVE = ">"
    FROM = ">="


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one leaf costs. No field is a pattern: everything is compared as it stands.

    `amount` (at most 12 places) is in `currency` for `per` (1, 1,000 or 1,000,000) of the leaf; `from_tokens` None is for all tiers, else
    the row is for calls whose whole input is beyond it as `boundary` says; it holds from `valid_from` (aware, None: always) to before
    `valid_to`.
    """

    id: int
    layer: Layer
    mandate_id: str  # empty but for the layer MANDATE
    book: str  # empty but for the layer SALE
    provider: str
    model: str
    region_scope: str
    service_tier: str
    processing: str
    speed: str
    leaf: Leaf
    from_tokens: int | None
    boundary: Boundary | None
    amount: Decimal
    per: int
    currency: str
    valid_from: datetime | None
    valid_to: datetime | None
    basis: str = ""  # documented, observed, contract, list …
    source: str = ""  # where it is said, such as a URL


class Alias(NamedTuple):
    """Another name of a model, exact, for a time."""

    id: int
    provider: str
    alias: str
    model: str
    valid_from: datetime | None
    valid_to: datetime | None


class FxRate(NamedTuple):
    """What one unit of `currency` is worth in CHF (12 places) by the rate of `on`: used for what happens after that UTC date."""

    id: int
    currency: str
    on: date
    rate: Decimal


class SaleRule(NamedTuple):
    """What a mandate pays: a markup on the provider cost, or the rows of a SALE book.

    The most specific rule decides: the mandate's own before those of all (`mandate_id` None), then the highest priority.
    """

    id: int
    mandate_id: str | None
    priority: int
    provider: str | None  # None: any
    model: str | None
    markup_percent: Decimal | None  # 0 is a rule; None where there is a book
    book: str | None
    valid_from: datetime | None
    valid_to: datetime | None


class Uncharged(NamedTuple):
    """What isn't charged, by what the event itself says. None is any; a mandate's own and those of all (`mandate_id` None) both hold."""

    id: int
    mandate_id: str | None
    provider: str | None
    outcome: str
    without_usage: bool  # it is for events without usage: these cost nobody anything. Else their provider cost is kept
    valid_from: datetime | None
    valid_to: datetime | None


class PricedCall(NamedTuple):
    """What an event says that its price depends on; texts as the event has them, None where it has none.

    `occurred_at` is aware, in UTC; `dialect_version` is that of the dialect which made the reading; no reading is no usage object.
    """

    mandate_id: str
    occurred_at: datetime
    reading: Reading | None
    usage_basis: str | None
    provider: str | None
    model: str | None
    region_scope: str | None = None
    service_tier: str | None = None
    processing: str | None = None
    speed: str | None = None
    outcome: str | None = None
    dialect: str | None = None
    dialect_version: int | None = None


class StampKind(StrEnum):
    """Where an amount comes from."""

    GIVEN = "given"  # the producer's
    RATED = "rated"
    OPERATOR = "operator"  # by an operator's word
    POLICY = "policy"  # without usage and free, by a row of the policy


class StampContent(NamedTuple):
    """What an amount was computed from; equal contents are one stamp. `rows` ascend."""

    kind: StampKind
    version_id: int | None = None
    rows: tuple[int, ...] = ()
    fx_id: int | None = None
    rule_id: int | None = None
    uncharged_id: int | None = None
    dialect: str | None = None
    dialect_version: int | None = None
    rater_version: int | None = None


class Kept(NamedTuple):
    """What of a stamp stays when its event is rated by other rows: the exchange rate, the rule and the policy that it names.

    With `fx_present` the rate is what the book has now, with `rules_present` rule and policy are.
    """

    fx: FxRate | None
    rule: SaleRule | None
    uncharged: Uncharged | None
    fx_present: bool = False
    rules_present: bool = False


class Rated(NamedTuple):
    """A computed price: `price` in CHF with nine places; the provider's cost exact, None where only a SALE book knows the model."""

    price: Decimal
    provider_cost: Decimal | None
    currency: str | None
    stamp: StampContent


class Unpriced(NamedTuple):
    """Why there is no computed price; the detail names what was looked for."""

    reason: UnpricedReason
    detail: str
