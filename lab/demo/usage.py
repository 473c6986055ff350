"""What calls of the demo use, and the usage objects that their providers would answer with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of one call; no kind holds a part of another."""

    input: int
    cache_read: int
    cache_write_5m: int
    output: int
    output_reasoning: int

    @property
    def context(self) -> int:
        """The whole input."""
        return self.input + self.cache_read + self.cache_write_5m

    @property
    def generated(self) -> int:
        """The whole output."""
        return self.output + self.output_reasoning

    def leaves(self) -> tuple[tuple[str, int], ...]:
        """Each kind with its number."""
        return tuple(asdict(self).items())


def used(number: int, provider: str, context: int, generated: int) -> Used:
    """What a call used: how much of it was cached or thought is a fixed rule of its number.

    Anthropic's alone write into a cache.
    """
    read, written = context * (number % 5) // 10, context * (number % 3) // 20 if provider == "anthropic" else 0
    thought = generated * (number % 4) // 8
    return Used(context - read - written, read, written, generated - thought, thought)


def _openai(used: Used) -> dict[str, Any]:
    """Parts stand inside their whole."""
    return {
        "input_tokens": used.context,
        "input_tokens_details": {"cached_tokens": used.cache_read},
        "output_tokens": used.generated,
        "output_tokens_details": {"reasoning_tokens": used.output_reasoning},
        "total_tokens": used.context + used.generated,
    }


def _anthropic(used: Used) -> dict[str, Any]:
    """What is cached stands beside the input; thinking is inside the output."""
    return {
        "input_tokens": used.input,
        "cache_read_input_tokens": used.cache_read,
        "cache_creation_input_tokens": used.cache_write_5m,
        "cache_creation": {"ephemeral_5m_input_tokens": used.cache_write_5m, "ephemeral_1h_input_tokens": 0},
        "output_tokens": used.generated,
        "output_tokens_details": {"thinking_tokens": used.output_reasoning},
        "service_tier": "standard",
    }


def _google(used: Used) -> dict[str, Any]:
    """Cached tokens are inside the prompt, thoughts beside the candidates."""
    return {
        "promptTokenCount": used.context,
        "cachedContentTokenCount": used.cache_read,
        "candidatesTokenCount": used.output,
        "thoughtsTokenCount": used.output_reasoning,
        "totalTokenCount": used.context + used.generated,
    }


# By provider: whose words the object is in, and how it is made.
DIALECTS: dict[str, tuple[str, Callable[[Used], dict[str, Any]]]] = {
    "openai": ("openai.responses", _openai),
    "anthropic": ("anthropic.messages", _anthropic),
    "google": ("google.generate_content", _google),
}
