"""Amazon Bedrock's Converse: `TokenUsage`.

By contract input, what is read from a cache and what is written into one stand side by side. OpenAI's models on Bedrock
break the contract: their `inputTokens` already holds what is cached. No sum tells it, since `totalTokens` adds everything
up either way, so that the model's vendor decides. Where such an input is smaller than what is cached, it contradicts itself.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import agree, contradiction, count, entries, rest, take, word
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_INPUT, _READ, _WRITE = Leaf.INPUT, Leaf.CACHE_READ, Leaf.CACHE_WRITE
_TOTAL, _DETAILS, _ENTRY = "totalTokens", "cacheDetails", {"inputTokens": "inputTokens"}
_BESIDE = frozenset({_TOTAL, _DETAILS})
_NAMES = {
    "inputTokens": Leaf.INPUT,
    "outputTokens": Leaf.OUTPUT,
    "cacheReadInputTokens": Leaf.CACHE_READ,
    "cacheReadInputTokenCount": Leaf.CACHE_READ,  # as it was spelt before, and still is beside
    "cacheWriteInputTokens": Leaf.CACHE_WRITE,
    "cacheWriteInputTokenCount": Leaf.CACHE_WRITE,
}
_WRITES_BY_TTL = {
    "5m": Leaf.CACHE_WRITE_5M,
    "30m": Leaf.CACHE_WRITE_30M,
    "1h": Leaf.CACHE_WRITE_1H,
    "12h": Leaf.CACHE_WRITE_12H,
}
_CACHED_IS_INPUT = re.compile(r"(?:^|[./:])openai\.")  # in a model id, an inference profile's id or ARN


def read(usage: Mapping[str, Any], call: Call) -> Reading:
    """What the object says, by the rule of the model's vendor; a model that isn't told keeps the contract.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    leaves = take(usage, _NAMES, _BESIDE, "", unmapped)
    if usage.get(_TOTAL) is not None:
        _check_total(count(usage[_TOTAL], _TOTAL), leaves)
    cached = leaves.get(_READ, 0) + leaves.get(_WRITE, 0)
    if usage.get(_DETAILS):
        split = _writes(usage, unmapped)
        agree(leaves.pop(_WRITE, None), sum(split.values()), "cacheWriteInputTokens")
        leaves |= split
    if cached and call.model is not None and _CACHED_IS_INPUT.search(call.model):
        left = rest(leaves.get(_INPUT), cached, "inputTokens")
        if left is not None:
            leaves[_INPUT] = left
    return Reading(leaves, tuple(unmapped))


def _check_total(total: int, leaves: Mapping[Leaf, int]) -> None:
    """The total is told with what is cached, or without it."""
    entire = sum(leaves.values())
    if total not in (entire, leaves.get(_INPUT, 0) + leaves.get(Leaf.OUTPUT, 0)):
        raise contradiction(_TOTAL, total, f"is not the sum of its parts, {entire}, nor that of input and output")


def _writes(usage: Mapping[str, Any], unmapped: list[str]) -> dict[Leaf, int]:
    found: dict[Leaf, int] = {}
    for place, entry in enumerate(entries(usage, _DETAILS)):
        path = f"{_DETAILS}[{place}]."
        number = take(entry, _ENTRY, ("ttl",), path, unmapped).get("inputTokens", 0)
        leaf = _WRITES_BY_TTL.get(word(entry, "ttl", path) or "", _WRITE)
        found[leaf] = found.get(leaf, 0) + number
    return found


DIALECT = Dialect(
    UsageDialect.BEDROCK_CONVERSE,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="totalTokens = inputTokens + outputTokens, with or without what is cached; cacheWriteInputTokens = the sum of cacheDetails",
    keys={
        "inputTokens": f"{Leaf.INPUT}; of OpenAI's models without what is cached",
        "outputTokens": Leaf.OUTPUT,
        "cacheReadInputTokens": Leaf.CACHE_READ,
        "cacheWriteInputTokens": f"{Leaf.CACHE_WRITE}, where cacheDetails doesn't tell for how long",
        "cacheDetails[]": ", ".join(_WRITES_BY_TTL.values()),
        _TOTAL: "checked",
    },
)
