"""SQL of findings: what broke an invariant when it was looked at, from when to when."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from core.verifying.sql.invariants.invariant import Breach

_KEEP = text("""
    WITH seen AS (
        SELECT * FROM unnest(CAST(:subjects AS text[]), CAST(CAST(:details AS text[]) AS jsonb[])) AS s(subject, detail)
    ), known AS (
        SELECT subject FROM reconcile_findings WHERE invariant = :invariant AND resolved_at IS NULL
    ), written AS (
        INSERT INTO reconcile_findings (invariant, subject, detail) SELECT :invariant, subject, detail FROM seen ORDER BY subject
        ON CONFLICT (invariant, subject) DO UPDATE SET detail = reconcile_findings.detail || excluded.detail, last_seen_at = now(), resolved_at = NULL
    ), gone AS (
        UPDATE reconcile_findings SET resolved_at = now()
         WHERE CAST(:are_all AS boolean) AND invariant = :invariant AND resolved_at IS NULL AND subject NOT IN (SELECT subject FROM seen)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM seen WHERE subject NOT IN (SELECT subject FROM known)) AS new, (SELECT count(*) FROM gone) AS gone
""")

_RESOLVE = text("""
    UPDATE reconcile_findings SET resolved_at = now(), detail = detail || CAST(:resolution AS jsonb)
     WHERE invariant = :invariant AND resolved_at IS NULL
""")

_OPEN = text("SELECT DISTINCT invariant FROM reconcile_findings WHERE resolved_at IS NULL")


def keep_findings(connection: Connection, invariant: str, breaches: Sequence[Breach], *, are_all: bool) -> tuple[int, int]:
    """Keeps what was seen now; where that is all there is, what was seen before and isn't any more is resolved.

    Returns:
        How many findings are new, or there again, and how many are gone.
    """
    found: dict[str, list[str]] = {}
    for breach in breaches:
        found.setdefault(breach.subject, []).append(breach.detail)
    details = [json.dumps({"found": texts}) for texts in found.values()]
    row = connection.execute(_KEEP, {"invariant": invariant, "subjects": list(found), "details": details, "are_all": are_all}).one()
    return row.new, row.gone


def resolve_findings(connection: Connection, invariant: str, resolution: Mapping[str, str]) -> None:
    """Resolves what is open of the invariant by an operator's word, which is kept with it."""
    connection.execute(_RESOLVE, {"invariant": invariant, "resolution": json.dumps(dict(resolution))})


def broken_invariants(connection: Connection) -> set[str]:
    """The invariants that have findings which are not resolved."""
    return set(connection.execute(_OPEN).scalars())
