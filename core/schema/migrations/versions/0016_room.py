"""Balances get room beyond the bound of single amounts, partitions a lock of their own, and deleted alerts and changed versions leave a trace.

Revision ID: 0016_room
Revises: 0015_reads
"""

from pathlib import Path

from alembic import op

revision = "0016_room"
down_revision = "0015_reads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widens columns and adds some, which rewrites no row, and replaces the functions; who may call them stays."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace("%", "%%"))
