"""Holds and caps: money kept for calls that are under way, and bounds of what may be used.

Revision ID: 0030_holds
Revises: 0029_price_reach
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0030_holds"
down_revision = "0029_price_reach"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds tables, and columns whose default needs no row written anew. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("holds"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
