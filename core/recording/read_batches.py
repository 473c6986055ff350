"""Batches, for reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.recording.sql import batches as sql


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """One committed recording transaction: its outcome counts, in events, and whether the rollup has yet to see it."""

    id: int
    worker: str
    kind: str
    started_at: datetime
    committed_at: datetime
    recorded: int
    duplicate: int
    conflict: int
    rejected: int
    parked: int
    released: int
    unknown_user: int
    rollup_pending: bool


@view(None, sees=root("list batches"))
def list_batches(connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None) -> list[CommittedBatch]:
    """Committed recording transactions, newest first; `before` is the id of the last row already seen."""
    return sql.LIST.rows(connection, CommittedBatch, Rows(limit, offset, before))
