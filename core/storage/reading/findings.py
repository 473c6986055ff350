"""SQL that shows what the nightly check has found."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.storage.reading.listing import Listing, Rows

_LIST = Listing(
    "reconcile_findings",
    """
    r.id, r.invariant, r.subject, r.detail -> 'found' AS found, r.first_seen_at, r.last_seen_at, r.resolved_at,
    r.detail ->> 'by' AS resolved_by, r.detail ->> 'reason' AS resolution
    """,
    ("last_seen_at", "id"),
    conditions={"stands": "r.resolved_at IS NULL", "invariant": "r.invariant = :invariant"},
)

_VIOLATIONS = text("""
    SELECT key AS invariant, CAST(value AS bigint) AS violations
      FROM jsonb_each_text((SELECT counts FROM job_runs WHERE job = 'books.reconcile' AND ended_at IS NOT NULL AND error IS NULL
                             ORDER BY ended_at DESC LIMIT 1))
     WHERE key ~ '^I[0-9]+$' ORDER BY key
""")


@dataclass(frozen=True, slots=True)
class Finding:
    """What broke an invariant, when it was seen first and last, and since when it is gone; `resolved_by` an operator, where one decided."""

    id: int
    invariant: str
    subject: str
    found: list[str]
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None


def list_findings(connection: Connection, invariant: str | None, page: Rows, *, with_resolved: bool) -> list[Finding]:
    """Findings, those seen last first."""
    return [Finding(*row) for row in _LIST.rows(connection, page, invariant=invariant, stands=not with_resolved)]


def latest_violations(connection: Connection) -> dict[str, int]:
    """How often the latest run found each invariant broken that it looked at; empty before the first one."""
    return {row.invariant: row.violations for row in connection.execute(_VIOLATIONS)}
