"""The price book: versions of rows, aliases, exchange rates, sale rules, what isn't charged, and which price a mandate pays.

Triggers keep what is accepted as it was written, and exclusion constraints refuse two rows, aliases or rules that hold for one thing at
one time; the migration has both.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INT8RANGE, JSONB, TSTZRANGE

from core.schema.columns import day, key, metadata, time


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _valid() -> Column[object]:
    return Column("valid", TSTZRANGE, nullable=False)


price_state = Table(
    "price_state",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("revision", BigInteger, nullable=False, server_default=text("1")),
    Column("active_version", BigInteger),
    Column("dialects_revision", BigInteger, nullable=False, server_default=text("0")),
    Column("token", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    CheckConstraint("one", name="one"),
)

price_versions = Table(
    "price_versions",
    metadata,
    _id(),
    Column("based_on", BigInteger),
    Column("source", Text, nullable=False),
    Column("source_hash", Text, nullable=False),
    Column("defaults", JSONB, nullable=False, server_default=text("'{}'")),
    Column("notes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("row_count", Integer, nullable=False, server_default=text("0")),
    Column("proposed_by", Text, nullable=False),
    time("proposed_at", now=True),
    Column("accepted_by", Text),
    time("accepted_at", nullable=True),
    Column("accepted_revision", BigInteger),
)

price_rows = Table(
    "price_rows",
    metadata,
    _id(),
    Column("content_hash", LargeBinary, nullable=False),
    Column("layer", Text, nullable=False),
    *[Column(name, Text(collation="C"), nullable=False, server_default=text("''")) for name in ("mandate_id", "book")],
    *[key(name) for name in ("provider", "model", "region_scope", "service_tier", "processing", "speed")],
    Column("leaf", Text, nullable=False),
    Column("from_tokens", BigInteger),
    Column("boundary", Text),
    Column("amount", Numeric(24, 12), nullable=False),
    Column("per", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    _valid(),
    *[Column(name, Text, nullable=False, server_default=text("''")) for name in ("basis", "source")],
    Column("key_hash", BigInteger, Computed("0", persisted=True), nullable=False),  # what of, the migration says
    UniqueConstraint("content_hash"),
)

price_book = Table(
    "price_book",
    metadata,
    Column("version_id", BigInteger, nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Column("key_hash", BigInteger, nullable=False),
    Column("tier", INT8RANGE, nullable=False),
    _valid(),
    PrimaryKeyConstraint("version_id", "row_id"),
)

price_aliases = Table(
    "price_aliases",
    metadata,
    _id(),
    *[key(name) for name in ("provider", "alias", "model")],
    _valid(),
    Column("approved_by", Text, nullable=False),
    time("approved_at", now=True),
    Column("closed_by", Text),
)

fx_rates = Table(
    "fx_rates",
    metadata,
    _id(),
    Column("currency", Text, nullable=False),
    day("rate_date"),
    Column("rate", Numeric(24, 12), nullable=False),
    Column("legs", JSONB, nullable=False, server_default=text("'[]'")),
    Column("source", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    time("created_at", now=True),
    time("replaced_at", nullable=True),
    Index("uq_fx_rates_present", "currency", "rate_date", unique=True, postgresql_where=text("replaced_at IS NULL")),
)

sale_rules = Table(
    "sale_rules",
    metadata,
    _id(),
    key("mandate_id", nullable=True),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    *[key(name, nullable=True) for name in ("provider", "model")],
    Column("markup_percent", Numeric(12, 6)),
    key("book", nullable=True),
    _valid(),
    Column("created_by", Text, nullable=False),
    time("created_at", now=True),
    Column("closed_by", Text),
)

uncharged_rules = Table(
    "uncharged_rules",
    metadata,
    _id(),
    *[key(name, nullable=True) for name in ("mandate_id", "provider")],
    Column("outcome", Text, nullable=False),
    Column("without_usage", Boolean, nullable=False),
    _valid(),
    Column("created_by", Text, nullable=False),
    time("created_at", now=True),
    Column("closed_by", Text),
)

price_modes = Table(
    "price_modes",
    metadata,
    _id(),
    key("mandate_id"),
    Column("mode", Text, nullable=False),
    time("since"),
    Column("created_by", Text, nullable=False),
    time("created_at", now=True),
    UniqueConstraint("mandate_id", "since"),
)

price_reach = Table(
    "price_reach",
    metadata,
    Column("version_id", BigInteger, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
    Column("models", JSONB, nullable=False, server_default=text("'[]'")),
    time("counted_at", now=True),
    Column("waived_by", Text),
    Column("waived_reason", Text),
    time("waived_at", nullable=True),
)
