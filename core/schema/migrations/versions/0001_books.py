"""The books: every table, the monthly partitions, the roles.

Revision ID: 0001
Revises: none
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes everything that the first release needs."""
    for script in ("0001_tables.sql", "0001_partitions_and_roles.sql"):
        op.get_bind().exec_driver_sql(Path(__file__).with_name(script).read_text(encoding="utf-8").replace("%", "%%"))
