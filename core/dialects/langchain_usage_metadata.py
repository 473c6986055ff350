"""LangChain's `usage_metadata`: all parts are inside their whole, of whichever provider.

LangChain tells no service tier, no region, no tools. What of written tokens is told by time is either in `cache_creation`
as well, or that is 0.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import agree, inner, rest, take
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_INPUT, _OUTPUT, _WRITE = Leaf.INPUT, Leaf.OUTPUT, Leaf.CACHE_WRITE
_WHOLES = {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "total_tokens": "total_tokens"}
_INPUTS, _OUTPUTS = "input_token_details", "output_token_details"
_WRITES_BY_TTL = {"ephemeral_5m_input_tokens": Leaf.CACHE_WRITE_5M, "ephemeral_1h_input_tokens": Leaf.CACHE_WRITE_1H}
_INPUT_PARTS = {
    "audio": Leaf.INPUT_AUDIO,
    "image": Leaf.INPUT_IMAGE,
    "video": Leaf.INPUT_VIDEO,
    "cache_read": Leaf.CACHE_READ,
    "cache_creation": Leaf.CACHE_WRITE,
    **_WRITES_BY_TTL,
}
_OUTPUT_PARTS = {"audio": Leaf.OUTPUT_AUDIO, "image": Leaf.OUTPUT_IMAGE, "reasoning": Leaf.OUTPUT_REASONING}


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    told = take(usage, _WHOLES, (_INPUTS, _OUTPUTS), "", unmapped)
    inputs = take(inner(usage, _INPUTS), _INPUT_PARTS, (), f"{_INPUTS}.", unmapped)
    split = sum(inputs.get(leaf, 0) for leaf in _WRITES_BY_TTL.values())
    if split and inputs.get(_WRITE):
        agree(inputs.pop(_WRITE), split, f"{_INPUTS}.cache_creation")
    outputs = take(inner(usage, _OUTPUTS), _OUTPUT_PARTS, (), f"{_OUTPUTS}.", unmapped)
    agree(told.get("total_tokens"), told.get("input_tokens", 0) + told.get("output_tokens", 0), "total_tokens")
    for leaf, parts, key in ((_INPUT, inputs, "input_tokens"), (_OUTPUT, outputs, "output_tokens")):
        left = rest(told.get(key), sum(parts.values()), key)
        if left is not None:
            parts[leaf] = left
    return Reading(inputs | outputs, tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.LANGCHAIN_USAGE_METADATA,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = input_tokens + output_tokens",
    keys={
        "input_tokens": f"{_INPUT}, without its parts",
        **{f"{_INPUTS}.{key}": leaf for key, leaf in _INPUT_PARTS.items()},
        "output_tokens": f"{_OUTPUT}, without its parts",
        **{f"{_OUTPUTS}.{key}": leaf for key, leaf in _OUTPUT_PARTS.items()},
        "total_tokens": "checked",
    },
)
