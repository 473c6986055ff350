"""SQL of what is kept for ever, whole: every row of the price book and every stamp, with the hash of its content."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from core.prices.model import PriceRow, StampContent
from core.prices.sql.stamps import stamp_of
from core.prices.sql.versions import ROW, price_row

_ROWS_AT_ONCE = 1_000
_PRICE_ROWS = text(f"SELECT r.content_hash, {ROW} FROM price_rows r")
_STAMPS = text(f"SELECT content_hash, id, {', '.join(StampContent._fields)} FROM stamps")


def kept_rows(connection: Connection) -> Iterator[tuple[PriceRow, bytes]]:
    """Each row of any version; a page at a time is in memory."""
    with connection.execute(_PRICE_ROWS, execution_options={"yield_per": _ROWS_AT_ONCE}) as found:
        for each in found.mappings():
            columns = dict(each)
            hashed = bytes(columns.pop("content_hash"))
            yield price_row(**columns), hashed


def kept_stamps(connection: Connection) -> Iterator[tuple[int, StampContent, bytes]]:
    """Each stamp, by its id; a page at a time is in memory."""
    with connection.execute(_STAMPS, execution_options={"yield_per": _ROWS_AT_ONCE}) as found:
        for each in found.mappings():
            yield each["id"], stamp_of(each), bytes(each["content_hash"])
