"""What the nightly check has found, for reading."""

from datetime import datetime

from core.domain.rights import Actor, require_root
from core.storage.database import Database
from core.storage.reading import findings
from core.storage.reading.findings import Finding
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_findings(
    database: Database,
    actor: Actor,
    *,
    invariant: str | None = None,
    with_resolved: bool = False,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    before: tuple[datetime, int] | None = None,
) -> list[Finding]:
    """Findings that stand, or also those that are resolved, the ones seen last first.

    `before` is `last_seen_at` and id of the last row already seen; a run in the meantime brings what still stands to the front again.

    Raises:
        Forbidden: the actor is not root.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list findings")
    page = rows_of(limit, offset, before)
    with database.snapshot() as connection:
        return findings.list_findings(connection, invariant, page, with_resolved=with_resolved)


def latest_violations(database: Database, actor: Actor) -> dict[str, int]:
    """How often each invariant was broken when the books were reconciled last; those that weren't looked at then are left out.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "list findings")
    with database.snapshot() as connection:
        return findings.latest_violations(connection)
