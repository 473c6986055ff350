"""What deliveries leave behind beside debits: batches, dead letters, parked events, the numbers that came, what producers are to be told."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB

from core.billing import DeadLetterStatus, ToldOutcome
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
    *[Column(name, LargeBinary) for name in ("corrected_body", "corrected_sha256")],  # of the event that was recorded in its place
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
    Index(None, "reason", "received_at"),
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

# Numbers of a producer's events that came in one batch, until they are merged into the two tables that follow.
producer_ranges = Table(
    "producer_ranges",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("producer_id"),
    Column("seen", INT8MULTIRANGE, nullable=False),
    time("seen_at", now=True),
)

# Below `untracked_from` all numbers up to the highest came, but for the gaps; from there on nobody looks.
producers = Table(
    "producers",
    metadata,
    Column("producer_id", Text(collation="C"), primary_key=True),
    Column("highest", BigInteger, nullable=False),
    Column("untracked_from", BigInteger),
    Column("incomplete", Boolean, nullable=False, server_default=text("false")),  # it has gaps, or isn't tracked any more
    time("first_seen_at"),
    time("last_seen_at"),
    CheckConstraint("highest >= 1 AND untracked_from >= 1", name="numbers_sign"),
    Index("ix_producers_incomplete", "producer_id", postgresql_where=text("incomplete")),
    postgresql_with={"fillfactor": 70},  # room for heap-only updates
)

producer_gaps = Table(
    "producer_gaps",
    metadata,
    key("producer_id"),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    time("since"),  # when a later number was first seen
    time("looked_at", nullable=True),  # when the ledger was asked, too; NULL: not yet
    PrimaryKeyConstraint("producer_id", "first_seq"),
    CheckConstraint("first_seq >= 1 AND last_seq >= first_seq", name="numbers_order"),
    Index(None, "since"),
)

outcome_messages = Table(
    "outcome_messages",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("queue"),
    *[Column(name, Text, nullable=False) for name in ("outcome", "reason", "detail")],
    *[key(name, nullable=True) for name in ("mandate_id", "event_id")],
    Column("body_sha256", LargeBinary),  # of its dead letter; NULL: it is parked
    time("recorded_at", now=True),
    one_of("outcome", ToldOutcome),
    Index(None, "queue", "id"),
)
