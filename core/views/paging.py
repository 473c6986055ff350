"""How much one read may bring back, and where it begins.

A list is read page by page. Each page begins after a cursor: the sort key of the last row already seen, which every row shows. It is
called `before` where the newest come first and `after` where the rows ascend. An `offset` leaves rows out first, but reads them all.
"""

from datetime import date

from core.errors import RequestRefused
from core.storage.reading.listing import Cursor, Rows

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000


def check_page(limit: int, offset: int = 0) -> None:
    """Returns if the page can be read.

    Raises:
        RequestRefused: the limit is not 1 to 10,000 or the offset is negative.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise RequestRefused(f"limit must be 1 to {LIMIT_MAX} (got {limit})")
    if offset < 0:
        raise RequestRefused(f"offset must not be negative (got {offset})")


def rows_of(limit: int, offset: int = 0, cursor: Cursor | None = None) -> Rows:
    """Those rows of a list.

    Raises:
        RequestRefused: as `check_page`.
    """
    check_page(limit, offset)
    return Rows(limit, offset, cursor)


def check_days(first: date, last: date) -> None:
    """Returns if these are the first and the last day of a range.

    Raises:
        RequestRefused: `last` is before `first`.
    """
    if last < first:
        raise RequestRefused(f"to: {last.isoformat()} is before {first.isoformat()}")
