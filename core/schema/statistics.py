"""What the rollup has counted: usage by account, period, provider, model and feature, and what its usage objects measured."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Numeric, PrimaryKeyConstraint, Table, Text

from core.events.model import TOKEN_KINDS
from core.periods import PeriodType
from core.schema.columns import count, day, key, metadata, one_of, time, token_total, total

usage_statistics = Table(
    "usage_statistics",
    metadata,
    key("mandate_id"),
    Column("account_id", BigInteger, nullable=False),
    Column("period_type", Text, nullable=False),
    day("period_start"),
    key("provider"),
    key("model"),
    key("feature_code"),
    count("event_count"),
    *[total(name) for name in ("cost", "billed_cost", "refunded")],
    *[token_total(name) for name in TOKEN_KINDS],
    time("updated_at", now=True),
    PrimaryKeyConstraint("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code"),
    one_of("period_type", PeriodType),
    *[CheckConstraint(f"{name} <> 'NaN'", name=f"{name}_number") for name in ("cost", "billed_cost", "refunded")],
    postgresql_with={"fillfactor": 80},  # room for heap-only updates
)

usage_measures = Table(
    "usage_measures",
    metadata,
    key("mandate_id"),
    Column("account_id", BigInteger, nullable=False),
    Column("period_type", Text, nullable=False),
    day("period_start"),
    *[key(name) for name in ("provider", "model", "feature_code", "measure", "currency")],
    Column("total", Numeric, nullable=False),
    PrimaryKeyConstraint("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code", "measure", "currency"),
    one_of("period_type", PeriodType),
    CheckConstraint("(measure = 'provider_cost') = (currency <> '')", name="currency"),
    CheckConstraint("total <> 'NaN'", name="total_number"),
    postgresql_with={"fillfactor": 80},  # room for heap-only updates
)
