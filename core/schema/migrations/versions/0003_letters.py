"""The alerts' outbox and the amendments of recorded events.

Revision ID: 0003_letters
Revises: 0002_moves
"""

from pathlib import Path

from alembic import op

revision = "0003_letters"
down_revision = "0002_moves"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what tells which alerts wait to be published, and which entry of an event is the present one."""
    script = Path(__file__).with_name("0003_letters.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(script.replace("%", "%%"))
