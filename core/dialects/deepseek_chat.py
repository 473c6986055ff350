"""DeepSeek's chat completions: OpenAI's words, and of the prompt what came out of the cache and what didn't."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import agree, count, inner, rest, take
from core.dialects.inclusive import Inclusive, Words
from core.dialects.model import INPUT_LEAVES, Call, Dialect, Leaf, Reading, UsageDialect

_HIT, _MISS, _TOOLS = "prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "server_tool_use"
_SERVER_TOOLS = {"web_search_requests": Leaf.WEB_SEARCH, "web_fetch_requests": Leaf.WEB_FETCH}
_INCLUSIVE = Inclusive(Words("prompt_tokens", "completion_tokens", beside=frozenset({_HIT, _MISS, _TOOLS})))


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    leaves = _INCLUSIVE.leaves(usage, unmapped)
    if usage.get(_HIT) is not None:
        hit = count(usage[_HIT], _HIT)
        if Leaf.CACHE_READ in leaves:
            agree(hit, leaves[Leaf.CACHE_READ], _HIT)
        else:
            left = rest(leaves.get(Leaf.INPUT), hit, "prompt_tokens")
            leaves |= {Leaf.CACHE_READ: hit} if left is None else {Leaf.INPUT: left, Leaf.CACHE_READ: hit}
    if usage.get(_MISS) is not None:
        entire = sum(held for leaf, held in leaves.items() if leaf in INPUT_LEAVES)
        agree(count(usage[_MISS], _MISS), entire - leaves.get(Leaf.CACHE_READ, 0), _MISS)
    if usage.get(_TOOLS) is not None:
        leaves |= take(inner(usage, _TOOLS), _SERVER_TOOLS, (), f"{_TOOLS}.", unmapped)
    return Reading(leaves, tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.DEEPSEEK_CHAT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = prompt_tokens + completion_tokens; prompt_tokens = prompt_cache_hit_tokens + prompt_cache_miss_tokens",
    keys={
        **_INCLUSIVE.keys(),
        _HIT: Leaf.CACHE_READ,
        _MISS: "checked",
        **{f"{_TOOLS}.{key}": leaf for key, leaf in _SERVER_TOOLS.items()},
    },
)
