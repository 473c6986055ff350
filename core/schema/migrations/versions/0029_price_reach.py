"""What a version of the price book would change of events that were recorded before, until that is done or waived.

Revision ID: 0029_price_reach
Revises: 0028_measures
"""

from pathlib import Path

from alembic import op
from sqlalchemy import inspect

revision = "0029_price_reach"
down_revision = "0028_measures"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. Books that went back to the release before have it all."""
    connection = op.get_bind()
    if not inspect(connection).has_table("price_reach"):
        connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
