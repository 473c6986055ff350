"""The books: settings, accounts, transactions and their keys, statistics, alerts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.billing import AccountType, AlertKind, BillingModel, ReferenceType, TransactionType
from core.database.event_columns import TEXT_COLUMNS
from core.events.model import TOKEN_KINDS
from core.money import AMOUNT_MAX
from core.schema.columns import (
    BALANCE_ROOM,
    balance,
    call_columns,
    count,
    day,
    in_range,
    in_room,
    key,
    metadata,
    money,
    one_of,
    setting,
    time,
)
from core.settings.model import SETTING_TYPES, SETTINGS


def _settings_columns() -> list[Column[object]]:
    return [setting(name, kind, SETTINGS[name].number) for name, kind in SETTING_TYPES.items()]


def _settings_checks() -> list[CheckConstraint]:
    numbers = {name: one.number.most for name, one in SETTINGS.items() if one.number is not None}
    ranges = [CheckConstraint(f"{name} BETWEEN 0 AND {most}", name=f"{name}_range") for name, most in numbers.items()]
    return [*(one_of(name, kind) for name, kind in SETTING_TYPES.items() if kind is BillingModel), *ranges]


billing_settings = Table(
    "billing_settings",
    metadata,
    Column("mandate_id", Text(collation="C"), primary_key=True),
    *_settings_columns(),
    Column("version", Integer, nullable=False, server_default=text("1")),
    time("created_at", now=True),
    time("updated_at", now=True),
    Column("time_zone_missing", Text),
    Column("caps_token", Uuid),  # of the caps as they are now; NULL: it has none
    *_settings_checks(),
)

billing_settings_history = Table(
    "billing_settings_history",
    metadata,
    key("mandate_id"),
    Column("version", Integer, nullable=False),
    *_settings_columns(),
    Column("changed_by", Text, nullable=False),
    time("changed_at", now=True),
    Column("after_transaction_id", BigInteger, server_default=text("coalesce(pg_sequence_last_value('transactions_id_seq'), 0)")),
    PrimaryKeyConstraint("mandate_id", "version"),
    *_settings_checks(),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("mandate_id"),
    key("user_id", nullable=True),
    Column("account_type", Text, nullable=False),
    balance("balance", default="0"),
    money("credit_limit", nullable=True),
    balance("warning_threshold", default="0"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("grant_due", Boolean, nullable=False, server_default=text("false")),
    Column("opened_version", Integer, nullable=False),
    time("opened_at", now=True),
    count("alert_count"),  # by a trigger of balance_alerts
    balance("held", default="0"),  # what open holds keep of it
    one_of("account_type", AccountType),
    CheckConstraint("(account_type = 'USER') = (user_id IS NOT NULL)", name="user_named"),
    *in_room("balance", "warning_threshold"),
    CheckConstraint(f"credit_limit BETWEEN 0 AND {AMOUNT_MAX}", name="credit_limit_range"),
    CheckConstraint(f"held >= 0 AND held < {BALANCE_ROOM}", name="held_room"),
    UniqueConstraint("mandate_id", "user_id", postgresql_nulls_not_distinct=True),  # one pool (no user) per mandate
    Index(None, "user_id"),
    Index("ix_accounts_grant_due", "id", postgresql_where=text("grant_due")),
    postgresql_with={"fillfactor": 70},  # room for heap-only updates of the balance
)

usage_shapes = Table(
    "usage_shapes",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("shape", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False, unique=True),
)

stamps = Table(
    "stamps",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("version_id", BigInteger),
    Column("rows", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    Column("fx_id", BigInteger),
    Column("rule_id", BigInteger),
    Column("uncharged_id", BigInteger),
    Column("dialect", Text),
    Column("dialect_version", Integer),
    Column("rater_version", Integer),
    Column("content_hash", LargeBinary, nullable=False, unique=True),
    CheckConstraint("kind IN ('given', 'rated', 'operator', 'policy')", name="kind_known"),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger, Identity(always=False), nullable=False),
    key("mandate_id"),
    key("event_id", nullable=True),
    Column("account_id", BigInteger, nullable=False),
    Column("balance_account_id", BigInteger),
    Column("transaction_type", Text, nullable=False),
    money("amount"),
    Column("reference_type", Text, nullable=False),
    *[Column(name, Text, nullable=name != "description") for name in TEXT_COLUMNS],
    *[Column(name, BigInteger) for name in TOKEN_KINDS],
    key("created_by_user_id", nullable=True),
    time("occurred_at"),
    time("recorded_at", now=True),
    day("local_date"),
    Column("settings_version", Integer, nullable=False),
    Column("batch_id", BigInteger),
    Column("reverses_id", BigInteger),
    Column("operation_key", Text),
    Column("source", Text),
    *call_columns(),
    Column("usage_shape", Integer),
    Column("usage_values", Text),
    Column("stamp_id", BigInteger),
    money("price_given", nullable=True),
    money("price_computed", nullable=True),
    Column("provider_cost", Numeric(38, 18)),
    Column("provider_currency", Text),
    Column("leaves", Text),
    Column("unpriced", Text),
    PrimaryKeyConstraint("id", "recorded_at"),
    one_of("transaction_type", TransactionType),
    one_of("reference_type", ReferenceType),
    *in_range("amount"),
    CheckConstraint("amount >= 0 OR transaction_type = 'ADJUSTMENT'", name="amount_sign"),
    Index(None, "account_id", "recorded_at"),  # without the id: all entries of a batch have one time, which is held once
    Index(None, "mandate_id", "recorded_at"),
    Index(None, "reverses_id", postgresql_where=text("reverses_id IS NOT NULL")),
    Index(None, "recorded_at", postgresql_using="brin"),
    Index("ix_transactions_newest", text("(recorded_at AT TIME ZONE 'UTC')")),  # of all together: core/database/local_days.py
    Index(
        None,
        "balance_account_id",
        "recorded_at",
        postgresql_where=text("balance_account_id <> account_id AND reference_type <> 'WORKFLOW'"),
    ),
    Index(
        "ix_transactions_off_day",  # of the entries that core/database/local_days.py does not find by when they were recorded
        "mandate_id",
        "local_date",
        "account_id",
        postgresql_where=text(
            "local_date NOT BETWEEN CAST(recorded_at AT TIME ZONE 'UTC' AS date) - 3 AND CAST(recorded_at AT TIME ZONE 'UTC' AS date) + 1"
        ),
    ),
    postgresql_partition_by="RANGE (recorded_at)",
)

event_keys = Table(
    "event_keys",
    metadata,
    key("mandate_id"),
    key("event_id"),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    time("recorded_at"),
    PrimaryKeyConstraint("event_id", "mandate_id"),  # ids that begin with the time go to the index's end, however many mandates there are
    Index(None, "recorded_at", postgresql_using="brin"),
)

operation_keys = Table(
    "operation_keys",
    metadata,
    key("mandate_id"),
    Column("operation", Text(collation="C"), nullable=False),
    key("idempotency_key"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),
    time("recorded_at", now=True),
    PrimaryKeyConstraint("mandate_id", "operation", "idempotency_key"),
)

refunds = Table(
    "refunds",
    metadata,
    key("mandate_id"),
    Column("refund_transaction_id", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    money("amount"),
    time("recorded_at", now=True),
    money("refunded", nullable=True),
    PrimaryKeyConstraint("mandate_id", "refund_transaction_id"),
    CheckConstraint(f"amount BETWEEN 0 AND {AMOUNT_MAX}", name="amount_range"),
    Index(None, "mandate_id", "transaction_id", "refund_transaction_id"),
)

amendments = Table(
    "amendments",
    metadata,
    key("mandate_id"),
    key("event_id"),
    Column("number", Integer, nullable=False),
    key("operation"),
    key("idempotency_key"),
    Column("reversed_id", BigInteger, nullable=False),
    time("reversed_recorded_at"),
    Column("reversal_id", BigInteger, nullable=False),
    Column("debit_id", BigInteger, nullable=False),
    time("recorded_at", now=True),
    PrimaryKeyConstraint("mandate_id", "event_id", "number"),
    UniqueConstraint("mandate_id", "operation", "idempotency_key", "event_id"),
)

balance_alerts = Table(
    "balance_alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("mandate_id"),
    Column("account_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("recovered", Boolean, nullable=False),
    balance("balance_before"),
    balance("balance_after"),
    balance("threshold"),
    Column("settings_version", Integer, nullable=False),
    Column("batch_id", BigInteger),
    time("recorded_at", now=True),
    time("published_at", nullable=True),
    time("withheld_at", nullable=True),
    Column("counted", Boolean, nullable=False, server_default=text("true")),
    one_of("kind", AlertKind),
    *in_room("balance_before", "balance_after", "threshold"),
    Index(None, "account_id", "id"),
    Index(None, "mandate_id", "id"),
    Index(None, "recorded_at"),
    Index("ix_balance_alerts_waiting", "id", postgresql_where=text("published_at IS NULL AND withheld_at IS NULL")),
)

# Which lines an account is beyond, as its last alerts say; by a trigger of balance_alerts.
crossed_lines = Table(
    "crossed_lines",
    metadata,
    Column("kind", Text, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "account_id"),
    one_of("kind", AlertKind),
)
