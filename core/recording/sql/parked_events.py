"""SQL of parked events: valid events whose mandate isn't known yet, or which can't be priced yet, kept whole until they can be recorded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, TextClause, text

from core.database.packing import packed, unpacked
from core.events.parsing import RawEvent
from core.ledger.sql.event_keys import EventKey, StoredHash

_PARK = text("""
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, priced_under, hold_key,
                               hold_user_id)
    SELECT * FROM unnest(CAST(:mandate_id AS text[]), CAST(:event_id AS text[]), CAST(:payload_hash AS bytea[]), CAST(:hash_version AS smallint[]),
                         CAST(:body AS bytea[]), CAST(:typed_json AS boolean[]), CAST(:origin AS text[]), CAST(:reason AS text[]),
                         CAST(:priced_under AS bigint[]), CAST(:hold_key AS text[]), CAST(:hold_user_id AS text[]))
           AS p(mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, priced_under, hold_key, hold_user_id)
     ORDER BY p.mandate_id COLLATE "C", p.event_id COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING mandate_id, event_id
""")

_FIND = text("""
    SELECT p.mandate_id, p.event_id, p.payload_hash, p.hash_version, p.body, p.typed_json, p.origin, p.reason, p.priced_under
      FROM unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
      JOIN parked_events p ON p.mandate_id = wanted.mandate_id AND p.event_id = wanted.event_id
""")

_COUNT = text("""
    SELECT mandate_id, CAST(sum(events - suspended) AS bigint) AS unknown, CAST(sum(suspended) AS bigint) AS suspended
      FROM parked_counts WHERE mandate_id = ANY(:mandate_ids) GROUP BY mandate_id
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
        SELECT p.mandate_id, p.event_id, p.payload_hash, p.hash_version, p.body, p.typed_json, p.origin, p.reason, p.priced_under, p.received_at
          FROM walk CROSS JOIN LATERAL (
               SELECT * FROM parked_events p
                WHERE p.mandate_id = walk.mandate_id AND p.priced_under < :revision
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

# Whoever else releases in the same moment takes other rows. Locked in the order in which rows are parked. What waits for a price goes only
# where the transaction says that it knows of prices, as workers of the release before don't.
_TAKE = text("""
    WITH taken AS MATERIALIZED (
        SELECT p.mandate_id, p.event_id
          FROM (SELECT set_config('tollbook.knows_prices', 'yes', true) OFFSET 0) AS told
         CROSS JOIN unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
          JOIN parked_events p ON p.mandate_id = wanted.mandate_id AND p.event_id = wanted.event_id
         ORDER BY p.mandate_id, p.event_id
           FOR UPDATE OF p SKIP LOCKED
    )
    DELETE FROM parked_events p USING taken
     WHERE p.mandate_id = taken.mandate_id AND p.event_id = taken.event_id
    RETURNING p.mandate_id, p.event_id, p.received_at, p.stripe
""")

# In the stripe that counted it before, so that its counts are locked already.
_PUT_BACK = text("""
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, priced_under, hold_key,
                               hold_user_id, received_at, stripe)
    SELECT * FROM unnest(CAST(:mandate_id AS text[]), CAST(:event_id AS text[]), CAST(:payload_hash AS bytea[]), CAST(:hash_version AS smallint[]),
                         CAST(:body AS bytea[]), CAST(:typed_json AS boolean[]), CAST(:origin AS text[]), CAST(:reason AS text[]),
                         CAST(:priced_under AS bigint[]), CAST(:hold_key AS text[]), CAST(:hold_user_id AS text[]),
                         CAST(:received_at AS timestamptz[]), CAST(:stripe AS smallint[]))
""")


class Taken(NamedTuple):
    """What of a row that was taken a row in its place keeps."""

    received_at: datetime
    stripe: int


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
    reason: str  # why it is parked
    priced_under: int  # the revision of the prices under which it could not be priced, at least 1; 0: it waits for its mandate
    hold_key: str | None = None  # of the hold that it names, which doesn't expire meanwhile if it is of the same user
    hold_user_id: str | None = None  # whose that is; neither is told of what is found

    @property
    def raw(self) -> RawEvent:
        """The event's bytes, as they came."""
        return RawEvent(self.body, self.origin, self.typed_json)

    @property
    def stored_hash(self) -> StoredHash:
        """What a later delivery under the same key is compared with."""
        return StoredHash(self.payload_hash, self.hash_version)


_KEPT = ("payload_hash", "hash_version", "body", "typed_json", "origin", "reason", "priced_under", "hold_key", "hold_user_id")


def _parked(row: Row[Any]) -> ParkedEvent:
    found = row.payload_hash, row.hash_version, row.body, row.typed_json, row.origin, row.reason, row.priced_under
    return ParkedEvent((row.mandate_id, row.event_id), *found)


def park_events(connection: Connection, events: Sequence[ParkedEvent]) -> set[EventKey]:
    """Parks those events whose key is not parked yet and returns their keys. Keys must not repeat."""
    parameters: dict[str, object] = {"mandate_id": [e.key[0] for e in events], "event_id": [e.key[1] for e in events]}
    parameters |= {name: [getattr(e, name) for e in events] for name in _KEPT}
    return {(mandate_id, event_id) for mandate_id, event_id in connection.execute(_PARK, parameters)}


def find_parked(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, ParkedEvent]:
    """What is parked under those of `keys` that are."""
    rows = connection.execute(_FIND, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {parked.key: parked for parked in map(_parked, rows)}


def count_parked(connection: Connection, mandate_ids: Iterable[str]) -> tuple[list[int], dict[str, list[int]]]:
    """Parked events altogether and of each mandate: those whose mandate isn't known, and those that can't be priced.

    What others park or release in this moment is not counted yet.
    """
    ids = list(mandate_ids)
    counts = {row.mandate_id: [row.unknown, row.suspended] for row in connection.execute(_COUNT, {"mandate_ids": ["", *ids]})}
    return counts.get("", [0, 0]), {mandate_id: counts.get(mandate_id, [0, 0]) for mandate_id in ids}


def with_parked(connection: Connection, mandate_ids: Iterable[str]) -> set[str]:
    """Those of the mandates of which any event is parked."""
    return set(connection.execute(_WITH_PARKED, {"mandate_ids": packed(mandate_ids)}).scalars())


def find_releasable(
    connection: Connection, after: Position | None, events_max: int, *, without_directory: bool, revision: int
) -> list[tuple[ParkedEvent, Position]]:
    """The next parked events after a position whose mandate is known by now, or need not be where there is no directory.

    What could not be priced is among them once prices are of a later revision than then. Mandate by mandate, each one's oldest first;
    nothing is locked.
    """
    mandate_id, received_at, event_id = after or ("", None, "")
    after_all = {"from_mandate": mandate_id, "after_time": received_at, "after_event": event_id}
    parameters = {**after_all, "events_max": events_max, "revision": max(1, revision)}
    rows = connection.execute(_NOT_DISABLED if without_directory else _KNOWN_TO_US, parameters)
    return [(_parked(row), (row.mandate_id, row.received_at, row.event_id)) for row in rows]


def put_back(connection: Connection, events: Sequence[tuple[Taken, ParkedEvent]]) -> None:
    """Parks events again that were just taken, as if they had stayed but for why they are parked and under which prices."""
    parameters: dict[str, object] = {"mandate_id": [e.key[0] for _, e in events], "event_id": [e.key[1] for _, e in events]}
    parameters |= {name: [getattr(event, name) for _, event in events] for name in _KEPT}
    parameters |= {"received_at": [taken.received_at for taken, _ in events], "stripe": [taken.stripe for taken, _ in events]}
    connection.execute(_PUT_BACK, parameters)


def take_parked(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, Taken]:
    """Removes what is parked under these keys, but for what another transaction is taking; returns whose rows were removed. Never waits."""
    rows = connection.execute(_TAKE, {"mandate_ids": [k[0] for k in keys], "event_ids": [k[1] for k in keys]})
    return {(row.mandate_id, row.event_id): Taken(row.received_at, row.stripe) for row in rows}
