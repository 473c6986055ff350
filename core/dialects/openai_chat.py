"""OpenAI's chat completions (and its embeddings): `CompletionUsage`."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.inclusive import INPUT_PARTS, WRITTEN, Inclusive, Words
from core.dialects.model import Call, Dialect, Reading, UsageDialect

_INCLUSIVE = Inclusive(Words("prompt_tokens", "completion_tokens", input_parts=INPUT_PARTS | WRITTEN))


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    return Reading(_INCLUSIVE.leaves(usage, unmapped), tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.OPENAI_CHAT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = prompt_tokens + completion_tokens",
    keys=_INCLUSIVE.keys(),
)
