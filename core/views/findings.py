"""What the nightly check has found, for reading."""

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import findings
from core.storage.reading.findings import Finding
from core.views.paging import LIMIT_DEFAULT, check_page


def list_findings(
    database: Database, actor: Actor, *, invariant: str | None = None, with_resolved: bool = False, limit: int = LIMIT_DEFAULT, offset: int = 0
) -> list[Finding]:
    """Findings that stand, or also those that are resolved, the ones seen last first.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list findings")
    check_page(limit, offset)
    with database.snapshot() as connection:
        return findings.list_findings(connection, invariant, limit, offset, with_resolved=with_resolved)


def latest_violations(database: Database, actor: Actor) -> dict[str, int]:
    """How often each invariant was broken when the books were reconciled last; those that weren't looked at then are left out.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list findings")
    with database.snapshot() as connection:
        return findings.latest_violations(connection)
