"""xAI's chat completions: OpenAI's words and what the call cost; but reasoning stands beside the completion."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from core.dialects.counts import count
from core.dialects.inclusive import Inclusive, Words
from core.dialects.model import Call, Cost, Dialect, Leaf, Reading, UsageDialect

_TICKS, _DOLLARS_PER_TICK = "cost_in_usd_ticks", Decimal("1E-10")
_INCLUSIVE = Inclusive(Words("prompt_tokens", "completion_tokens", beside=frozenset({_TICKS}), reasoning_beside=True))


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    leaves = _INCLUSIVE.leaves(usage, unmapped)
    ticks = usage.get(_TICKS)
    cost = None if ticks is None else Cost(count(ticks, _TICKS) * _DOLLARS_PER_TICK, "USD")
    return Reading(leaves, tuple(unmapped), cost=cost)


DIALECT = Dialect(
    UsageDialect.XAI_CHAT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = prompt_tokens + completion_tokens + reasoning_tokens",
    keys={
        **_INCLUSIVE.keys(),
        "completion_tokens": f"{Leaf.OUTPUT}, without its parts; reasoning isn't one",
        _TICKS: "what the call cost: 10,000,000,000 are 1 USD",
    },
)
