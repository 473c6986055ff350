"""Indexes for reading: a user's accounts in all mandates, and the entries that stand in another local day than they were recorded on.

Revision ID: 0012_views
Revises: 0011_sync
"""

from alembic import op

revision = "0012_views"
down_revision = "0011_sync"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The second one is empty while nothing comes late, so that recording doesn't pay for it (core/database/local_days.py)."""
    op.execute("CREATE INDEX ix_accounts_user_id ON accounts (user_id)")
    op.execute(
        "CREATE INDEX ix_transactions_off_day ON transactions (mandate_id, local_date, account_id)"
        " WHERE local_date NOT BETWEEN CAST(recorded_at AT TIME ZONE 'UTC' AS date) - 3 AND CAST(recorded_at AT TIME ZONE 'UTC' AS date) + 1"
    )
