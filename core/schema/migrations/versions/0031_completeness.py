"""Completeness: which numbers of a producer came, what it is told of its events, and corrections of dead letters.

Revision ID: 0031_completeness
Revises: 0030_holds
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0031_completeness"
down_revision = "0030_holds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds tables, and columns that need no row written anew. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("producers"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
