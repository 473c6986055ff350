"""Two narrow indexes of the ledger: entries that reverse another one, and movements on another account than the one they are about.

Revision ID: 0002_moves
Revises: 0001
"""

from alembic import op

revision = "0002_moves"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes them on all partitions; usage is in neither, so recording doesn't pay for them."""
    op.execute("CREATE INDEX ix_transactions_reverses_id ON transactions (reverses_id) WHERE reverses_id IS NOT NULL")
    op.execute(
        "CREATE INDEX ix_transactions_balance_account_id_recorded_at ON transactions (balance_account_id, recorded_at)"
        " WHERE balance_account_id <> account_id AND reference_type <> 'WORKFLOW'"
    )
