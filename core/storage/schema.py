"""The tables, as SQLAlchemy sees them; `docs/books.md` tells what each one is for.

The migrations make them; `tollbook db check` proves that both say the same.
Texts that identify something compare bytewise (COLLATE "C"), money is NUMERIC(20,9) in CHF, and every time is aware.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.domain.billing import AccountType, AlertKind, BillingModel, DeadLetterStatus, ReferenceType, TransactionType

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MONEY_MAX = "10000000000"  # CHF; BETWEEN refuses NaN, which every other comparison sorts above all numbers
TOKEN_COLUMNS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def _key(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=nullable)


def _money(name: str, *, nullable: bool = False, default: str | None = None) -> Column[object]:
    return Column(name, Numeric(20, 9), nullable=nullable, server_default=default)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _in_range(*columns: str) -> list[CheckConstraint]:
    return [CheckConstraint(f"{c} BETWEEN -{MONEY_MAX} AND {MONEY_MAX}", name=f"{c}_range") for c in columns]


def _one_of(column: str, values: type[BillingModel | AccountType | TransactionType | ReferenceType | AlertKind | DeadLetterStatus]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v.value) for v in values)})", name=f"{column}_known")


def _settings_columns() -> list[Column[object]]:
    columns: list[Column[object]] = [
        Column("billing_model", Text, nullable=False),
        _money("default_user_credit"),
        Column("warning_threshold_percent", Numeric(6, 3), nullable=False),
        Column("block_on_zero_balance", Boolean, nullable=False),
        Column("notify_on_warning", Boolean, nullable=False),
        Column("notification_emails", ARRAY(Text), nullable=False, server_default=text("'{}'")),
        Column("billing_address", JSONB, nullable=False, server_default=text("'{}'")),
        Column("time_zone", Text, nullable=False),
    ]
    return columns


def _settings_checks() -> list[CheckConstraint]:
    return [
        _one_of("billing_model", BillingModel),
        CheckConstraint(f"default_user_credit BETWEEN 0 AND {MONEY_MAX}", name="default_user_credit_range"),
        CheckConstraint("warning_threshold_percent BETWEEN 0 AND 100", name="warning_threshold_percent_range"),
    ]


billing_settings = Table(
    "billing_settings",
    metadata,
    Column("mandate_id", Text(collation="C"), primary_key=True),
    *_settings_columns(),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _time("created_at", now=True),
    _time("updated_at", now=True),
    *_settings_checks(),
)

billing_settings_history = Table(
    "billing_settings_history",
    metadata,
    _key("mandate_id"),
    Column("version", Integer, nullable=False),
    *_settings_columns(),
    Column("changed_by", Text, nullable=False),
    _time("changed_at", now=True),
    PrimaryKeyConstraint("mandate_id", "version"),
    *_settings_checks(),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _key("mandate_id"),
    _key("user_id", nullable=True),
    Column("account_type", Text, nullable=False),
    _money("balance", default="0"),
    _money("credit_limit", nullable=True),
    _money("warning_threshold", default="0"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("grant_due", Boolean, nullable=False, server_default=text("false")),
    Column("opened_version", Integer, nullable=False),
    _time("opened_at", now=True),
    _one_of("account_type", AccountType),
    CheckConstraint("(account_type = 'USER') = (user_id IS NOT NULL)", name="user_named"),
    *_in_range("balance", "warning_threshold"),
    CheckConstraint(f"credit_limit BETWEEN 0 AND {MONEY_MAX}", name="credit_limit_range"),
    UniqueConstraint("mandate_id", "user_id", postgresql_nulls_not_distinct=True),  # one pool (no user) per mandate
    postgresql_with={"fillfactor": 70},  # room for heap-only updates of the balance
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger, Identity(always=False), nullable=False),
    _key("mandate_id"),
    _key("event_id", nullable=True),
    Column("account_id", BigInteger, nullable=False),
    Column("balance_account_id", BigInteger),
    Column("transaction_type", Text, nullable=False),
    _money("amount"),
    Column("reference_type", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("workflow_id", Text),
    Column("feature_instance_id", Text),
    Column("feature_code", Text),
    Column("provider", Text),
    Column("model", Text),
    *[Column(name, BigInteger) for name in TOKEN_COLUMNS],
    _key("created_by_user_id", nullable=True),
    _time("occurred_at"),
    _time("recorded_at", now=True),
    Column("local_date", Date, nullable=False),
    Column("settings_version", Integer, nullable=False),
    Column("batch_id", BigInteger),
    Column("reverses_id", BigInteger),
    Column("operation_key", Text),
    PrimaryKeyConstraint("id", "recorded_at"),
    _one_of("transaction_type", TransactionType),
    _one_of("reference_type", ReferenceType),
    *_in_range("amount"),
    CheckConstraint("amount >= 0 OR transaction_type = 'ADJUSTMENT'", name="amount_sign"),
    Index(None, "account_id", "recorded_at", "id"),
    Index(None, "mandate_id", "recorded_at", "id"),
    postgresql_partition_by="RANGE (recorded_at)",
)

event_keys = Table(
    "event_keys",
    metadata,
    _key("mandate_id"),
    _key("event_id"),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    _time("recorded_at"),
    PrimaryKeyConstraint("mandate_id", "event_id"),
)

operation_keys = Table(
    "operation_keys",
    metadata,
    _key("mandate_id"),
    Column("operation", Text(collation="C"), nullable=False),
    _key("idempotency_key"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),
    _time("recorded_at", now=True),
    PrimaryKeyConstraint("mandate_id", "operation", "idempotency_key"),
)

refunds = Table(
    "refunds",
    metadata,
    _key("mandate_id"),
    Column("refund_transaction_id", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    _money("amount"),
    _time("recorded_at", now=True),
    PrimaryKeyConstraint("mandate_id", "refund_transaction_id"),
    CheckConstraint(f"amount BETWEEN 0 AND {MONEY_MAX}", name="amount_range"),
    Index(None, "mandate_id", "transaction_id"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("body_sha256", LargeBinary, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("body_length", BigInteger, nullable=False),
    Column("typed_json", Boolean, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("difference", JSONB),
    _key("mandate_id", nullable=True),
    _key("event_id", nullable=True),
    Column("payload_hash", LargeBinary),
    Column("status", Text, nullable=False, server_default=text("'OPEN'")),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    _time("first_seen_at", now=True),
    _time("last_seen_at", now=True),
    Column("batch_id", BigInteger),
    _time("resolved_at", nullable=True),
    Column("resolved_by", Text),
    Column("resolution", Text),
    _one_of("status", DeadLetterStatus),
    Index(None, "status", "reason", "id"),
    Index(None, "mandate_id", "event_id"),
)

parked_events = Table(
    "parked_events",
    metadata,
    _key("mandate_id"),
    _key("event_id"),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("typed_json", Boolean, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _time("received_at", now=True),
    PrimaryKeyConstraint("mandate_id", "event_id"),
    Index(None, "received_at"),
)

usage_statistics = Table(
    "usage_statistics",
    metadata,
    _key("mandate_id"),
    Column("account_id", BigInteger, nullable=False),
    Column("period_type", Text, nullable=False),
    Column("period_start", Date, nullable=False),
    _key("provider"),
    _key("model"),
    _key("feature_code"),
    _count("event_count"),
    _money("cost", default="0"),
    _money("billed_cost", default="0"),
    _money("refunded", default="0"),
    *[_count(name) for name in TOKEN_COLUMNS],
    _time("updated_at", now=True),
    PrimaryKeyConstraint("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code"),
    CheckConstraint("period_type IN ('DAY', 'MONTH', 'YEAR')", name="period_type_known"),
    *_in_range("cost", "billed_cost", "refunded"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default=text("'usage'")),
    _time("started_at", now=True),
    _time("committed_at"),
    *[_count(name) for name in ("recorded", "duplicate", "conflict", "rejected", "parked", "released", "unknown_user")],
    Column("first_transaction_id", BigInteger),
    Column("last_transaction_id", BigInteger),
)

rollup_pending = Table("rollup_pending", metadata, Column("batch_id", BigInteger, primary_key=True, autoincrement=False))

balance_alerts = Table(
    "balance_alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _key("mandate_id"),
    Column("account_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("recovered", Boolean, nullable=False),
    _money("balance_before"),
    _money("balance_after"),
    _money("threshold"),
    Column("settings_version", Integer, nullable=False),
    Column("batch_id", BigInteger),
    _time("recorded_at", now=True),
    _time("published_at", nullable=True),
    _one_of("kind", AlertKind),
    *_in_range("balance_before", "balance_after", "threshold"),
    Index(None, "account_id", "id"),
    Index(None, "mandate_id", "id"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("job", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("worker", Text, nullable=False),
    _time("started_at", now=True),
    _time("ended_at", nullable=True),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Column("error", Text),
    PrimaryKeyConstraint("job", "period"),
)

reconcile_findings = Table(
    "reconcile_findings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("invariant", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    _time("first_seen_at", now=True),
    _time("last_seen_at", now=True),
    _time("resolved_at", nullable=True),
    UniqueConstraint("invariant", "subject"),
)

directory_mandates = Table(
    "directory_mandates",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("label", Text),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("time_zone", Text),
)

directory_memberships = Table(
    "directory_memberships",
    metadata,
    _key("user_id"),
    _key("mandate_id"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("mandate_id", "user_id"),
    Index(None, "user_id"),
)

directory_users = Table(
    "directory_users",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("username", Text),
    Column("display_name", Text),
)
