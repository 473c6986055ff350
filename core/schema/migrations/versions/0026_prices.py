"""Contract version 2: the call, its usage object and what it was priced by, beside each entry.

Revision ID: 0026_prices
Revises: 0025_lean_indexes
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0026_prices"
down_revision = "0025_lean_indexes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds tables and columns that may be empty, so that no row is written anew; workers of the release before go on beside it. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("usage_shapes"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
