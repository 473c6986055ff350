"""SQL that shows batches."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.storage.reading.listing import Listing, Rows

_SHOWN = """
    r.id, r.worker, r.kind, r.started_at, r.committed_at, r.recorded, r.duplicate, r.conflict, r.rejected, r.parked, r.released,
    r.unknown_user, EXISTS (SELECT FROM rollup_pending p WHERE p.batch_id = r.id) AS rollup_pending
"""

_LIST = Listing("batches", _SHOWN, ("id",))
_FIND = text(f"SELECT {_SHOWN} FROM batches r WHERE r.id = :batch_id")


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


def list_batches(connection: Connection, page: Rows) -> list[CommittedBatch]:
    """Committed batches, newest first."""
    return [CommittedBatch(*row) for row in _LIST.rows(connection, page)]


def find_batch(connection: Connection, batch_id: int) -> CommittedBatch | None:
    """The batch with this id, if there is one."""
    row = connection.execute(_FIND, {"batch_id": batch_id}).one_or_none()
    return None if row is None else CommittedBatch(*row)
