"""The dialects that are known, by name."""

from collections.abc import Mapping
from typing import Any

from core.dialects import (
    anthropic_messages,
    bedrock_converse,
    canonical,
    cohere_v2,
    deepseek_chat,
    google_generate_content,
    langchain_usage_metadata,
    mistral_chat,
    openai_chat,
    openai_responses,
    openrouter_chat,
    otel_genai,
    xai_chat,
)
from core.dialects.model import Call, Dialect, Reading, UsageDialect

DIALECTS: dict[UsageDialect, Dialect] = {
    dialect.name: dialect
    for dialect in (
        openai_chat.DIALECT,
        openai_responses.DIALECT,
        anthropic_messages.DIALECT,
        google_generate_content.DIALECT,
        bedrock_converse.DIALECT,
        openrouter_chat.DIALECT,
        canonical.DIALECT,
        mistral_chat.DIALECT,
        xai_chat.DIALECT,
        deepseek_chat.DIALECT,
        cohere_v2.DIALECT,
        otel_genai.DIALECT,
        langchain_usage_metadata.DIALECT,
    )
}
DIALECTS_REVISION = sum(dialect.version for dialect in DIALECTS.values())  # moves whenever one of them does


def read_usage(name: UsageDialect, usage: Mapping[str, Any], call: Call) -> Reading:
    """What a usage object says in its dialect; numbers are int or Decimal.

    Pure: the same object reads the same until the dialect's version moves.

    Raises:
        NotRead: it contradicts itself, or names a second model that is billed.
    """
    return DIALECTS[name].read(usage, call)
