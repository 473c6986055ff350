"""SQL of re-rating: the present debits of a mandate's local days, a page at a time, and what became of them under a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from core.database.local_days import entries_in_days
from core.database.rows import rows
from core.ledger.kinds import COSTS
from core.ledger.priced import GIVEN_STAMP
from core.ledger.sql.entry_kinds import is_of
from core.movements.rerating import Delta, Left
from core.movements.sql.amendments import ENTRY_COLUMNS, EventEntry, entry_of
from core.prices.model import StampKind

# Debits that stand: of an event that was amended that is the last one alone. (OFFSET 0 has each looked up by its event.)
_STANDS = f"""
    {is_of(COSTS)} AND t.recorded_at < :until AND (CAST(:model AS text) IS NULL OR t.model = :model)
    AND NOT EXISTS (SELECT FROM amendments m WHERE m.mandate_id = t.mandate_id AND m.event_id = t.event_id AND m.reversed_id = t.id OFFSET 0)
"""
_IS_RATED = f"""
    t.stamp_id <> {GIVEN_STAMP} AND (SELECT s.kind FROM stamps s WHERE s.id = t.stamp_id) = '{StampKind.RATED}'
    AND (CAST(:stamp_ids AS bigint[]) IS NULL OR t.stamp_id = ANY(:stamp_ids))
"""
_OF_MANDATE = "t.mandate_id = :mandate_id"
_PAGE_OF = entries_in_days(
    "t.id, t.recorded_at",
    _OF_MANDATE,
    f"AND {_STANDS} AND {_IS_RATED} AND (t.recorded_at, t.id) > (:after_time, :after_id) ORDER BY t.recorded_at, t.id LIMIT :events_max",
)

# Whoever walks along the time of recording reads each entry once, whatever its day; and what is written meanwhile comes after `until`.
_PAGE = text(f"""
    WITH page AS MATERIALIZED (
        SELECT id, recorded_at FROM ({_PAGE_OF}) AS found ORDER BY recorded_at, id LIMIT :events_max
    )
    SELECT coalesce((SELECT max(m.number) FROM amendments m WHERE m.mandate_id = t.mandate_id AND m.event_id = t.event_id), 0) AS number,
           {ENTRY_COLUMNS}
      FROM page CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = page.id AND recorded_at = page.recorded_at OFFSET 0) AS t
     ORDER BY t.recorded_at, t.id
""")

_OTHERS_OF = entries_in_days("t.event_id, t.stamp_id", _OF_MANDATE, f"AND {_STANDS}")
_OTHERS = text(f"""
    SELECT :mandate_id AS mandate_id, reason, count(*) AS events, min(event_id) AS example
      FROM (SELECT event_id, coalesce((SELECT s.kind FROM stamps s WHERE s.id = stamp_id), '{StampKind.GIVEN}') AS reason
              FROM ({_OTHERS_OF}) AS found) AS kinds
     WHERE reason <> '{StampKind.RATED}' GROUP BY reason ORDER BY reason
""")

_DELTAS = text("""
    SELECT m.mandate_id, coalesce(o.model, '') AS model, count(*) AS events, count(o.price_computed) AS shadow,
           sum(o.amount) AS before, sum(d.amount) AS after,
           sum(coalesce(o.price_computed, o.amount)) AS rated_before, sum(coalesce(d.price_computed, d.amount)) AS rated_after
      FROM amendments m
      JOIN transactions o ON o.id = m.reversed_id AND o.recorded_at = m.reversed_recorded_at
      JOIN transactions d ON d.id = m.debit_id AND d.recorded_at = m.recorded_at
     WHERE m.mandate_id = :mandate_id AND m.operation = :operation AND m.idempotency_key = :key
     GROUP BY m.mandate_id, o.model ORDER BY o.model
""")

_MANDATES = text("SELECT mandate_id FROM billing_settings ORDER BY mandate_id")
_AMENDED = text("""
    SELECT s.mandate_id FROM billing_settings s
     WHERE EXISTS (SELECT FROM amendments m WHERE m.mandate_id = s.mandate_id AND m.operation = :operation AND m.idempotency_key = :key OFFSET 0)
     ORDER BY s.mandate_id
""")

Position = tuple[datetime, int]  # of a debit: when it was recorded, and its id


@dataclass(frozen=True, slots=True)
class Walk:
    """Which debits are looked at: of a mandate's local days, recorded before a time; of one model, under some stamps, or any (None)."""

    mandate_id: str
    first: date
    last: date
    until: datetime
    model: str | None = None
    stamp_ids: Sequence[int] | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """For the queries of this module."""
        told = {name: getattr(self, name) for name in ("mandate_id", "first", "last", "until", "model")}
        return told | {"stamp_ids": None if self.stamp_ids is None else list(self.stamp_ids)}


def rated_page(connection: Connection, walk: Walk, after: Position | None, events_max: int) -> list[EventEntry]:
    """The next debits that stand and are rated by the book, in the order in which they were recorded."""
    time, row_id = after or ("-infinity", 0)
    return [entry_of(row) for row in connection.execute(_PAGE, {**walk.parameters, "after_time": time, "after_id": row_id, "events_max": events_max})]


def others(connection: Connection, walk: Walk) -> list[Left]:
    """How many debits stand there that aren't rated by the book, by the kind of their stamp."""
    parameters = walk.parameters
    del parameters["stamp_ids"]
    return rows(connection, Left, _OTHERS, **parameters)


def deltas_under(connection: Connection, mandate_id: str, operation: str, key: str) -> list[Delta]:
    """What the amendments under a key have changed, by model."""
    return rows(connection, Delta, _DELTAS, mandate_id=mandate_id, operation=operation, key=key)


def all_mandates(connection: Connection) -> list[str]:
    """All that may have usage."""
    return list(connection.execute(_MANDATES).scalars())


def amended_mandates(connection: Connection, operation: str, key: str) -> list[str]:
    """Those of which something was amended under the key."""
    return list(connection.execute(_AMENDED, {"operation": operation, "key": key}).scalars())
