"""SQL of parked events: valid events whose mandate isn't known yet, kept whole until it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.domain.parsing import RawEvent
from core.storage.event_keys import EventKey, StoredHash

_PARK = text("""
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
    SELECT * FROM unnest(CAST(:mandate_id AS text[]), CAST(:event_id AS text[]), CAST(:payload_hash AS bytea[]), CAST(:hash_version AS smallint[]),
                         CAST(:body AS bytea[]), CAST(:typed_json AS boolean[]), CAST(:origin AS text[]), CAST(:reason AS text[]))
           AS p(mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
     ORDER BY p.mandate_id COLLATE "C", p.event_id COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING mandate_id, event_id
""")

_FIND = text("""
    SELECT p.mandate_id, p.event_id, p.payload_hash, p.hash_version, p.body, p.typed_json, p.origin
      FROM unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
      JOIN parked_events p ON p.mandate_id = wanted.mandate_id AND p.event_id = wanted.event_id
""")

# Counting stops at the limit, so that a full car park is not counted row by row for ever more.
_COUNT = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM parked_events LIMIT :limit_total) AS everyone) AS total,
           ARRAY(SELECT (SELECT count(*) FROM (SELECT FROM parked_events p WHERE p.mandate_id = m.id LIMIT :limit_per_mandate) AS own)
                   FROM unnest(CAST(:mandate_ids AS text[])) WITH ORDINALITY AS m(id, n) ORDER BY n) AS per_mandate
""")

# A mandate is known by its settings or by the directory; whoever else releases at the same time takes other rows.
_TAKE_RELEASABLE = text("""
    SELECT p.mandate_id, p.event_id, p.payload_hash, p.hash_version, p.body, p.typed_json, p.origin
      FROM parked_events p
     WHERE EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = p.mandate_id)
        OR coalesce((SELECT d.enabled FROM directory_mandates d WHERE d.id = p.mandate_id), :without_directory)
     ORDER BY p.received_at, p.mandate_id, p.event_id LIMIT :events_max
       FOR UPDATE OF p SKIP LOCKED
""")

_DELETE = text("""
    DELETE FROM parked_events p
     USING unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS released(mandate_id, event_id)
     WHERE p.mandate_id = released.mandate_id AND p.event_id = released.event_id
""")


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One parked event: its key, its payload hash and its bytes."""

    key: EventKey
    payload_hash: bytes
    hash_version: int
    body: bytes
    typed_json: bool
    origin: str
    reason: str = ""  # why it is parked; told when it is, not read back

    @property
    def raw(self) -> RawEvent:
        """The event's bytes, as they came."""
        return RawEvent(self.body, self.origin, self.typed_json)

    @property
    def stored_hash(self) -> StoredHash:
        """What a later delivery under the same key is compared with."""
        return StoredHash(self.payload_hash, self.hash_version)


def park_events(connection: Connection, events: Sequence[ParkedEvent]) -> set[EventKey]:
    """Parks those events whose key is not parked yet and returns their keys. Keys must not repeat."""
    parameters: dict[str, object] = {"mandate_id": [e.key[0] for e in events], "event_id": [e.key[1] for e in events]}
    parameters |= {name: [getattr(e, name) for e in events] for name in ("payload_hash", "hash_version", "body", "typed_json", "origin", "reason")}
    return {(mandate_id, event_id) for mandate_id, event_id in connection.execute(_PARK, parameters)}


def find_parked(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, ParkedEvent]:
    """What is parked under those of `keys` that are."""
    rows = connection.execute(_FIND, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {(row[0], row[1]): ParkedEvent((row[0], row[1]), *row[2:]) for row in rows}


def count_parked(connection: Connection, mandate_ids: Iterable[str], limit_per_mandate: int, limit_total: int) -> tuple[int, dict[str, int]]:
    """Parked events altogether and of each mandate, counted no further than the limits."""
    ids = list(mandate_ids)
    row = connection.execute(_COUNT, {"mandate_ids": ids, "limit_per_mandate": limit_per_mandate, "limit_total": limit_total}).one()
    return row.total, dict(zip(ids, row.per_mandate, strict=True))


def take_releasable(connection: Connection, events_max: int, *, without_directory: bool) -> list[ParkedEvent]:
    """Locks the oldest parked events whose mandate is known by now, or need not be where there is no directory."""
    rows = connection.execute(_TAKE_RELEASABLE, {"events_max": events_max, "without_directory": without_directory})
    return [ParkedEvent((row[0], row[1]), *row[2:]) for row in rows]


def delete_parked(connection: Connection, keys: Sequence[EventKey]) -> None:
    """Removes parked events that this transaction has dealt with."""
    connection.execute(_DELETE, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
