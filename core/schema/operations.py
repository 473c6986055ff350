"""What holds for the books as a whole, jobs, findings, the checkpoint and the directory's mirror."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.billing import CloudEventKey
from core.events.model import TOKEN_KINDS
from core.schema.columns import count, key, metadata, one_of, time, token_total, total

books = Table(
    "books",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("cloud_event_key", Text, nullable=False, server_default=text("'id'")),
    time("numbers_since", now=True),  # from when on the numbers of producers are looked at
    CheckConstraint("one", name="one"),
    one_of("cloud_event_key", CloudEventKey),
)

installation = Table(
    "installation",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("worker_role", Text, nullable=False),
    Column("reader_role", Text, nullable=False),
    Column("name", Text),
    Column("system_identifier", BigInteger),
    Column("database_oid", BigInteger),
    CheckConstraint("one", name="one"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("job", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("worker", Text, nullable=False),
    time("started_at", now=True),
    time("ended_at", nullable=True),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Column("error", Text),
    PrimaryKeyConstraint("job", "period"),
    Index(None, "started_at", "job", "period"),
    Index(None, "job", "started_at", "period"),
)

reconcile_findings = Table(
    "reconcile_findings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("invariant", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    time("first_seen_at", now=True),
    time("last_seen_at", now=True),
    time("resolved_at", nullable=True),
    UniqueConstraint("invariant", "subject"),
    Index(None, "last_seen_at", "id"),
)

reconcile_checkpoint = Table(
    "reconcile_checkpoint",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("recorded_before", DateTime(timezone=True), nullable=False),  # from -infinity on, which Python can't hold and needn't
    Column("next_before", DateTime(timezone=True)),
    Column("next_open", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("full_at", DateTime(timezone=True)),
    Column("marked", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("one", name="one"),
)

reconcile_sums = Table(
    "reconcile_sums",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    total("movements"),
    count("event_count"),
    *[total(name) for name in ("cost", "billed_cost", "refunded")],
    *[token_total(name) for name in TOKEN_KINDS],
)

reconcile_measures = Table(
    "reconcile_measures",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    *[key(name) for name in ("measure", "currency")],
    Column("total", Numeric, nullable=False),
    PrimaryKeyConstraint("account_id", "measure", "currency"),
)

balance_marks = Table(
    "balance_marks",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    time("recorded_at"),
    Column("transaction_id", BigInteger, nullable=False),
    total("balance"),
    PrimaryKeyConstraint("account_id", "recorded_at", "transaction_id"),
)

former_offsets = Table(
    "former_offsets",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("time_zone", Text, nullable=False),
    Column("offset_seconds", Integer, nullable=False),
    time("occurred_from"),
    time("occurred_until"),
    time("recorded_before", now=True),
    Column("accepted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("offset_seconds BETWEEN -57600 AND 57600", name="offset_seconds_range"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("user_id"),
    Column("mandate_ids", ARRAY(Text)),
    Column("erased_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time("erased_at", now=True),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Index(None, "user_id"),
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
    key("user_id"),
    key("mandate_id"),
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
