"""Usage added up by class of tokens, and what providers charge by currency.

Revision ID: 0028_measures
Revises: 0027_price_book
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0028_measures"
down_revision = "0027_price_book"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("usage_measures"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
