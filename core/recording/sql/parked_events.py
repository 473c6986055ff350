"""SQL of parked events: valid events whose mandate isn't known yet, kept whole until it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from core.database.packing import packed, unpacked
from core.events.parsing import RawEvent
from core.ledger.sql.event_keys import EventKey, StoredHash

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

_COUNT = text("""
    SELECT mandate_id, CAST(sum(events) AS bigint) AS events FROM parked_counts WHERE mandate_id = ANY(:mandate_ids) GROUP BY mandate_id
""")

# With LIMIT, so that each mandate is looked for by the index, however many events are parked.
_WITH_PARKED = text(f"""
    SELECT m.id FROM unnest({unpacked("mandate_ids")}) AS m(id)
     WHERE CASE WHEN (SELECT EXISTS (SELECT FROM parked_events)) THEN (SELECT true FROM parked_events p WHERE p.mandate_id = m.id LIMIT 1) END
""")


def _next_parked(after: str) -> str:
    return f"(SELECT n.mandate_id FROM parked_events n WHERE n.mandate_id {after} ORDER BY n.mandate_id LIMIT 1)"


def _find_releasable(next_known: str) -> TextClause:
    """The parked events of known mandates in the order of the mandates, each mandate's oldest first.

    Two lists are walked at once, the parked mandates and the known ones, and each leaps to where the other is: it costs as many
    steps as the shorter one has, neither as many as events are parked nor as there are mandates. `next_known` is the first
    known mandate that is not before `at.mandate_id`.
    """
    return text(f"""
        WITH RECURSIVE walk AS (
            SELECT at.mandate_id, {next_known} AS known FROM (SELECT {_next_parked(">= :from_mandate")} AS mandate_id) AS at
             UNION ALL
            SELECT at.mandate_id, {next_known}
              FROM walk CROSS JOIN LATERAL (
                   SELECT CASE WHEN walk.known = walk.mandate_id THEN {_next_parked("> walk.known")} ELSE {_next_parked(">= walk.known")} END
                          AS mandate_id) AS at
             WHERE walk.known IS NOT NULL AND at.mandate_id IS NOT NULL
        )
        SELECT p.mandate_id, p.event_id, p.payload_hash, p.hash_version, p.body, p.typed_json, p.origin, p.received_at
          FROM walk CROSS JOIN LATERAL (
               SELECT * FROM parked_events p
                WHERE p.mandate_id = walk.mandate_id
                  AND (p.received_at, p.event_id) >
                      (CASE walk.mandate_id WHEN :from_mandate THEN CAST(:after_time AS timestamptz) ELSE '-infinity' END,
                       CASE walk.mandate_id WHEN :from_mandate THEN CAST(:after_event AS text) ELSE '' END)
                ORDER BY p.received_at, p.event_id LIMIT :events_max) AS p
         WHERE walk.known = walk.mandate_id
         LIMIT :events_max
    """)


# A mandate is known by its settings or by the directory.
_KNOWN_TO_US = _find_releasable("""least(
    (SELECT s.mandate_id FROM billing_settings s WHERE s.mandate_id >= at.mandate_id ORDER BY s.mandate_id LIMIT 1),
    (SELECT d.id FROM directory_mandates d WHERE d.enabled AND d.id >= at.mandate_id ORDER BY d.id LIMIT 1))
""")

# Where there is no directory, every mandate is, unless the directory has it disabled.
_NOT_DISABLED = _find_releasable(f"""
    CASE WHEN coalesce((SELECT d.enabled FROM directory_mandates d WHERE d.id = at.mandate_id), true)
           OR EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = at.mandate_id)
         THEN at.mandate_id ELSE {_next_parked("> at.mandate_id")} END
""")

# Whoever else releases in the same moment takes other rows. Locked in the order in which rows are parked.
_TAKE = text("""
    WITH taken AS MATERIALIZED (
        SELECT p.mandate_id, p.event_id
          FROM unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
          JOIN parked_events p ON p.mandate_id = wanted.mandate_id AND p.event_id = wanted.event_id
         ORDER BY p.mandate_id, p.event_id
           FOR UPDATE OF p SKIP LOCKED
    )
    DELETE FROM parked_events p USING taken
     WHERE p.mandate_id = taken.mandate_id AND p.event_id = taken.event_id
    RETURNING p.mandate_id, p.event_id
""")

Position = tuple[str, datetime, str]  # of an event in the order of release: mandate, time of receipt, event


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


def _parked(row: Row[Any]) -> ParkedEvent:
    return ParkedEvent((row.mandate_id, row.event_id), row.payload_hash, row.hash_version, row.body, row.typed_json, row.origin)


def park_events(connection: Connection, events: Sequence[ParkedEvent]) -> set[EventKey]:
    """Parks those events whose key is not parked yet and returns their keys. Keys must not repeat."""
    parameters: dict[str, object] = {"mandate_id": [e.key[0] for e in events], "event_id": [e.key[1] for e in events]}
    parameters |= {name: [getattr(e, name) for e in events] for name in ("payload_hash", "hash_version", "body", "typed_json", "origin", "reason")}
    return {(mandate_id, event_id) for mandate_id, event_id in connection.execute(_PARK, parameters)}


def find_parked(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, ParkedEvent]:
    """What is parked under those of `keys` that are."""
    rows = connection.execute(_FIND, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {parked.key: parked for parked in map(_parked, rows)}


def count_parked(connection: Connection, mandate_ids: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Parked events altogether and of each mandate. What others park or release in this moment is not counted yet."""
    ids = list(mandate_ids)
    counts = {row.mandate_id: row.events for row in connection.execute(_COUNT, {"mandate_ids": ["", *ids]})}
    return counts.get("", 0), {mandate_id: counts.get(mandate_id, 0) for mandate_id in ids}


def with_parked(connection: Connection, mandate_ids: Iterable[str]) -> set[str]:
    """Those of the mandates of which any event is parked."""
    return set(connection.execute(_WITH_PARKED, {"mandate_ids": packed(mandate_ids)}).scalars())


def find_releasable(
    connection: Connection, after: Position | None, events_max: int, *, without_directory: bool
) -> list[tuple[ParkedEvent, Position]]:
    """The next parked events after a position whose mandate is known by now, or need not be where there is no directory.

    Mandate by mandate, each one's oldest first; nothing is locked.
    """
    mandate_id, received_at, event_id = after or ("", None, "")
    parameters = {"from_mandate": mandate_id, "after_time": received_at, "after_event": event_id, "events_max": events_max}
    rows = connection.execute(_NOT_DISABLED if without_directory else _KNOWN_TO_US, parameters)
    return [(_parked(row), (row.mandate_id, row.received_at, row.event_id)) for row in rows]


def take_parked(connection: Connection, keys: Sequence[EventKey]) -> set[EventKey]:
    """Removes what is parked under these keys, but for what another transaction is taking; returns whose rows were removed. Never waits."""
    rows = connection.execute(_TAKE, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {(mandate_id, event_id) for mandate_id, event_id in rows}
