"""What deliveries leave behind beside debits: batches, dead letters, parked events."""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from core.billing import DeadLetterStatus
from core.schema.columns import count, key, metadata, one_of, time

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
    key("mandate_id", nullable=True),
    key("event_id", nullable=True),
    Column("payload_hash", LargeBinary),
    Column("status", Text, nullable=False, server_default=text("'OPEN'")),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    time("first_seen_at", now=True),
    time("last_seen_at", now=True),
    Column("batch_id", BigInteger),
    time("resolved_at", nullable=True),
    Column("resolved_by", Text),
    Column("resolution", Text),
    time("erased_at", nullable=True),
    one_of("status", DeadLetterStatus),
    Index(None, "status", "reason", "id"),
    Index("ix_dead_letters_open", "id", postgresql_where=text("status = 'OPEN'")),
    Index("ix_dead_letters_aged", text("greatest(resolved_at, last_seen_at)"), postgresql_where=text("status <> 'OPEN'")),
    Index(None, "mandate_id", "event_id"),
    Index(None, "mandate_id", "id"),
    Index(None, "status", "id"),
    Index("ix_dead_letters_seen_again", "id", postgresql_where=text("last_seen_at > resolved_at")),
)

dead_letter_counts = Table(
    "dead_letter_counts",
    metadata,
    Column("queue", Text(collation="C"), primary_key=True),
    Column("letters", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

dead_letter_overflow = Table(
    "dead_letter_overflow",
    metadata,
    key("queue"),
    key("reason"),
    Column("letters", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("last_sha256", LargeBinary, nullable=False),
    time("first_seen_at", now=True),
    time("last_seen_at", now=True),
    PrimaryKeyConstraint("queue", "reason"),
)

parked_events = Table(
    "parked_events",
    metadata,
    key("mandate_id"),
    key("event_id"),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("hash_version", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("typed_json", Boolean, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time("received_at", now=True),
    Column("stripe", SmallInteger, nullable=False, server_default=text("pg_backend_pid() % 16")),
    count("priced_under"),
    *[key(name, nullable=True) for name in ("hold_key", "hold_user_id")],
    PrimaryKeyConstraint("mandate_id", "event_id"),
    Index(None, "received_at"),
    Index(None, "mandate_id", "received_at", "event_id"),
    Index(None, "mandate_id", "hold_key", postgresql_where=text("hold_key IS NOT NULL")),
)

parked_counts = Table(
    "parked_counts",
    metadata,
    key("mandate_id"),
    Column("stripe", SmallInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    count("suspended"),
    PrimaryKeyConstraint("mandate_id", "stripe"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default=text("'usage'")),
    time("started_at", now=True),
    time("committed_at"),
    *[count(name) for name in ("recorded", "duplicate", "conflict", "rejected", "parked", "released", "unknown_user")],
    Column("first_transaction_id", BigInteger),
    Column("last_transaction_id", BigInteger),
)

rollup_pending = Table("rollup_pending", metadata, Column("batch_id", BigInteger, primary_key=True, autoincrement=False))
