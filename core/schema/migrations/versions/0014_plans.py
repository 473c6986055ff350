"""What was refunded of an entry so far stands with each refund, and indexes give pages of what is open, aged or due.

Revision ID: 0014_plans
Revises: 0013_reconcile
"""

from alembic import op

revision = "0014_plans"
down_revision = "0013_reconcile"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Refunds that are there keep no total: the next one of their entry adds them up once (core/movements/sql/refunds.py)."""
    op.execute("ALTER TABLE refunds ADD COLUMN refunded numeric(20, 9)")
    op.execute("CREATE INDEX ix_refunds_mandate_id_transaction_id_refund_transaction_id ON refunds (mandate_id, transaction_id, refund_transaction_id)")
    op.execute("DROP INDEX ix_refunds_mandate_id_transaction_id")
    op.execute("CREATE INDEX ix_accounts_grant_due ON accounts (id) WHERE grant_due")
    op.execute("CREATE INDEX ix_dead_letters_open ON dead_letters (id) WHERE status = 'OPEN'")
    op.execute("CREATE INDEX ix_dead_letters_aged ON dead_letters (greatest(resolved_at, last_seen_at)) WHERE status <> 'OPEN'")
