"""How much one read may bring back, and where it begins.

A list is read page by page. Each page begins after a cursor: the sort key of the last row already seen, which every row shows. It is
called `before` where the newest come first and `after` where the rows ascend. An `offset` leaves rows out first, but reads them all.
"""

from datetime import date, datetime
from typing import Annotated, NamedTuple

from pydantic import Field

from core.asking.request import Day, Moment, RowId
from core.errors import RequestRefused

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000

Limit = Annotated[int, Field(strict=True)]
Offset = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Cursor = tuple[datetime, int]


class Page(NamedTuple):
    """The newest `limit` entries before the cursor (`recorded_at` and id), of the local days `first` to `last`, both included; None: no bound."""

    limit: Limit = LIMIT_DEFAULT
    before: tuple[Moment, RowId] | None = None
    first: Day | None = None
    last: Day | None = None


FIRST_PAGE = Page()


def check_page(limit: int = LIMIT_DEFAULT, offset: int = 0, first: date = date.min, last: date = date.max) -> None:
    """Returns if the page can be read.

    Raises:
        RequestRefused: the limit is not 1 to 10,000, the offset is negative, or `last` is before `first`.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise RequestRefused(f"limit must be 1 to {LIMIT_MAX} (got {limit})")
    if offset < 0:
        raise RequestRefused(f"offset must not be negative (got {offset})")
    if last < first:
        raise RequestRefused(f"{last.isoformat()} is before {first.isoformat()}", field="to", value=last)
