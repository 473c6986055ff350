"""Tollbook's own: the names of the leaves as keys, for whoever has counted in classes that don't overlap."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import take
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_NAMES = {leaf.value: leaf for leaf in Leaf}


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    return Reading(take(usage, _NAMES, (), "", unmapped), tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.CANONICAL,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    keys={leaf.value: leaf.value for leaf in Leaf},
)
