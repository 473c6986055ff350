"""SQL of event keys: the one place that decides which delivery of an event is the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.database.packing import packed, unpacked_rows

# Waits for a concurrent claimant of the same key, then returns only ours. The keys come in the order of the index, and `unnest` keeps
# it: so two batches can't wait for each other in a circle, and ids are drawn in that order.
_CLAIM = text(f"""
    WITH claimed AS (
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT k.mandate_id, k.event_id, decode(k.payload_hash, 'hex'), coalesce(k.hash_version, 1), nextval('transactions_id_seq'), now()
      FROM {unpacked_rows({"mandate_id": "text", "event_id": "text", "payload_hash": "text", "hash_version": "smallint"})} AS k
     WHERE k.mandate_id IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING transaction_id
    )
    SELECT array_agg(transaction_id ORDER BY transaction_id) FROM claimed
""")

_FIND = text("""
    SELECT k.mandate_id, k.event_id, k.payload_hash, k.hash_version, k.transaction_id, k.recorded_at
      FROM unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
      JOIN event_keys k ON k.mandate_id = wanted.mandate_id AND k.event_id = wanted.event_id
""")

EventKey = tuple[str, str]  # mandate id, event id


@dataclass(frozen=True, slots=True)
class StoredHash:
    """What was accepted first under a key."""

    payload_hash: bytes
    hash_version: int
    transaction_id: int | None = None  # none: the first one is parked
    recorded_at: datetime | None = None


def claim_keys(connection: Connection, claims: Sequence[tuple[EventKey, bytes, int]]) -> dict[EventKey, int]:
    """Of keys with their payload hash and its version those that nobody had before, each with the id of the transaction to write.

    Keys must not repeat.
    """
    ordered = sorted(claims, key=_in_order)
    ids: list[int] | None = connection.execute(
        _CLAIM,
        {
            "mandate_id": packed([key[0] for key, _, _ in ordered]),
            "event_id": packed([key[1] for key, _, _ in ordered]),
            "payload_hash": packed([payload_hash.hex() for _, payload_hash, _ in ordered]),
            "hash_version": packed([None if version == 1 else version for _, _, version in ordered]),
        },
    ).scalar_one()
    if ids is None:
        return {}
    if len(ids) == len(ordered):
        return {key: transaction_id for (key, _, _), transaction_id in zip(ordered, ids, strict=True)}
    ours = set(ids)
    return {key: found.transaction_id for key, found in find_keys(connection, [key for key, _, _ in ordered]).items() if found.transaction_id in ours}


def _in_order(claimed: tuple[EventKey, bytes, int]) -> EventKey:
    return claimed[0][::-1]


def find_keys(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, StoredHash]:
    """What stands under those of `keys` that exist."""
    rows = connection.execute(_FIND, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {(m, e): StoredHash(payload_hash, version, transaction_id, at) for m, e, payload_hash, version, transaction_id, at in rows}
