"""SQL that shows batches."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_SHOWN = """
    SELECT b.id, b.worker, b.kind, b.started_at, b.committed_at, b.recorded, b.duplicate, b.conflict, b.rejected, b.parked, b.released,
           b.unknown_user, EXISTS (SELECT FROM rollup_pending p WHERE p.batch_id = b.id) AS rollup_pending
      FROM batches b
"""

_LIST = text(_SHOWN + " ORDER BY b.id DESC LIMIT :limit OFFSET :offset")
_FIND = text(_SHOWN + " WHERE b.id = :batch_id")


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


def list_batches(connection: Connection, limit: int, offset: int) -> list[CommittedBatch]:
    """Committed batches, newest first."""
    return [CommittedBatch(*row) for row in connection.execute(_LIST, {"limit": limit, "offset": offset})]


def find_batch(connection: Connection, batch_id: int) -> CommittedBatch | None:
    """The batch with this id, if there is one."""
    row = connection.execute(_FIND, {"batch_id": batch_id}).one_or_none()
    return None if row is None else CommittedBatch(*row)
