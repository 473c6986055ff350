"""OpenAI's responses (and its images): `ResponseUsage`."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.inclusive import INPUT_PARTS, WRITTEN, Inclusive, Words
from core.dialects.model import Call, Dialect, Reading, UsageDialect

_INCLUSIVE = Inclusive(Words("input_tokens", "output_tokens", input_parts=INPUT_PARTS | WRITTEN))


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    return Reading(_INCLUSIVE.leaves(usage, unmapped), tuple(unmapped))


DIALECT = Dialect(
    UsageDialect.OPENAI_RESPONSES,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = input_tokens + output_tokens",
    keys=_INCLUSIVE.keys(),
)
