"""Statistics hold any sum of what the ledger holds, and have room for being updated in place.

Revision ID: 0010_rollup
Revises: 0003_letters
"""

from alembic import op

revision = "0010_rollup"
down_revision = "0003_letters"
branch_labels = None
depends_on = None

_AMOUNTS = ("cost", "billed_cost", "refunded")
_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def upgrade() -> None:
    """A year of one event's largest price and token counts, added up, would not fit the old types: such a rollup could never commit."""
    changes = [f"DROP CONSTRAINT ck_usage_statistics_{name}_range" for name in _AMOUNTS]
    changes += [f"ALTER COLUMN {name} TYPE numeric(29, 9)" for name in _AMOUNTS]
    changes += [f"ALTER COLUMN {name} TYPE numeric(30, 0)" for name in _TOKENS]
    changes += [f"ADD CONSTRAINT ck_usage_statistics_{name}_number CHECK ({name} <> 'NaN')" for name in _AMOUNTS]
    op.execute(f"ALTER TABLE usage_statistics {', '.join(changes)}")
    op.execute("ALTER TABLE usage_statistics SET (fillfactor = 80)")
