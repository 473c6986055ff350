"""Moving rows out of the default partition of the ledger.

Revision ID: 0011_sync
Revises: 0010_rollup
"""

from pathlib import Path

from alembic import op

revision = "0011_sync"
down_revision = "0010_rollup"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the function, which runs with the owner's rights, and lets the worker's role call it."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
