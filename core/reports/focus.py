"""The ledger in the words of FOCUS, the FinOps Open Cost and Usage Specification, version 1.3.

A cost is what a mandate owes for something, so the sign is the other way round than on a balance: usage is positive, a payment
negative. `BilledCost` is what an entry took from a balance, so that its sum over all entries is minus the sum of all balances.
`EffectiveCost` is what usage cost, whoever paid, less what was given back; it is 0 for entries that only move money.
A correction counts in the period of what it corrects, as in the statistics.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from core.billing import AccountType, TransactionType
from core.dialects.model import Leaf
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import USAGE, ChargeCategory, Counted, kind_of
from core.money import ZERO
from core.reports.columns import Column, Kind, Row
from core.statistics.measures import cost_values, leaf_values, measured_of

_USAGE_SERVICE = "AI and Machine Learning"
_MONEY_SERVICE = ("Other", "Tollbook", "Balance")  # category, provider and name: FOCUS wants each for every row
_UNKNOWN = "unknown"
_UNIT = "Requests"


Tokens = tuple[int | Decimal | None, ...]  # a count per kind, as in `TOKEN_KINDS`; negative where an amendment takes them back


class Bounds(NamedTuple):
    """When a charge, and the billing period that it is in, begin and end; the end is outside."""

    charge_start: datetime
    charge_end: datetime
    billing_start: datetime
    billing_end: datetime


class ChargedEntry(NamedTuple):
    """A ledger entry; of a correction with the provider, model, feature and tokens of what it corrects.

    `measures` is what was used by class and what the provider charges, as `core.statistics.measures` reads it.
    """

    id: int
    mandate_id: str
    mandate_name: str
    account_id: int
    account_type: str | None
    account_user_name: str | None
    balance_account_id: int | None
    transaction_type: str
    amount: Decimal
    reference_type: str
    description: str
    event_id: str | None
    user_id: str | None
    provider: str | None
    model: str | None
    feature_code: str | None
    occurred_at: datetime
    recorded_at: datetime
    local_date: date
    reverses_id: int | None
    reversed_transaction_type: str | None
    reversed_reference_type: str | None
    tokens: Tokens
    bounds: Bounds
    price_given: Decimal | None = None
    measures: str | None = None

    @property
    def category(self) -> ChargeCategory:
        """What it is, or of a correction: what it corrects."""
        if self.reversed_transaction_type is not None and self.reversed_reference_type is not None:
            return kind_of(self.reversed_transaction_type, self.reversed_reference_type).charge
        return kind_of(self.transaction_type, self.reference_type).charge

    @property
    def is_call(self) -> bool:
        """Whether it is an event, and no correction of one."""
        return kind_of(self.transaction_type, self.reference_type).counted is Counted.EVENT

    @property
    def cost(self) -> Decimal:
        """What it takes from a balance in CHF; negative where it adds to one."""
        return self.amount if self.transaction_type == TransactionType.DEBIT else -self.amount


class Usage(NamedTuple):
    """A row of the statistics."""

    mandate_id: str
    mandate_name: str
    account_id: int
    account_user_name: str | None
    period_type: str
    period_start: date
    provider: str
    model: str
    feature_code: str
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    refunded: Decimal
    tokens: Tokens
    bounds: Bounds
    measures: str | None = None


def _columns(amounts: Kind) -> tuple[Column, ...]:
    return (
        Column("BilledCost", amounts),
        Column("BillingAccountId", Kind.TEXT),
        Column("BillingAccountName", Kind.TEXT),
        Column("BillingCurrency", Kind.TEXT),
        Column("BillingPeriodEnd", Kind.BOUND),
        Column("BillingPeriodStart", Kind.BOUND),
        Column("ChargeCategory", Kind.TEXT),
        Column("ChargeClass", Kind.TEXT),
        Column("ChargeDescription", Kind.TEXT),
        Column("ChargePeriodEnd", Kind.BOUND),
        Column("ChargePeriodStart", Kind.BOUND),
        Column("ConsumedQuantity", Kind.COUNT),
        Column("ConsumedUnit", Kind.TEXT),
        Column("EffectiveCost", amounts),
        Column("ProviderName", Kind.TEXT),
        Column("ServiceCategory", Kind.TEXT),
        Column("ServiceName", Kind.TEXT),
        Column("ServiceProviderName", Kind.TEXT),
        Column("SubAccountId", Kind.TEXT),
        Column("SubAccountName", Kind.TEXT),
    )


def _token_columns(kind: Kind) -> tuple[Column, ...]:
    return tuple(Column(f"x_{name.title().replace('_', '')}", kind) for name in TOKEN_KINDS)


# What was used by class, and what the provider charges for it, in a currency of its own: no ListCost, which is in that of the bill.
_MEASURE_COLUMNS = (
    *[Column(f"x_Usage{leaf.title().replace('_', '')}", Kind.COUNT) for leaf in Leaf],
    Column("x_ProviderCost", Kind.COST),
    Column("x_ProviderCurrency", Kind.TEXT),
    Column("x_ProviderCosts", Kind.TEXT),
)
_NOTHING_MEASURED = (None,) * len(_MEASURE_COLUMNS)

ENTRY_COLUMNS = (
    *_columns(Kind.AMOUNT),
    Column("x_TransactionId", Kind.INTEGER),
    Column("x_TransactionType", Kind.TEXT),
    Column("x_ReferenceType", Kind.TEXT),
    Column("x_EventId", Kind.TEXT),
    Column("x_UserId", Kind.TEXT),
    Column("x_BalanceAccountId", Kind.INTEGER),
    Column("x_ReversesId", Kind.INTEGER),
    Column("x_FeatureCode", Kind.TEXT),
    Column("x_OccurredAt", Kind.TIME),
    Column("x_RecordedAt", Kind.TIME),
    Column("x_LocalDate", Kind.DAY),
    *_token_columns(Kind.INTEGER),
    Column("x_PriceGiven", Kind.AMOUNT),
    *_MEASURE_COLUMNS,
)

USAGE_COLUMNS = (
    *_columns(Kind.TOTAL),
    Column("x_PeriodType", Kind.TEXT),
    Column("x_PeriodStart", Kind.DAY),
    Column("x_FeatureCode", Kind.TEXT),
    Column("x_Refunded", Kind.TOTAL),
    *_token_columns(Kind.COUNT),
    *_MEASURE_COLUMNS,
)


def charge_of_entry(entry: ChargedEntry) -> Row:
    """The entry as a row of `ENTRY_COLUMNS`."""
    category = entry.category
    is_usage = category is ChargeCategory.USAGE
    service, provider, name = (_USAGE_SERVICE, entry.provider or _UNKNOWN, entry.model or _UNKNOWN) if is_usage else _MONEY_SERVICE
    is_sub_account = entry.account_type == AccountType.USER
    charge_start, charge_end, billing_start, billing_end = entry.bounds
    return (
        entry.cost if entry.balance_account_id is not None else ZERO,
        entry.mandate_id,
        entry.mandate_name,
        "CHF",
        billing_end,
        billing_start,
        category.value,
        None,  # no billing period is ever closed: nothing is a correction of a closed one
        entry.description,
        charge_end,
        charge_start,
        Decimal(entry.is_call) if is_usage else None,
        _UNIT if is_usage else None,
        entry.cost if is_usage else ZERO,
        provider,
        service,
        name,
        provider,
        str(entry.account_id) if is_sub_account else None,
        entry.account_user_name if is_sub_account else None,
        entry.id,
        entry.transaction_type,
        entry.reference_type,
        entry.event_id,
        entry.user_id,
        entry.balance_account_id,
        entry.reverses_id,
        entry.feature_code,
        entry.occurred_at,
        entry.recorded_at,
        entry.local_date,
        *entry.tokens,
        entry.price_given,
        *_measures(entry.measures),
    )


def charge_of_usage(usage: Usage) -> Row:
    """The row of the statistics as a row of `USAGE_COLUMNS`; refunds stand beside the cost."""
    charge_start, charge_end, billing_start, billing_end = usage.bounds
    return (
        usage.billed_cost,
        usage.mandate_id,
        usage.mandate_name,
        "CHF",
        billing_end,
        billing_start,
        ChargeCategory.USAGE.value,
        None,
        USAGE.description,
        charge_end,
        charge_start,
        Decimal(usage.event_count),
        _UNIT,
        usage.cost,
        usage.provider,
        _USAGE_SERVICE,
        usage.model,
        usage.provider,
        str(usage.account_id),
        usage.account_user_name,
        usage.period_type,
        usage.period_start,
        usage.feature_code,
        usage.refunded,
        *usage.tokens,
        *_measures(usage.measures),
    )


def _measures(text: str | None) -> tuple[object, ...]:
    if not text:
        return _NOTHING_MEASURED
    found = measured_of(text)
    return (*leaf_values(found.leaves), *cost_values(found.provider_cost))
