"""Google's generate content, Gemini API and Vertex AI: `usageMetadata`, as REST spells it or as the Python SDK does.

Cached tokens are inside the prompt; tokens of tool use and thoughts stand beside prompt and candidates.
Documents are text.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from core.dialects.counts import agree, contradiction, entries, plain, rest, take, word
from core.dialects.model import Call, Dialect, Leaf, Reading, UsageDialect

_INPUT, _READ, _OUTPUT = Leaf.INPUT, Leaf.CACHE_READ, Leaf.OUTPUT
_TOOL_LEAF, _REASONING = Leaf.INPUT_TOOL, Leaf.OUTPUT_REASONING


class _Words(NamedTuple):
    """How an object spells its keys; as REST does is how they are called here."""

    prompt: str = "promptTokenCount"
    cached: str = "cachedContentTokenCount"
    candidates: str = "candidatesTokenCount"
    tool: str = "toolUsePromptTokenCount"
    thoughts: str = "thoughtsTokenCount"
    total: str = "totalTokenCount"
    of_prompt: str = "promptTokensDetails"
    of_cache: str = "cacheTokensDetails"
    of_candidates: str = "candidatesTokensDetails"
    of_tool: str = "toolUsePromptTokensDetails"
    traffic: str = "trafficType"
    tier: str = "serviceTier"
    number: str = "tokenCount"


_REST = _Words()
_SDK = _Words(*(re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", word) for word in _REST))
_OF_SDK = frozenset(_SDK) - frozenset(_REST)  # one of these, and the object is the SDK's
_COUNTS = 6  # so many of the words are counts of the object itself
_READ_AS = {words is _REST: (words, {name: name for name in words[:_COUNTS]}, frozenset(words[_COUNTS:])) for words in (_REST, _SDK)}
_NUMBER, _MODALITY = {_REST.number: "number", _SDK.number: "number"}, ("modality",)
_UNTOLD = "TEXT"
_TEXT = {_UNTOLD: _INPUT, "DOCUMENT": _INPUT, "MODALITY_UNSPECIFIED": _INPUT}
_OF_PROMPT = _TEXT | {"AUDIO": Leaf.INPUT_AUDIO, "IMAGE": Leaf.INPUT_IMAGE, "VIDEO": Leaf.INPUT_VIDEO}
_OF_CACHE = {
    **dict.fromkeys(_TEXT, _READ),
    "AUDIO": Leaf.CACHE_READ_AUDIO,
    "IMAGE": Leaf.CACHE_READ_IMAGE,
    "VIDEO": Leaf.CACHE_READ_VIDEO,
}
_OF_CANDIDATES = dict.fromkeys(_TEXT, _OUTPUT) | {"AUDIO": Leaf.OUTPUT_AUDIO, "IMAGE": Leaf.OUTPUT_IMAGE}
_OF_TOOL = dict.fromkeys(_OF_PROMPT, _TOOL_LEAF)
_CACHED_OF = {_OF_PROMPT[kind]: _OF_CACHE[kind] for kind in ("AUDIO", "IMAGE", "VIDEO")}
_TIERS = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
}
_NO_TIER = ("TRAFFIC_TYPE_UNSPECIFIED", "UNSPECIFIED")
_BASE = (_INPUT, _READ, _OUTPUT, _TOOL_LEAF)  # of text, or of all modalities together: what is left of the whole


def read(usage: Mapping[str, Any], call: Call) -> Reading:  # noqa: ARG001 - what a dialect may know
    """What the object says.

    Raises:
        NotRead: `usage_contradiction`.
    """
    unmapped: list[str] = []
    words, names, beside = _READ_AS[_OF_SDK.isdisjoint(usage)]
    told = take(usage, names, beside, "", unmapped)
    prompt, candidates = told.get(words.prompt), told.get(words.candidates)
    tool, thoughts = told.get(words.tool), told.get(words.thoughts)
    if words.total in told:
        agree(told[words.total], (prompt or 0) + (candidates or 0) + (tool or 0) + (thoughts or 0), words.total)
    leaves = _input(usage, words, prompt, told.get(words.cached), unmapped)
    of_candidates = _by_modality(usage, words.of_candidates, _OF_CANDIDATES, candidates, unmapped)
    if candidates is not None:
        leaves[_OUTPUT] = candidates
        if of_candidates:
            leaves |= of_candidates
            leaves[_OUTPUT] -= sum(of_candidates.values())
    if usage.get(words.of_tool) is not None:
        _by_modality(usage, words.of_tool, _OF_TOOL, tool, unmapped)
    if tool is not None:
        leaves[_TOOL_LEAF] = tool
    if thoughts is not None:
        leaves[_REASONING] = thoughts
    return Reading(leaves, tuple(unmapped), _dimensions(usage, words))


def _input(
    usage: Mapping[str, Any],
    words: _Words,
    prompt: int | None,
    cached: int | None,
    unmapped: list[str],
) -> dict[Leaf, int]:
    """The prompt's leaves: of each modality what is cached and what isn't; the rest is text."""
    leaves: dict[Leaf, int] = {}
    of_prompt = _by_modality(usage, words.of_prompt, _OF_PROMPT, prompt, unmapped)
    of_cache = _by_modality(usage, words.of_cache, _OF_CACHE, cached, unmapped) or {}
    if cached is not None:
        leaves = {**of_cache, _READ: cached - sum(of_cache.values())}
    if of_prompt is None:  # nothing says what of the prompt isn't text
        left = rest(prompt, cached or 0, words.prompt)
    else:
        text = None if prompt is None else prompt - sum(of_prompt.values())
        left = rest(text, leaves.get(_READ, 0), f"the text of {words.prompt}")
        if of_prompt or of_cache:
            leaves |= _uncached(of_prompt, of_cache, words)
    if left is not None:
        leaves[_INPUT] = left
    return leaves


def _uncached(of_prompt: Mapping[Leaf, int], of_cache: Mapping[Leaf, int], words: _Words) -> dict[Leaf, int]:
    found: dict[Leaf, int] = {}
    for leaf, cached_leaf in _CACHED_OF.items():
        left = rest(of_prompt.get(leaf, 0), of_cache.get(cached_leaf, 0), f"the {leaf} of {words.of_prompt}")
        if leaf in of_prompt and left is not None:
            found[leaf] = left
    return found


def _by_modality(
    usage: Mapping[str, Any],
    key: str,
    names: Mapping[str, Leaf],
    whole: int | None,
    unmapped: list[str],
) -> dict[Leaf, int] | None:
    """What a list of modalities says, without text; None where there is no list.

    Raises:
        NotRead: it says more than the whole.
    """
    if usage.get(key) is None:
        return None
    found: dict[Leaf, int] = {}
    entire = 0
    for place, entry in enumerate(entries(usage, key)):
        number, modality = entry.get(_REST.number, entry.get(_SDK.number)), entry.get("modality")
        if type(number) is not int or number < 0 or type(modality) is not str or modality not in names or len(entry) != 2:
            number, modality = _odd(entry, f"{key}[{place}].", names, unmapped)
        entire += number
        leaf = names[modality]
        if leaf not in _BASE:
            found[leaf] = found.get(leaf, 0) + number
    rest(whole, entire, f"the whole of {key}")
    return found


def _odd(entry: Mapping[str, Any], path: str, names: Mapping[str, Leaf], unmapped: list[str]) -> tuple[int, str]:
    """The count and the modality of an entry that isn't just these two; an unknown modality is named, and taken for text."""
    number = take(entry, _NUMBER, _MODALITY, path, unmapped).get("number", 0)
    modality = (word(entry, "modality", path) or _UNTOLD).upper()
    if modality in names:
        return number, modality
    if number:
        unmapped.append(f"{path}{plain(entry['modality'])}")
    return number, _UNTOLD


def _dimensions(usage: Mapping[str, Any], words: _Words) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in (words.traffic, words.tier):
        tier = word(usage, key)
        if tier and tier.upper() not in _NO_TIER:
            tier = _TIERS.get(tier.upper(), tier)
            if found.setdefault("service_tier", tier) != tier:
                raise contradiction(key, tier, f"is told as {found['service_tier']}, too")
    return found


DIALECT = Dialect(
    UsageDialect.GOOGLE_GENERATE_CONTENT,
    version=1,
    dated=date(2026, 11, 27),
    read=read,
    identity=f"{_REST.total} = {_REST.prompt} + {_REST.candidates} + {_REST.tool} + {_REST.thoughts}",
    keys={
        _REST.prompt: f"{Leaf.INPUT}, without what is cached and other modalities",
        _REST.cached: f"{Leaf.CACHE_READ}, without other modalities",
        f"{_REST.of_prompt}[]": ", ".join(_CACHED_OF),
        f"{_REST.of_cache}[]": ", ".join(_CACHED_OF.values()),
        _REST.tool: Leaf.INPUT_TOOL,
        f"{_REST.of_tool}[]": f"inside {Leaf.INPUT_TOOL}",
        _REST.candidates: f"{Leaf.OUTPUT}, without other modalities",
        f"{_REST.of_candidates}[]": f"{Leaf.OUTPUT_AUDIO}, {Leaf.OUTPUT_IMAGE}",
        _REST.thoughts: Leaf.OUTPUT_REASONING,
        _REST.total: "checked",
        _REST.traffic: "service tier",
        _REST.tier: "service tier",
    },
)
