"""SQL that shows what the nightly check has found."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_LIST = text("""
    SELECT id, invariant, subject, detail -> 'found' AS found, first_seen_at, last_seen_at, resolved_at,
           detail ->> 'by' AS resolved_by, detail ->> 'reason' AS resolution
      FROM reconcile_findings
     WHERE (CAST(:with_resolved AS boolean) OR resolved_at IS NULL) AND (CAST(:invariant AS text) IS NULL OR invariant = :invariant)
     ORDER BY last_seen_at DESC, id DESC LIMIT :limit OFFSET :offset
""")

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


def list_findings(connection: Connection, invariant: str | None, limit: int, offset: int, *, with_resolved: bool) -> list[Finding]:
    """Findings, those seen last first."""
    parameters = {"invariant": invariant, "with_resolved": with_resolved, "limit": limit, "offset": offset}
    return [Finding(*row) for row in connection.execute(_LIST, parameters)]


def latest_violations(connection: Connection) -> dict[str, int]:
    """How often the latest run found each invariant broken that it looked at; empty before the first one."""
    return {row.invariant: row.violations for row in connection.execute(_VIOLATIONS)}
