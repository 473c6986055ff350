"""The names of the database's own roles are kept in it.

Revision ID: 0021_roles
Revises: 0020_sources
"""

from pathlib import Path

from alembic import op

revision = "0021_roles"
down_revision = "0020_sources"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table; books that were there keep the roles that they have."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
