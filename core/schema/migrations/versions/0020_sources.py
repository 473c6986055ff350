"""What holds for the books as a whole, and the source of a CloudEvent.

Revision ID: 0020_sources
Revises: 0019_parking
"""

from pathlib import Path

from alembic import op

revision = "0020_sources"
down_revision = "0019_parking"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table with its one row and the column, and gives the worker's role its rights."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
