"""Room for dead letters: how many there are, and what came when there was no room for more.

Revision ID: 0017_letter_room
Revises: 0016_room
"""

from pathlib import Path

from alembic import op

revision = "0017_letter_room"
down_revision = "0016_room"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables and the triggers, counts what is there, and gives the worker's role its rights."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
