"""Whose books these are: a name, and the place at which they were used last.

Revision ID: 0023_identity
Revises: 0022_worker_login
"""

from alembic import op

revision = "0023_identity"
down_revision = "0022_worker_login"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the columns; the first worker that starts fills them."""
    op.execute("ALTER TABLE installation ADD COLUMN name text, ADD COLUMN system_identifier bigint, ADD COLUMN database_oid bigint")
