"""Anthropic's messages: `Usage` and `BetaUsage`.

Input, what is read from a cache and what is written into one stand side by side; thinking is inside the output.
The counts of a stream's `message_delta` are cumulative: the last object is the whole one.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import agree, entries, inner, positive, rest, take, word
from core.dialects.model import Call, Dialect, Leaf, NotRead, NotReadReason, Reading, UsageDialect

_WRITE, _OUTPUT, _REASONING = Leaf.CACHE_WRITE, Leaf.OUTPUT, Leaf.OUTPUT_REASONING
_NAMES = {
    "input_tokens": Leaf.INPUT,
    "cache_read_input_tokens": Leaf.CACHE_READ,
    "cache_creation_input_tokens": Leaf.CACHE_WRITE,
    "output_tokens": Leaf.OUTPUT,
}
_WRITES_BY_TTL = {
    "ephemeral_5m_input_tokens": Leaf.CACHE_WRITE_5M,
    "ephemeral_1h_input_tokens": Leaf.CACHE_WRITE_1H,
}
_THINKING = {"thinking_tokens": Leaf.OUTPUT_REASONING}
_SERVER_TOOLS = {"web_search_requests": Leaf.WEB_SEARCH, "web_fetch_requests": Leaf.WEB_FETCH}
_BESIDE = frozenset(
    {
        *("cache_creation", "output_tokens_details", "server_tool_use"),
        *("service_tier", "speed", "inference_geo", "fallback_credit", "iterations"),
    }
)
_BATCH = "batch"  # which Anthropic tells as a service tier
_NO_REGION = "not_available"  # what models say that can't be held to one
_SAME_MODEL = ("message", "fallback_message")  # iterations whose tokens are in the sums
_OTHERS = ("advisor_message", "compaction")  # and those whose tokens aren't


def read(usage: Mapping[str, Any], call: Call) -> Reading:
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`; `multi_model` where iterations name another model that is billed.
    """
    unmapped: list[str] = []
    leaves = take(usage, _NAMES, _BESIDE, "", unmapped)
    if usage.get("cache_creation") is not None:
        split = take(inner(usage, "cache_creation"), _WRITES_BY_TTL, (), "cache_creation.", unmapped)
        if split:
            agree(leaves.pop(_WRITE, None), sum(split.values()), "cache_creation_input_tokens")
            leaves |= split
    if usage.get("output_tokens_details") is not None:
        details = inner(usage, "output_tokens_details")
        thinking = take(details, _THINKING, (), "output_tokens_details.", unmapped)
        spoken = rest(leaves.get(_OUTPUT), sum(thinking.values()), "output_tokens")
        leaves |= thinking
        if spoken is not None:
            leaves[_OUTPUT] = spoken
    if usage.get("server_tool_use") is not None:
        leaves |= take(inner(usage, "server_tool_use"), _SERVER_TOOLS, (), "server_tool_use.", unmapped)
    if usage.get("fallback_credit") is not None:
        unmapped += _redeemed(usage, leaves)
    if usage.get("iterations") is not None:
        _check_iterations(usage, call.model, unmapped)
    return Reading(leaves, tuple(unmapped), _dimensions(usage))


def _redeemed(usage: Mapping[str, Any], leaves: Mapping[Leaf, int]) -> list[str]:
    """What nobody can price: a redeemed credit lets some written tokens be billed as read, and doesn't tell how many."""
    credit = inner(usage, "fallback_credit")
    status = inner(credit, "status", "fallback_credit.")
    is_redeemed = word(status, "type", "fallback_credit.status.") == "redeemed"
    written = any(leaves.get(leaf) for leaf in (_WRITE, *_WRITES_BY_TTL.values()))
    moved = ["fallback_credit.status.redeemed"] if is_redeemed and written else []
    return positive(credit, "fallback_credit") + moved


def _dimensions(usage: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    if tier := word(usage, "service_tier"):
        found["processing" if tier == _BATCH else "service_tier"] = tier
    if speed := word(usage, "speed"):
        found["speed"] = speed
    if (region := word(usage, "inference_geo")) and region != _NO_REGION:
        found["region_scope"] = region
    return found


def _check_iterations(usage: Mapping[str, Any], model: str | None, unmapped: list[str]) -> None:
    """Every iteration that was billed is of the call's model, and in the sums that are told beside."""
    for number, entry in enumerate(entries(usage, "iterations")):
        path = f"iterations[{number}]."
        kind = word(entry, "type", path)
        if kind not in _SAME_MODEL + _OTHERS:
            unmapped.extend(positive(entry, path[:-1]))
            continue
        if not _is_billed(entry, path, unmapped):
            continue
        named = word(entry, "model", path)
        if kind in _OTHERS:
            raise NotRead(NotReadReason.MULTI_MODEL, f"{path}type '{kind}' is billed beside the sums, model {named!a}")
        if model is None:
            model = named
        if named is not None and named != model:
            raise NotRead(NotReadReason.MULTI_MODEL, f"{path}model {named!a} is billed beside {model!a}")


def _is_billed(entry: Mapping[str, Any], path: str, unmapped: list[str]) -> bool:
    counts = take(entry, _NAMES, ("type", "model", "cache_creation"), path, unmapped)
    split = take(inner(entry, "cache_creation", path), _WRITES_BY_TTL, (), f"{path}cache_creation.", unmapped)
    return any(counts.values()) or any(split.values())


DIALECT = Dialect(
    UsageDialect.ANTHROPIC_MESSAGES,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="cache_creation_input_tokens = the sum of cache_creation; no total",
    keys={
        "input_tokens": Leaf.INPUT,
        "cache_read_input_tokens": Leaf.CACHE_READ,
        "cache_creation_input_tokens": f"{Leaf.CACHE_WRITE}, where cache_creation doesn't tell for how long",
        **{f"cache_creation.{key}": leaf for key, leaf in _WRITES_BY_TTL.items()},
        "output_tokens": f"{Leaf.OUTPUT}, without thinking",
        "output_tokens_details.thinking_tokens": Leaf.OUTPUT_REASONING,
        **{f"server_tool_use.{key}": leaf for key, leaf in _SERVER_TOOLS.items()},
        "service_tier": "service tier; `batch` is the processing",
        "speed": "speed",
        "inference_geo": "region scope; `not_available` is none",
        "fallback_credit": "where it is redeemed and tokens were written, not known what these cost",
        "iterations[]": "must be billed in the sums and as the call's model, else `multi_model`",
    },
)
