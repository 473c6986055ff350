"""SQL that merges what batches appended into one row for each producer, and one for each range of numbers that is missing.

All of it under `Lock.PRODUCERS`: whoever holds it is the only one to write these two tables.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.locks import Lock, hold, try_hold
from core.database.packing import packed, packed_times, unpacked_rows

ROWS_MAX, BYTES_MAX = 5_000, 1024 * 1024  # of what batches appended, in one transaction

# Of each producer what came, and which numbers between the highest so far and the one now are missing, since when.
_TAKE = text("""
    WITH oldest AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place, sum(pg_column_size(seen)) OVER (ORDER BY id) AS size
          FROM (SELECT id, seen FROM producer_ranges ORDER BY id LIMIT :rows_max) AS first
    ), taken AS MATERIALIZED (
        DELETE FROM producer_ranges WHERE id = ANY(ARRAY(SELECT id FROM oldest WHERE place = 1 OR size <= :bytes_max))
        RETURNING producer_id, seen, seen_at
    ), fresh AS MATERIALIZED (
        SELECT producer_id, range_agg(seen) AS seen, min(seen_at) AS first_at, max(seen_at) AS last_at, array_agg(upper(seen)) AS each_upper,
               array_agg(seen_at) AS each_at
          FROM taken GROUP BY producer_id
    ), known AS MATERIALIZED (
        SELECT f.*, p.producer_id IS NULL AS is_new, coalesce(p.highest, 0) AS before, p.untracked_from, upper(f.seen) - 1 AS highest
          FROM fresh f LEFT JOIN producers p ON p.producer_id = f.producer_id
    )
    SELECT k.producer_id, k.is_new, k.highest, k.first_at, k.last_at, CAST(k.seen AS text) AS seen, g.first_seq, g.last_seq, g.since
      FROM known k
      LEFT JOIN LATERAL (
           SELECT lower(r.missing) AS first_seq, upper(r.missing) - 1 AS last_seq,
                  (SELECT min(e.seen_at) FROM unnest(k.each_upper, k.each_at) AS e(upper, seen_at) WHERE e.upper > upper(r.missing)) AS since
             FROM unnest(int8multirange(int8range(k.before + 1, greatest(k.before, k.highest) + 1)) - k.seen) AS r(missing)
            WHERE k.untracked_from IS NULL
            LIMIT :gaps_max + 1) AS g
        ON true
     ORDER BY k.producer_id, g.first_seq
""")

_COUNT_PRODUCERS = text("SELECT count(*) FROM (SELECT FROM producers LIMIT :counted_max) AS counted")
_COUNT_GAPS = text("SELECT count(*) FROM (SELECT FROM producer_gaps LIMIT :counted_max) AS counted")

_KEEP = text(f"""
    INSERT INTO producers AS p (producer_id, highest, first_seen_at, last_seen_at)
    SELECT s.producer_id, s.highest, s.first_at, s.last_at
      FROM {unpacked_rows({"producer_id": "text", "highest": "bigint", "first_at": "timestamptz", "last_at": "timestamptz"})} AS s
     WHERE s.producer_id IS NOT NULL
    ON CONFLICT (producer_id) DO UPDATE
       SET highest = greatest(p.highest, excluded.highest), last_seen_at = greatest(p.last_seen_at, excluded.last_seen_at)
""")

# What came of gaps there were: each such gap goes, and leaves what is still missing of it.
_FILL = text(f"""
    WITH gone AS (
        DELETE FROM producer_gaps g
         USING {unpacked_rows({"producer_id": "text", "seen": "int8multirange"})} AS s
         WHERE s.producer_id = g.producer_id AND s.seen && int8range(g.first_seq, g.last_seq + 1)
        RETURNING g.producer_id, g.since, g.looked_at, int8multirange(int8range(g.first_seq, g.last_seq + 1)) - s.seen AS missing
    )
    SELECT g.producer_id, lower(r.missing) AS first_seq, upper(r.missing) - 1 AS last_seq, g.since, g.looked_at
      FROM gone g LEFT JOIN LATERAL unnest(g.missing) AS r(missing) ON true
""")

_ADD = text("""
    INSERT INTO producer_gaps (producer_id, first_seq, last_seq, since, looked_at)
    SELECT * FROM unnest(CAST(:producer_id AS text[]), CAST(:first_seq AS bigint[]), CAST(:last_seq AS bigint[]), CAST(:since AS timestamptz[]),
                         CAST(:looked_at AS timestamptz[]))
""")

# Of a producer with too many gaps the first ones stay, and from there on nobody looks any more.
_CUT = text("""
    WITH cut AS (
        SELECT p.producer_id, g.first_seq
          FROM unnest(CAST(:producer_ids AS text[])) AS p(producer_id)
         CROSS JOIN LATERAL (SELECT first_seq FROM producer_gaps WHERE producer_id = p.producer_id
                              ORDER BY first_seq OFFSET :gaps_max LIMIT 1) AS g
    ), gone AS (
        DELETE FROM producer_gaps g USING cut c WHERE g.producer_id = c.producer_id AND g.first_seq >= c.first_seq
    )
    UPDATE producers p SET untracked_from = c.first_seq FROM cut c WHERE p.producer_id = c.producer_id RETURNING p.producer_id
""")

_MARK = text("""
    WITH seen AS (
        SELECT p.producer_id, p.untracked_from IS NOT NULL OR EXISTS (SELECT FROM producer_gaps g WHERE g.producer_id = p.producer_id) AS incomplete
          FROM producers p WHERE p.producer_id = ANY(:producer_ids)
    )
    UPDATE producers p SET incomplete = s.incomplete FROM seen s WHERE p.producer_id = s.producer_id AND p.incomplete <> s.incomplete
""")

_FORGET = text("""
    WITH gone AS (
        DELETE FROM producers
         WHERE producer_id = ANY(ARRAY(SELECT producer_id FROM producers WHERE last_seen_at < now() - :days * interval '1 day' LIMIT :producers_max))
        RETURNING producer_id
    ), with_them AS (
        DELETE FROM producer_gaps g USING gone WHERE g.producer_id = gone.producer_id
    )
    SELECT count(*) FROM gone
""")


class Gap(NamedTuple):
    """Numbers of a producer that have not come, both ends included, since when, and when the ledger was asked for them."""

    producer_id: str
    first_seq: int
    last_seq: int
    since: datetime
    looked_at: datetime | None = None


class Came(NamedTuple):
    """What came of one producer; `seen` as PostgreSQL writes a multirange."""

    producer_id: str
    is_new: bool
    highest: int
    first_at: datetime
    last_at: datetime
    seen: str


def hold_producers(connection: Connection) -> None:
    """Until the transaction ends, nobody else writes what is known of producers."""
    hold(connection, Lock.PRODUCERS)


def try_hold_producers(connection: Connection) -> bool:
    """As `hold_producers`, but without waiting: whether it is ours."""
    return try_hold(connection, Lock.PRODUCERS)


def take_ranges(connection: Connection, gaps_max: int) -> tuple[list[Came], list[Gap]]:
    """Removes the oldest of what batches appended, up to 5,000 rows or 1 MiB; tells what came, and what is newly missing of each producer.

    Of one producer not more than `gaps_max` gaps and one; none where nobody looks any more.
    """
    parameters = {"rows_max": ROWS_MAX, "bytes_max": BYTES_MAX, "gaps_max": gaps_max}
    came: dict[str, Came] = {}
    gaps = []
    for row in connection.execute(_TAKE, parameters):
        came[row.producer_id] = Came(*row[:6])
        if row.first_seq is not None:
            gaps.append(Gap(row.producer_id, row.first_seq, row.last_seq, row.since))
    return list(came.values()), gaps


def count_producers(connection: Connection, counted_max: int) -> int:
    """How many producers are known, counted up to so many."""
    return int(connection.execute(_COUNT_PRODUCERS, {"counted_max": counted_max}).scalar_one())


def count_gaps(connection: Connection, counted_max: int) -> int:
    """How many ranges of numbers are missing, of all producers together, counted up to so many."""
    return int(connection.execute(_COUNT_GAPS, {"counted_max": counted_max}).scalar_one())


def keep_producers(connection: Connection, came: Sequence[Came]) -> None:
    """Writes down how far each producer has come, and when it was last seen."""
    parameters = {
        "producer_id": packed([one.producer_id for one in came]),
        "highest": packed([one.highest for one in came]),
        "first_at": packed_times([one.first_at for one in came]),
        "last_at": packed_times([one.last_at for one in came]),
    }
    connection.execute(_KEEP, parameters)


def fill_gaps(connection: Connection, seen: Iterable[tuple[str, str]]) -> tuple[list[Gap], bool]:
    """Takes away the gaps in which any of `seen` (producer, multirange) lies; returns what is still missing of them, to be added.

    And whether one of them had been told as missing.
    """
    ranges = list(seen)
    parameters = {"producer_id": packed([one for one, _ in ranges]), "seen": packed([numbers for _, numbers in ranges])}
    left, told = [], False
    for row in connection.execute(_FILL, parameters):
        told = told or row.looked_at is not None
        if row.first_seq is not None:
            left.append(Gap(*row))
    return left, told


def add_gaps(connection: Connection, gaps: Sequence[Gap]) -> None:
    """Writes down what is missing."""
    if gaps:
        connection.execute(_ADD, {name: [getattr(gap, name) for gap in gaps] for name in Gap._fields})


def cut_gaps(connection: Connection, producer_ids: Collection[str], gaps_max: int) -> list[str]:
    """Of these producers' gaps keeps the first `gaps_max`; returns who had more, of whom nobody looks at what follows any more."""
    return list(connection.execute(_CUT, {"producer_ids": list(producer_ids), "gaps_max": gaps_max}).scalars())


def mark_incomplete(connection: Connection, producer_ids: Collection[str]) -> None:
    """Each of these producers is marked as incomplete, or not, by what is missing of it now."""
    connection.execute(_MARK, {"producer_ids": list(producer_ids)})


def forget_unseen(connection: Connection, days: int, producers_max: int) -> int:
    """Removes up to `producers_max` producers that were not seen for so many days, with their gaps; returns how many."""
    return int(connection.execute(_FORGET, {"days": days, "producers_max": producers_max}).scalar_one())
