"""Mistral's chat completions and transcriptions: `UsageInfo`. OpenAI's words, and seconds of audio.

Where seconds of audio are told, the total counts them as tokens that nothing else tells, so that it isn't checked.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.dialects.counts import given, word
from core.dialects.inclusive import Inclusive, Words
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_SECONDS, _TOTAL = "prompt_audio_seconds", "total_tokens"
_INCLUSIVE = Inclusive(Words("prompt_tokens", "completion_tokens", beside=frozenset({_SECONDS, "service_tier"})))


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    seconds = given(usage, _SECONDS, "")
    if seconds:
        given(usage, _TOTAL, "")
        usage = {key: held for key, held in usage.items() if key != _TOTAL}
    leaves = _INCLUSIVE.leaves(usage, unmapped)
    if usage.get(_SECONDS) is not None:
        leaves[Leaf.AUDIO_SECOND] = seconds
    tier = word(usage, "service_tier")
    return Reading(leaves, tuple(unmapped), {} if tier is None else {"service_tier": tier})


DIALECT = Dialect(
    UsageDialect.MISTRAL_CHAT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity="total_tokens = prompt_tokens + completion_tokens, without audio",
    keys={**_INCLUSIVE.keys(), _SECONDS: Leaf.AUDIO_SECOND, "service_tier": "service tier"},
)
