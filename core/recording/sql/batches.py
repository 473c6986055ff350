"""SQL that shows batches."""

from sqlalchemy import text

from core.database.listing import Listing

_SHOWN = """
    r.id, r.worker, r.kind, r.started_at, r.committed_at, r.recorded, r.duplicate, r.conflict, r.rejected, r.parked, r.released,
    r.unknown_user, EXISTS (SELECT FROM rollup_pending p WHERE p.batch_id = r.id) AS rollup_pending
"""

LIST = Listing("batches", _SHOWN, ("id",))
FIND = text(f"SELECT {_SHOWN} FROM batches r WHERE r.id = :batch_id")
