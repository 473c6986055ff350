"""The checkpoint of the nightly check, and indexes that find what was recorded since.

Revision ID: 0013_reconcile
Revises: 0012_views
"""

from pathlib import Path

from alembic import op

revision = "0013_reconcile"
down_revision = "0012_views"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables and the indexes, and gives the worker's role its rights."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
