"""SQL that shows what the nightly check has found."""

from sqlalchemy import text

from core.database.listing import Listing

LIST = Listing(
    "reconcile_findings",
    """
    r.id, r.invariant, r.subject, r.detail -> 'found' AS found, r.first_seen_at, r.last_seen_at, r.resolved_at,
    r.detail ->> 'by' AS resolved_by, r.detail ->> 'reason' AS resolution
    """,
    ("last_seen_at", "id"),
    conditions={"stands": "r.resolved_at IS NULL", "invariant": "r.invariant = :invariant"},
)

VIOLATIONS = text("""
    SELECT key AS invariant, CAST(value AS bigint) AS violations
      FROM jsonb_each_text((SELECT counts FROM job_runs WHERE job = 'books.reconcile' AND ended_at IS NOT NULL AND error IS NULL
                             ORDER BY ended_at DESC LIMIT 1))
     WHERE key ~ '^[A-Z][0-9]+$' ORDER BY key
""")
