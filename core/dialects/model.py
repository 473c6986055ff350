"""The classes that usage is counted and priced in, and what a dialect is."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec


class UsageDialect(StrEnum):
    """Whose words a usage object is in."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    ANTHROPIC_MESSAGES = "anthropic.messages"
    GOOGLE_GENERATE_CONTENT = "google.generate_content"
    BEDROCK_CONVERSE = "bedrock.converse"
    OPENROUTER_CHAT = "openrouter.chat"
    CANONICAL = "canonical"
    MISTRAL_CHAT = "mistral.chat"
    XAI_CHAT = "xai.chat"
    DEEPSEEK_CHAT = "deepseek.chat"
    COHERE_V2 = "cohere.v2"
    OTEL_GENAI = "otel.genai"
    LANGCHAIN_USAGE_METADATA = "langchain.usage_metadata"


class Leaf(StrEnum):
    """One class of tokens, or one unit, of which no other holds a part: what is priced. Sums of them are parents.

    This is the list of the leaves: statistics, statements and price books name them so, in this order. A new leaf comes last of its kind.
    """

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"  # for how long is not known
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_30M = "cache_write_30m"
    CACHE_WRITE_1H = "cache_write_1h"
    CACHE_WRITE_12H = "cache_write_12h"
    INPUT_AUDIO = "input_audio"
    INPUT_IMAGE = "input_image"
    INPUT_VIDEO = "input_video"
    INPUT_TOOL = "input_tool"
    CACHE_READ_AUDIO = "cache_read_audio"
    CACHE_READ_IMAGE = "cache_read_image"
    CACHE_READ_VIDEO = "cache_read_video"
    OUTPUT = "output"
    OUTPUT_REASONING = "output_reasoning"
    OUTPUT_AUDIO = "output_audio"
    OUTPUT_IMAGE = "output_image"
    WEB_SEARCH = "web_search"
    WEB_FETCH = "web_fetch"
    FILE_SEARCH = "file_search"
    CODE_EXECUTION = "code_execution"
    MAPS_GROUNDING = "maps_grounding"
    REQUEST = "request"
    IMAGE = "image"
    PAGE = "page"
    AUDIO_SECOND = "audio_second"
    CHARACTER = "character"


_LEAVES = tuple(Leaf)
INPUT_LEAVES = _LEAVES[: _LEAVES.index(Leaf.OUTPUT)]  # together the whole input, whose size decides the tier
OUTPUT_LEAVES = _LEAVES[_LEAVES.index(Leaf.OUTPUT) : _LEAVES.index(Leaf.WEB_SEARCH)]
UNITS = _LEAVES[_LEAVES.index(Leaf.WEB_SEARCH) :]
DIMENSIONS = ("region_scope", "service_tier", "processing", "speed")  # beside provider and model, what a price depends on


class NotReadReason(StrEnum):
    """Why no leaves can be read off a usage object."""

    USAGE_CONTRADICTION = "usage_contradiction"  # it contradicts itself, or what the event says beside it
    MULTI_MODEL = "multi_model"  # it names a second model that is billed


class NotRead(ValueError):
    """A usage object that its dialect doesn't read; the detail names the field and its value."""

    def __init__(self, reason: NotReadReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Cost(NamedTuple):
    """What a usage object itself says that the call cost."""

    amount: Decimal
    currency: str  # ISO 4217


class Call(NamedTuple):
    """What a dialect may know of the call beside its usage object; texts as the event has them, None where it has none."""

    provider: str | None = None
    model: str | None = None


_NO_DIMENSIONS: Mapping[str, str] = MappingProxyType({})


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a usage object says.

    Attributes:
        leaves: how many of each; a leaf that is absent was not told, which is another thing than 0.
        unmapped: paths of counts above 0 that the dialect doesn't know, such as `input_tokens_details.holo_tokens`: what they cost nobody
            can tell, so the event can't be priced.
        dimensions: those of `DIMENSIONS` that the object itself tells.
        cost: what it says that the call cost.
    """

    leaves: Mapping[Leaf, int]
    unmapped: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = _NO_DIMENSIONS
    cost: Cost | None = None


Read = Callable[[Mapping[str, Any], Call], Reading]


class Dialect(NamedTuple):
    """One provider's way to tell usage. What `read` makes of an object changes only with `version`."""

    name: UsageDialect
    version: int
    dated: date  # when this version was checked against the provider's documents and SDK
    read: Read  # numbers come as int or Decimal; raises NotRead, never anything else
    identity: str = ""  # what must add up, for people
    keys: Mapping[str, str] = MappingProxyType({})  # what becomes of each key, for people: a leaf, or words
