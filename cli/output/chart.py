"""Bars for people, as text that stands in a table's cell."""

import sys
from decimal import Decimal

from rich.bar import END_BLOCK_ELEMENTS, FULL_BLOCK

_EIGHTHS = 8


def bar(value: Decimal | int, greatest: Decimal | int, width: int = 24) -> str:
    """A bar as long as `value` is in proportion to `greatest`, which takes `width` characters; none for 0 and below."""
    if value <= 0 or greatest <= 0:
        return ""
    eighths = max(1, round(value * width * _EIGHTHS / greatest))
    drawn = FULL_BLOCK * (eighths // _EIGHTHS) + END_BLOCK_ELEMENTS[eighths % _EIGHTHS].strip()
    try:
        drawn.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * max(1, eighths // _EIGHTHS)
    return drawn
