"""Cohere's API of version 2: `Usage`, whose numbers are written as fractions. What is billed is `billed_units`.

`tokens` count what Cohere adds to a prompt, too, which nobody pays; cached tokens have no price of their own and are
billed like others.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import given, inner, rest, take
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_BILLED, _TOKENS, _CACHED = "billed_units", "tokens", "cached_tokens"
_NAMES = {"input_tokens": Leaf.INPUT, "output_tokens": Leaf.OUTPUT}


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    take(usage, {}, (_BILLED, _TOKENS, _CACHED), "", unmapped)
    leaves: dict[Leaf, int] = take(inner(usage, _BILLED), _NAMES, (), f"{_BILLED}.", unmapped)
    tokens = take(inner(usage, _TOKENS), _NAMES, (), f"{_TOKENS}.", unmapped)
    cached = given(usage, _CACHED, "")
    if Leaf.INPUT in tokens:
        rest(tokens[Leaf.INPUT], cached, f"{_TOKENS}.input_tokens")
    return Reading(leaves, tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.COHERE_V2,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="no more tokens are cached than were given",
    keys={
        **{f"{_BILLED}.{key}": leaf for key, leaf in _NAMES.items()},
        **{f"{_TOKENS}.{key}": "checked" for key in _NAMES},
        _CACHED: "checked, no price of their own",
    },
)
