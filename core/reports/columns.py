"""What an export is made of: columns, each with the kind of its values, whatever file they end in."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What the values of a column are; any of them may be absent."""

    TEXT = "text"
    INTEGER = "integer"  # of 64 bits
    AMOUNT = "amount"  # CHF, as NUMERIC(20,9)
    TOTAL = "total"  # a sum of amounts in CHF, as NUMERIC(29,9)
    COST = "cost"  # in the currency of the column beside it, as NUMERIC(38,18), or a sum of such
    COUNT = "count"  # a sum of integers, as NUMERIC(30)
    TIME = "time"  # UTC, to the microsecond
    BOUND = "bound"  # where a period begins or ends: UTC, to the second
    DAY = "day"


class Layout(StrEnum):
    """Which columns an export has: those of the books, or those of FOCUS (`core.reports.focus`)."""

    BOOKS = "books"
    FOCUS = "focus"


class Column(NamedTuple):
    """A column of an export."""

    name: str
    kind: Kind


Row = tuple[object, ...]  # a value per column
