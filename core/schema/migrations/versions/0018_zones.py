"""Zones that the database lacked when settings were made, and offsets under which local days were recorded.

Revision ID: 0018_zones
Revises: 0017_letter_room
"""

from pathlib import Path

from alembic import op

revision = "0018_zones"
down_revision = "0017_letter_room"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes column and table, and writes down what earlier versions recorded otherwise than IANA has it."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
