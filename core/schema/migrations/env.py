"""Alembic's entry point: runs the migrations on the connection that `core.schema.migrate` hands over."""

from alembic import context

from core.schema import metadata
from core.schema.migrate import is_ours

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=is_ours,
    compare_server_default=False,
    transaction_per_migration=False,
)

with context.begin_transaction():
    context.run_migrations()
