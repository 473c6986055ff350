"""How the words of package genai-prices are taken: its units as leaves, its selectors as dimensions, and what it leaves unsaid."""

from collections.abc import Mapping
from typing import NamedTuple

from core.dialects.model import Leaf

# What a price is for: the leaf, and how many of it the price is for.
LEAVES: Mapping[str, tuple[Leaf, int]] = {
    "input_mtok": (Leaf.INPUT, 1_000_000),
    "output_mtok": (Leaf.OUTPUT, 1_000_000),
    "cache_read_mtok": (Leaf.CACHE_READ, 1_000_000),
    "cache_write_mtok": (Leaf.CACHE_WRITE, 1_000_000),
    "cache_write_5m_mtok": (Leaf.CACHE_WRITE_5M, 1_000_000),
    "cache_write_1h_mtok": (Leaf.CACHE_WRITE_1H, 1_000_000),
    "input_audio_mtok": (Leaf.INPUT_AUDIO, 1_000_000),
    "input_image_mtok": (Leaf.INPUT_IMAGE, 1_000_000),
    "input_video_mtok": (Leaf.INPUT_VIDEO, 1_000_000),
    "input_tool_mtok": (Leaf.INPUT_TOOL, 1_000_000),
    "cache_audio_read_mtok": (Leaf.CACHE_READ_AUDIO, 1_000_000),
    "cache_image_read_mtok": (Leaf.CACHE_READ_IMAGE, 1_000_000),
    "cache_video_read_mtok": (Leaf.CACHE_READ_VIDEO, 1_000_000),
    "output_reasoning_mtok": (Leaf.OUTPUT_REASONING, 1_000_000),
    "output_audio_mtok": (Leaf.OUTPUT_AUDIO, 1_000_000),
    "output_image_mtok": (Leaf.OUTPUT_IMAGE, 1_000_000),
    "web_searches_kcount": (Leaf.WEB_SEARCH, 1_000),
    "storage_searches_kcount": (Leaf.FILE_SEARCH, 1_000),
    "code_executions_kcount": (Leaf.CODE_EXECUTION, 1_000),
    "requests_kcount": (Leaf.REQUEST, 1_000),
    "input_document_kpages": (Leaf.PAGE, 1_000),
    "input_mchars": (Leaf.CHARACTER, 1_000_000),
    "audio_hours": (Leaf.AUDIO_SECOND, 3_600),
    "input_audio_hours": (Leaf.AUDIO_SECOND, 3_600),
}

# Providers whose usage objects tell how long a written cache lives, and what a write without a word on it is.
_TTL_TOLD = {"openai": Leaf.CACHE_WRITE_30M, "anthropic": Leaf.CACHE_WRITE_5M, "aws": Leaf.CACHE_WRITE_5M}


class SameAs(NamedTuple):
    """A leaf that costs what another one costs, where the source has no price for it by itself."""

    leaf: Leaf
    other: Leaf


_REASONING = SameAs(Leaf.OUTPUT_REASONING, Leaf.OUTPUT)
_IMAGES = SameAs(Leaf.INPUT_IMAGE, Leaf.INPUT)
_MODALITIES = (
    _IMAGES,
    SameAs(Leaf.INPUT_VIDEO, Leaf.INPUT),
    SameAs(Leaf.INPUT_TOOL, Leaf.INPUT),
    SameAs(Leaf.CACHE_READ_IMAGE, Leaf.CACHE_READ),
    SameAs(Leaf.CACHE_READ_VIDEO, Leaf.CACHE_READ),
)
# Reasoning is output everywhere. Other classes only where the provider's own list prices them together: audio at the rate of text is how
# bills come out short.
_SAME: Mapping[str, tuple[SameAs, ...]] = {"google": (_REASONING, *_MODALITIES), "openai": (_REASONING, _IMAGES)}

_STANDARD = {"region_scope": "global", "service_tier": "standard", "processing": "interactive", "speed": "standard"}
_OWN: Mapping[str, dict[str, str]] = {
    **{provider: {"service_tier": "default"} for provider in ("openai", "openai-decisions", "azure", "x-ai", "openrouter")},
    "groq": {"service_tier": "on_demand"},
    "aws": {"region_scope": "by-name"},  # of a model's name a part is the region
}
# Models that are charged for a minimum, which no row says.
MINIMUM = frozenset({("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")})


def standard_of(provider: str) -> dict[str, str]:
    """What the provider's responses say of each dimension unless something else was asked for."""
    return {**_STANDARD, **_OWN.get(provider, {})}


def same_as(provider: str) -> tuple[SameAs, ...]:
    """The leaves of this provider that cost what others cost, unless they have a price by themselves."""
    return _SAME.get(provider, (_REASONING,))


def written_leaf(provider: str) -> Leaf | None:
    """For how long a cache that the provider's plain price for writes is about lives; None: it has one kind."""
    return _TTL_TOLD.get(provider)
