"""How many events are parked, kept beside them, and an index that finds the oldest of a mandate.

Revision ID: 0019_parking
Revises: 0018_zones
"""

from pathlib import Path

from alembic import op

revision = "0019_parking"
down_revision = "0018_zones"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the counts and what keeps them right; counts what is parked once, up to the limit of the car park."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
