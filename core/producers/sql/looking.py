"""SQL that asks the ledger for numbers that nobody appended: workers of a release before recorded them, or they came before there were any."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, text

GAPS_MAX = 10_000  # looked for at once, the oldest first

# A gap that appeared while workers were upgraded may be of a process that was numbering long before.
_DUE = text("""
    SELECT array_agg(DISTINCT g.producer_id) AS producer_ids,
           CAST(min(CASE WHEN g.since < b.numbers_since + interval '2 days' THEN '-infinity' ELSE g.since - interval '2 days' END) AS text)
           AS recorded_from
      FROM (SELECT producer_id, since FROM producer_gaps WHERE looked_at IS NULL AND since < clock_timestamp() - :age
             ORDER BY since LIMIT :gaps_max) AS g CROSS JOIN books b
    HAVING (SELECT max(looked_at) FROM producer_gaps) IS NULL OR (SELECT max(looked_at) FROM producer_gaps) < clock_timestamp() - :pause
""")

_FIND = text("""
    WITH wanted AS MATERIALIZED (
        SELECT producer_id, range_agg(int8range(first_seq, last_seq + 1)) AS missing FROM producer_gaps
         WHERE producer_id = ANY(:producer_ids) AND looked_at IS NULL GROUP BY producer_id
    )
    SELECT w.producer_id, CAST(range_agg(int8range(t.producer_seq, t.producer_seq + 1)) AS text) AS seen
      FROM transactions t JOIN wanted w ON w.producer_id = t.producer_id
     WHERE t.recorded_at >= CAST(:recorded_from AS timestamptz) AND t.producer_id IS NOT NULL AND w.missing @> t.producer_seq
     GROUP BY w.producer_id
""")

_LOOKED = text("""
    UPDATE producer_gaps SET looked_at = clock_timestamp()
     WHERE producer_id = ANY(:producer_ids) AND looked_at IS NULL AND since < clock_timestamp() - :age
""")


def due_look(connection: Connection, age: timedelta, pause: timedelta) -> tuple[list[str], str] | None:
    """Whose gaps are older than `age` and weren't looked for, and since when their numbers may be recorded; none, or within `pause` of the last."""
    row = connection.execute(_DUE, {"age": age, "pause": pause, "gaps_max": GAPS_MAX}).one_or_none()
    return None if row is None or row.producer_ids is None else (row.producer_ids, row.recorded_from)


def find_numbers(connection: Connection, producer_ids: Sequence[str], recorded_from: str) -> list[tuple[str, str]]:
    """Of what is missing of these producers, what the ledger has recorded since then: (producer, multirange)."""
    rows = connection.execute(_FIND, {"producer_ids": list(producer_ids), "recorded_from": recorded_from})
    return [(row.producer_id, row.seen) for row in rows]


def mark_looked(connection: Connection, producer_ids: Sequence[str], age: timedelta) -> int:
    """The ledger was asked for what is missing of these producers, and older than `age`; returns how many gaps that are."""
    return connection.execute(_LOOKED, {"producer_ids": list(producer_ids), "age": age}).rowcount
