"""Usage objects as providers would write them, from the leaves that they mean: the way back from what a dialect does."""

from collections.abc import Callable, Mapping

Leaves = Mapping[str, int]
LEAVES = {  # what each can tell
    "openai.responses": ("input", "cache_read", "output"),
    "anthropic.messages": ("input", "cache_read", "cache_write_5m", "output"),
    "canonical": ("input", "cache_read", "output", "web_search"),
}


def written(dialect: str, leaves: Leaves, *, contradicts: bool) -> dict[str, object]:
    """The object; one that `contradicts` itself can't be read."""
    return _WRITERS[dialect](leaves, int(contradicts))


def _responses(leaves: Leaves, off: int) -> dict[str, object]:
    whole = leaves["input"] + leaves["cache_read"]
    return {
        "input_tokens": whole,
        "input_tokens_details": {"cached_tokens": leaves["cache_read"]},
        "output_tokens": leaves["output"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": whole + leaves["output"] + off,
    }


def _messages(leaves: Leaves, off: int) -> dict[str, object]:
    return {
        "input_tokens": leaves["input"],
        "cache_read_input_tokens": leaves["cache_read"],
        "cache_creation_input_tokens": leaves["cache_write_5m"] + off,
        "cache_creation": {"ephemeral_5m_input_tokens": leaves["cache_write_5m"], "ephemeral_1h_input_tokens": 0},
        "output_tokens": leaves["output"],
    }


def _canonical(leaves: Leaves, off: int) -> dict[str, object]:
    return {leaf: -1 if off else count for leaf, count in leaves.items()}


_WRITERS: dict[str, Callable[[Leaves, int], dict[str, object]]] = {
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "canonical": _canonical,
}
