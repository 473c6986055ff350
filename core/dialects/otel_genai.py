"""OpenTelemetry's `gen_ai.usage` attributes, flat: what is cached and what is reasoned is inside.

Only attributes of that name belong in the object. Instrumentations that count what is cached beside the input break the
convention: where it is more than the input, the object isn't read; else nobody can see it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import rest, take
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_USAGE = "gen_ai.usage."
_INPUT, _OUTPUT = Leaf.INPUT, Leaf.OUTPUT
_READ, _WRITE, _REASONING = Leaf.CACHE_READ, Leaf.CACHE_WRITE, Leaf.OUTPUT_REASONING
_NAMES = {
    f"{_USAGE}input_tokens": _INPUT,
    f"{_USAGE}prompt_tokens": _INPUT,  # as they were called before
    f"{_USAGE}output_tokens": _OUTPUT,
    f"{_USAGE}completion_tokens": _OUTPUT,
    f"{_USAGE}cache_read.input_tokens": _READ,
    f"{_USAGE}cache_creation.input_tokens": _WRITE,
    f"{_USAGE}reasoning.output_tokens": _REASONING,
}


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    leaves = take(usage, _NAMES, (), "", unmapped)
    parts = leaves.get(_READ, 0) + leaves.get(_WRITE, 0), leaves.get(_REASONING, 0)
    for whole, part, key in ((_INPUT, parts[0], "input_tokens"), (_OUTPUT, parts[1], "output_tokens")):
        left = rest(leaves.get(whole), part, f"{_USAGE}{key}")
        if left is not None:
            leaves[whole] = left
    return Reading(leaves, tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.OTEL_GENAI,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    keys={
        **_NAMES,
        **{key: f"{leaf}, without its parts" for key, leaf in _NAMES.items() if leaf in (_INPUT, _OUTPUT)},
    },
)
