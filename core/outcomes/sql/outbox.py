"""SQL of the outbox of outcomes: what producers are still to be told, by the queue on which they asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, text

from core.billing import ToldOutcome
from core.database.locks import Lock, try_hold

QUEUES_MAX = 100  # with anything that waits; what is for further ones is withheld
DETAIL_LENGTH_MAX = 500

# From queue to queue by the index, however much waits on each.
_QUEUES = """
    WITH RECURSIVE named AS (
        (SELECT queue FROM outcome_messages ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (SELECT m.queue FROM outcome_messages m WHERE m.queue > n.queue ORDER BY m.queue LIMIT 1) FROM named n WHERE n.queue IS NOT NULL
    )
    SELECT queue FROM named WHERE queue IS NOT NULL LIMIT :queues_max
"""
_NAMES = text(_QUEUES)

_ROOM = text(f"""
    SELECT w.queue, (SELECT count(*) FROM (SELECT FROM outcome_messages m WHERE m.queue = w.queue LIMIT :messages_max) AS counted) AS waiting,
           (SELECT count(*) FROM ({_QUEUES}) AS named) AS queues
      FROM unnest(CAST(:queues AS text[])) AS w(queue)
""")

_ADD = text("""
    INSERT INTO outcome_messages (queue, outcome, reason, detail, mandate_id, event_id, body_sha256)
    SELECT * FROM unnest(CAST(:queue AS text[]), CAST(:outcome AS text[]), CAST(:reason AS text[]), CAST(:detail AS text[]),
                         CAST(:mandate_id AS text[]), CAST(:event_id AS text[]), CAST(:body_sha256 AS bytea[]))
""")

_TAKE = text("""
    WITH taken AS (
        DELETE FROM outcome_messages
         WHERE id = ANY(ARRAY(SELECT id FROM outcome_messages WHERE queue = :queue ORDER BY id LIMIT :messages_max)) RETURNING *
    )
    SELECT t.id AS outcome_id, t.outcome, t.reason, t.detail, t.mandate_id, t.event_id, l.id AS dead_letter_id, t.recorded_at
      FROM taken t LEFT JOIN dead_letters l ON l.body_sha256 = t.body_sha256
     ORDER BY t.id
""")

_AGE_OUT = text("""
    DELETE FROM outcome_messages
     WHERE id = ANY(ARRAY(SELECT id FROM outcome_messages WHERE recorded_at < clock_timestamp() - :days * interval '1 day'
                           ORDER BY id LIMIT :rows_max))
""")

_COUNT = text("SELECT count(*) FROM (SELECT FROM outcome_messages LIMIT :counted_max) AS counted")


@dataclass(frozen=True, slots=True)
class ToTell:
    """What a producer is to be told of one event, and on which queue; the hash is that of its dead letter, None of what is parked."""

    queue: str
    outcome: ToldOutcome
    reason: str
    detail: str
    mandate_id: str | None
    event_id: str | None
    body_sha256: bytes | None


def add_outcomes(connection: Connection, outcomes: Sequence[ToTell], messages_max: int) -> int:
    """Writes down what is to be told, as long as less than `messages_max` waits for its queue, and for 100 queues at most.

    Returns for how many there was no room: they are told to nobody. Transactions at the same time may together take some more.
    """
    queues = {one.queue: 0 for one in outcomes}
    parameters = {"queues": sorted(queues), "messages_max": messages_max, "queues_max": QUEUES_MAX}
    waiting = {row.queue: row for row in connection.execute(_ROOM, parameters)}
    others = max(row.queues for row in waiting.values())
    room = {}
    for queue, row in waiting.items():
        if not row.waiting:
            others += 1
        room[queue] = messages_max - row.waiting if row.waiting or others <= QUEUES_MAX else 0
    kept = []
    for one in outcomes:
        if queues[one.queue] < room[one.queue]:
            queues[one.queue] += 1
            kept.append(one)
    if kept:
        connection.execute(_ADD, {name: [_value(one, name) for one in kept] for name in ToTell.__slots__})
    return len(outcomes) - len(kept)


def _value(one: ToTell, name: str) -> object:
    value = getattr(one, name)
    return value[:DETAIL_LENGTH_MAX] if name == "detail" else value.value if name == "outcome" else value


def try_hold_outcomes(connection: Connection) -> bool:
    """Whether what waits is this transaction's alone until it ends; if not, somebody else is at it."""
    return try_hold(connection, Lock.OUTCOMES)


def waiting_queues(connection: Connection) -> list[str]:
    """The queues for which anything waits."""
    return list(connection.execute(_NAMES, {"queues_max": 2 * QUEUES_MAX}).scalars())


def take_outcomes(connection: Connection, queue: str, messages_max: int) -> list[RowMapping]:
    """Removes the oldest outcomes that wait for a queue, and tells them as the fields of their messages, in order."""
    return list(connection.execute(_TAKE, {"queue": queue, "messages_max": messages_max}).mappings())


def age_out_outcomes(connection: Connection, days: int, rows_max: int) -> int:
    """Removes up to `rows_max` outcomes that waited for so many days: nobody reads their queues. Returns how many."""
    return connection.execute(_AGE_OUT, {"days": days, "rows_max": rows_max}).rowcount


def count_waiting(connection: Connection, counted_max: int) -> int:
    """How many outcomes wait, counted up to so many."""
    return int(connection.execute(_COUNT, {"counted_max": counted_max}).scalar_one())
