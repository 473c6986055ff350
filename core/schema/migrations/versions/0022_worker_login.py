"""What the worker's login can't do: make partitions without end, and write times that nobody can read.

Revision ID: 0022_worker_login
Revises: 0021_roles
"""

from pathlib import Path

from alembic import op

revision = "0022_worker_login"
down_revision = "0021_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replaces the functions, and adds checks of what comes from now on: no row that is there is read."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
