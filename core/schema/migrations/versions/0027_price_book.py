"""The price book: versions of rows, aliases, exchange rates, sale rules, what isn't charged, and which price a mandate pays.

Revision ID: 0027_price_book
Revises: 0026_prices
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0027_price_book"
down_revision = "0026_prices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, and what keeps them as they were written. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("price_state"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
