"""Reading what was recorded last over all mandates, and the balance after an old entry, without reading the whole books.

Revision ID: 0015_reads
Revises: 0014_plans
"""

from pathlib import Path

from alembic import op

revision = "0015_reads"
down_revision = "0014_plans"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the indexes (that of entries takes about a second for five million, in which nothing is recorded) and the table of marks."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
