"""Findings of missing numbers, kept as they change and not only at night."""

from core.database.database import Database
from core.verifying.sql.findings import keep_findings
from core.verifying.sql.invariants.invariant import judge
from core.verifying.sql.invariants.producers import producers_are_complete

FINDINGS_MAX = 1_000  # of the invariant that are kept by name


def keep_gaps(database: Database) -> tuple[int, int]:
    """Keeps what C1 finds now, and resolves what is gone; returns how many findings are new, or there again, and how many are gone. Repeatable."""
    with database.transaction() as connection:
        verdict = judge(connection, producers_are_complete(), FINDINGS_MAX)
        return keep_findings(connection, verdict.invariant, verdict.samples, are_all=verdict.violations == len(verdict.samples))
