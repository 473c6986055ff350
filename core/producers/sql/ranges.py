"""SQL of the numbers that came: appended by each batch, so that no row is moved by all workers."""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from core.database.packing import packed, unpacked_rows
from core.producers.model import Number, ranges_of

_APPEND = text(f"""
    INSERT INTO producer_ranges (producer_id, seen)
    SELECT r.producer_id, r.seen FROM {unpacked_rows({"producer_id": "text", "seen": "int8multirange"})} AS r WHERE r.producer_id IS NOT NULL
       AND (NOT :only_known OR EXISTS (SELECT FROM producers p WHERE p.producer_id = r.producer_id))
""")


def append_numbers(connection: Connection, numbers: Iterable[Number], *, only_known: bool = False) -> None:
    """Writes down that these numbers came, one row for each producer, with `only_known` not of one that was forgotten. Any may come again."""
    ranges = ranges_of(numbers)
    if ranges:
        connection.execute(_APPEND, {"producer_id": packed(ranges), "seen": packed(ranges.values()), "only_known": only_known})
