"""Jobs, findings and the directory's mirror."""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from core.storage.schema.columns import key, metadata, time

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
