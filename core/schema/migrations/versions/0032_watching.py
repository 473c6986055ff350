"""What an operator watches, found without reading tables whole: accounts beyond a line, parked events by reason, caps that are reached.

Revision ID: 0032_watching
Revises: 0031_completeness
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0032_watching"
down_revision = "0031_completeness"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Takes over the indexes that `core/schema/concurrent_indexes.py` has built. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("crossed_lines"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
