"""Indexes of entries without what tells entries of one time apart, and keys in the order in which they come.

Revision ID: 0025_lean_indexes
Revises: 0024_erasures
"""

from pathlib import Path

from alembic import op

revision = "0025_lean_indexes"
down_revision = "0024_erasures"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Takes over the indexes that `core/schema/concurrent_indexes.py` has built beside the running workers, and drops those before them."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
