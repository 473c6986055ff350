"""What was erased of a person, by whose word; names that were erased don't come back.

Revision ID: 0024_erasures
Revises: 0023_identity
"""

from pathlib import Path

from alembic import op

revision = "0024_erasures"
down_revision = "0023_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table, the column and the trigger."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
