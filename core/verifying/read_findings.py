"""What the nightly check has found, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.verifying.sql import shown_findings as sql


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


@view(None, sees=root("list findings"))
def list_findings(
    connection: Connection,
    *,
    invariant: str | None = None,
    with_resolved: bool = False,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: tuple[datetime, int] | None = None,
) -> list[Finding]:
    """Findings that stand, or also those that are resolved, the ones seen last first.

    `before` is `last_seen_at` and id of the last row already seen; a run in the meantime brings what still stands to the front again.
    """
    return sql.LIST.rows(connection, Finding, Rows(limit, offset, before), invariant=invariant, stands=not with_resolved)


@view(None, sees=root("list findings"))
def latest_violations(connection: Connection) -> dict[str, int]:
    """How often each invariant was broken when the books were reconciled last; those that weren't looked at then are left out."""
    return {row.invariant: row.violations for row in connection.execute(sql.VIOLATIONS)}
