"""SQL of batches: one row for each committed recording transaction, and its rollup still to be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, text

from core.events.outcome import Outcome

# Whoever writes a batch without having said that it knows of holds is a worker of the release before, which neither captures nor counts in caps:
# the database refuses what it should have.
_COLUMNS = """
    nextval('batches_id_seq') AS id, clock_timestamp() AS started_at, (SELECT token FROM price_state WHERE one) AS prices_token,
    set_config('tollbook.knows_holds', 'yes', true)"""
_BEGIN = text(f"SELECT {_COLUMNS}")

# The sets of a recording transaction are looked up by key, whatever their size and the tables': a hash or a merge join reads the whole table.
# Before PostgreSQL 18 what is off and yet without alternative looks so dear that it would be compiled.
_BEGIN_BY_KEYS = text(f"""
    SELECT {_COLUMNS},
           set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
           set_config('jit', 'off', true)
""")

_WRITE = text("""
    WITH written AS (
    INSERT INTO batches (id, worker, kind, started_at, committed_at, recorded, duplicate, conflict, rejected, parked, released, unknown_user,
                         first_transaction_id, last_transaction_id)
    VALUES (:id, :worker, :kind, :started_at, clock_timestamp(), :recorded, :duplicate, :conflict, :rejected, :parked, :released, :unknown_user,
            :first_transaction_id, :last_transaction_id)
    )
    INSERT INTO rollup_pending (batch_id) SELECT CAST(:id AS bigint) WHERE CAST(:first_transaction_id AS bigint) IS NOT NULL
""")


_NO_DELIVERIES = {outcome.value: 0 for outcome in Outcome}


class BatchKind(StrEnum):
    """Where the events of a recording transaction come from."""

    USAGE = "usage"  # from producers
    RELEASE = "release"  # from the car park: their age and their own parked rows don't count
    REPLAY = "replay"  # from dead letters


@dataclass(frozen=True, slots=True)
class Batch:
    """A recording transaction under way."""

    id: int
    started_at: datetime
    prices_token: UUID  # of the revision of all prices that is committed at its first statement


def begin_batch(connection: Connection, *, by_keys_alone: bool = False) -> Batch:
    """A fresh batch id, so that what the batch writes can name it.

    With `by_keys_alone` whatever the transaction looks for until it ends is looked up one by one, by an index, in the order in which it is
    asked for.
    """
    row = connection.execute(_BEGIN_BY_KEYS if by_keys_alone else _BEGIN).one()
    return Batch(row.id, row.started_at, row.prices_token)


def write_batch(
    connection: Connection,
    batch: Batch,
    *,
    worker: str,
    kind: str,
    transaction_ids: list[int],
    counts: Mapping[str, int] = _NO_DELIVERIES,
    released: int = 0,
    unknown_user: int = 0,
) -> None:
    """Writes the batch's row, and where it recorded anything the note that lets the rollup see it; without `counts` it settled no delivery."""
    connection.execute(
        _WRITE,
        {
            "id": batch.id,
            "worker": worker,
            "kind": kind,
            "started_at": batch.started_at,
            **counts,
            "released": released,
            "unknown_user": unknown_user,
            "first_transaction_id": min(transaction_ids, default=None),
            "last_transaction_id": max(transaction_ids, default=None),
        },
    )
