"""OpenRouter's chat completions: OpenAI's words, what the call cost, and tools that OpenRouter itself runs.

`cost` is what OpenRouter charges. What the upstream costs (`cost_details`) is inside it, or the customer's own affair,
and is never added.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from core.dialects.counts import contradiction, inner, take, word
from core.dialects.inclusive import INPUT_PARTS, WRITTEN, Inclusive, Words
from core.dialects.model import Call, Cost, Dialect, Leaf, Reading, UsageDialect

_CURRENCY, _COST_MAX = "USD", 1_000_000_000
_OPENAI = "openai/"  # whose written tokens are kept for 30 minutes; of other vendors' nothing tells for how long
_WRITE, _WRITE_30M = Leaf.CACHE_WRITE, Leaf.CACHE_WRITE_30M
_TOOLS = ("server_tool_use_details", "server_tool_use")  # as it is called now, and was before
_TOOL_COUNTS = {"web_search_requests": Leaf.WEB_SEARCH}
_TOOLS_BESIDE = ("tool_calls_requested", "tool_calls_executed")  # cost nothing by themselves; searches are among them
_INCLUSIVE = Inclusive(
    Words(
        "prompt_tokens",
        "completion_tokens",
        input_parts=INPUT_PARTS | WRITTEN | {"video_tokens": Leaf.INPUT_VIDEO},
        beside=frozenset({"cost", "cost_details", "is_byok", "service_tier", *_TOOLS}),
    )
)


def read(usage: Mapping[str, Any], call: Call) -> Reading:
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    leaves = _INCLUSIVE.leaves(usage, unmapped)
    if _WRITE_30M in leaves and not (call.model or "").startswith(_OPENAI):
        leaves[_WRITE] = leaves.pop(_WRITE_30M)
    for key in _TOOLS:
        if usage.get(key) is not None:
            leaves |= take(inner(usage, key), _TOOL_COUNTS, _TOOLS_BESIDE, f"{key}.", unmapped)
    tier = word(usage, "service_tier")
    return Reading(leaves, tuple(unmapped), {} if tier is None else {"service_tier": tier}, _cost(usage.get("cost")))


def _cost(value: object) -> Cost | None:
    if value is None:
        return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        amount = Decimal(value)
        if amount.is_finite() and 0 <= amount <= _COST_MAX:
            return Cost(amount, _CURRENCY)
    raise contradiction("cost", value, "is no amount")


DIALECT = Dialect(
    UsageDialect.OPENROUTER_CHAT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = prompt_tokens + completion_tokens",
    keys={
        **_INCLUSIVE.keys(),
        "prompt_tokens_details.cache_write_tokens": f"{_WRITE_30M} of OpenAI's models, else {_WRITE}",
        "server_tool_use_details.web_search_requests": Leaf.WEB_SEARCH,
        **{f"server_tool_use_details.{key}": "no charge" for key in _TOOLS_BESIDE},
        "cost": "what the call cost, in USD",
        "cost_details": "not added",
        "is_byok": "not read",
        "service_tier": "service tier",
    },
)
