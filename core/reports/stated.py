"""What a statement says: a month's balances, what moved them, and what was used; amounts in CHF."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from core.billing import BillingModel
from core.events.model import TokenColumns
from core.reports.sql.statements import HeldNow
from core.reports.used_by_model import ModelMeasures


@dataclass(frozen=True, slots=True)
class BalanceMonth:
    """What a month did to a balance, in CHF; each movement with the sign that it has for the balance.

    `usage` is what was billed, as recorded; `amendments` is what corrections of it came to.
    """

    opening: Decimal
    top_ups: Decimal
    grants: Decimal
    refunds: Decimal
    adjustments: Decimal
    switches: Decimal
    amendments: Decimal
    usage: Decimal
    closing: Decimal


@dataclass(frozen=True, slots=True)
class _Costs:
    """How many usage events, what they cost in CHF, which part of that moved a balance and which none."""

    event_count: int
    cost: Decimal
    billed_cost: Decimal
    unbilled_cost: Decimal


@dataclass(frozen=True, slots=True)
class UsageFigures(TokenColumns[int], _Costs):
    """Usage events, as amended: their costs, and their tokens as the producers counted them.

    Whether cached or reasoning tokens are also among the input or output is the producers' business.
    """


@dataclass(frozen=True, slots=True)
class DayUsage(UsageFigures):
    """The usage of one local day."""

    day: date


@dataclass(frozen=True, slots=True)
class ModelUsage(UsageFigures):
    """The usage of one provider's model, `unknown` where events don't say."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class FeatureUsage(UsageFigures):
    """The usage of one feature, `unknown` where events don't say."""

    feature_code: str


@dataclass(frozen=True, slots=True)
class UserUsage(UsageFigures):
    """The usage of one user."""

    user_id: str
    user_name: str


@dataclass(frozen=True, slots=True)
class PartUsage(UsageFigures):
    """The usage of one user by one provider's model in one feature; `unknown` where events don't say."""

    user_id: str
    user_name: str
    provider: str
    model: str
    feature_code: str


@dataclass(frozen=True, slots=True)
class StatedMovement:
    """One thing that moved a balance of the mandate beside usage, or the corrections of usage under one key on one day.

    Attributes:
        day: the local day that it counts for.
        kind: which line of `BalanceMonth` it is part of: `top_ups`, `grants`, `refunds`, `adjustments`, `switches` or `amendments`.
        amount: CHF, with the sign that it has for the balance.
        reason: as it was given; of corrections the operations that made them.
        key: under which it was asked for; None of what came in by an import.
        by: who asked for it; None where nobody did.
        user_id, user_name: whose balance it moved; None of the pool, and of corrections of a whole mandate's usage.
        is_pool: whether it was the pool's.
        transaction_id: of the entry; None of corrections.
        entry_count: how many entries it is made of.
    """

    day: date
    kind: str
    amount: Decimal
    reason: str
    key: str | None
    by: str | None
    user_id: str | None
    user_name: str | None
    is_pool: bool
    transaction_id: int | None
    entry_count: int


@dataclass(frozen=True, slots=True)
class ModelSince:
    """A billing model and the first local day of the month under it; None where it held before the month."""

    billing_model: BillingModel
    since: date | None


@dataclass(frozen=True, slots=True)
class Statement:
    """A mandate's month, both days included, by all that was recorded before `as_of`; amounts in CHF.

    `total` is the pool and the users' accounts together. `unbilled_refunds` is what refunds gave back that moved no balance, since
    nobody had paid: it stands beside the cost. `late_event_count` events were recorded after the month had ended.
    Days ascend; models, features and users come dearest first. `ended`: by the mandate's clocks the month was over at `as_of`.
    `leaves` is what was used by class, of events that told their usage object, and `provider_cost` what providers charge for it by
    currency, None unless it was asked for; `measures_by_model` has both by model, those without a usage object left out.
    `held` stands beside the closing balance of the present month as of now; of any other month or moment it is None.
    `movements` are all that moved the balances beside usage, by day: by kind they add up to the lines of `total`, but for the last
    `movements_left_out`, where there are too many to be listed. `by_user_model_feature` is the usage once more, in its smallest parts;
    `parts_left_out` of the cheapest ones are not listed.
    Of one user (`user_id`) it is the same about their own account: `total` is its balance, `billed_cost` what that paid, and `unbilled_cost`
    what the pool or nobody paid.
    """

    mandate_id: str
    mandate_name: str
    billing_address: dict[str, str]
    settings_version: int
    time_zone: str
    first: date
    last: date
    ended: bool
    as_of: datetime
    billing_models: list[ModelSince]
    total: BalanceMonth
    pool: BalanceMonth
    users: BalanceMonth
    usage: UsageFigures
    unbilled_refunds: Decimal
    late_event_count: int
    by_day: list[DayUsage]
    by_model: list[ModelUsage]
    by_feature: list[FeatureUsage]
    by_user: list[UserUsage]
    leaves: dict[str, int] = field(default_factory=dict)
    provider_cost: dict[str, Decimal] | None = None
    measures_by_model: list[ModelMeasures] = field(default_factory=list)
    held: HeldNow | None = None
    movements: list[StatedMovement] = field(default_factory=list)
    movements_left_out: int = 0
    by_user_model_feature: list[PartUsage] = field(default_factory=list)
    parts_left_out: int = 0
    user_id: str | None = None
    user_name: str | None = None
