"""What OpenAI's usage objects and those that are made like them have in common: parts stand inside their whole.

Cached, written, audio and image tokens are inside the input, reasoning and audio inside the output. Cached tokens whose
modality isn't told are text; if there is less text, the object contradicts itself. Rejected predictions are billed like
any output.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from core.dialects.counts import agree, given, inner, rest, take
from core.dialects.model import Leaf

_INPUT, _OUTPUT, _REASONING = Leaf.INPUT, Leaf.OUTPUT, Leaf.OUTPUT_REASONING
_WRITE_30M = Leaf.CACHE_WRITE_30M

INPUT_PARTS = {
    "cached_tokens": Leaf.CACHE_READ,
    "audio_tokens": Leaf.INPUT_AUDIO,
    "image_tokens": Leaf.INPUT_IMAGE,
}
WRITTEN = {"cache_write_tokens": Leaf.CACHE_WRITE_30M}  # of providers that charge for writing
OUTPUT_PARTS = {
    "reasoning_tokens": Leaf.OUTPUT_REASONING,
    "audio_tokens": Leaf.OUTPUT_AUDIO,
    "image_tokens": Leaf.OUTPUT_IMAGE,
}
WRITES_BY_TTL = {"ttl_30m_tokens": Leaf.CACHE_WRITE_30M, "ttl_12h_tokens": Leaf.CACHE_WRITE_12H}
_SPLIT = "cache_write_tokens_details"
_TEXT = frozenset({"text_tokens"})
_OUTPUT_BESIDE = frozenset({"text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"})
_MODALITIES = (Leaf.INPUT_AUDIO, Leaf.INPUT_IMAGE, Leaf.INPUT_VIDEO)
_CACHED = (Leaf.CACHE_READ, Leaf.CACHE_WRITE, Leaf.CACHE_WRITE_30M, Leaf.CACHE_WRITE_12H)


class Words(NamedTuple):
    """How a dialect calls the wholes, and what it calls their parts."""

    input: str
    output: str
    total: str = "total_tokens"
    input_parts: Mapping[str, Leaf] = INPUT_PARTS
    output_parts: Mapping[str, Leaf] = OUTPUT_PARTS
    beside: frozenset[str] = frozenset()  # keys of the object that the dialect reads itself
    reasoning_beside: bool = False  # whether reasoning stands beside the output instead of inside it

    def names(self) -> dict[str, str]:
        """The counts of the object itself."""
        return {name: name for name in (self.input, self.output, self.total)}


class Inclusive:
    """Reads the objects of one dialect."""

    def __init__(self, words: Words) -> None:
        self._words, self._names = words, words.names()
        self._input_details, self._output_details = f"{words.input}_details", f"{words.output}_details"
        self._splits_writes = _WRITE_30M in words.input_parts.values()
        self._input_beside = _TEXT | {_SPLIT} if self._splits_writes else _TEXT
        self._input_path, self._output_path = f"{self._input_details}.", f"{self._output_details}."
        self._beside = words.beside | {self._input_details, self._output_details}

    def keys(self) -> dict[str, str]:
        """What becomes of each key, for people."""
        words, details = self._words, f"{self._input_details}."
        return {
            words.input: f"{_INPUT}, without its parts",
            **{f"{details}{key}": leaf for key, leaf in words.input_parts.items()},
            **{f"{details}{_SPLIT}.{key}": leaf for key, leaf in WRITES_BY_TTL.items() if self._splits_writes},
            f"{details}text_tokens": "checked",
            words.output: f"{_OUTPUT}, without its parts",
            **{f"{self._output_details}.{key}": leaf for key, leaf in words.output_parts.items()},
            **{f"{self._output_details}.{key}": "checked, billed as output" for key in sorted(_OUTPUT_BESIDE)},
            words.total: "checked",
        }

    def leaves(self, usage: Mapping[str, Any], unmapped: list[str]) -> dict[Leaf, int]:
        """The leaves of an object; `unmapped` gets the paths of what isn't known.

        Raises:
            NotRead: the parts are more than their whole, or the total isn't input and output.
        """
        words = self._words
        told = take(usage, self._names, self._beside, "", unmapped)
        entire, out, total = told.get(words.input), told.get(words.output), told.get(words.total)
        leaves: dict[Leaf, int] = {}
        if usage.get(self._input_details) is not None:
            leaves = self._input(inner(usage, self._input_details), entire, unmapped)
        elif entire is not None:
            leaves[_INPUT] = entire
        if usage.get(self._output_details) is not None:
            leaves |= self._output(inner(usage, self._output_details), out, unmapped)
        elif out is not None:
            leaves[_OUTPUT] = out
        if total is not None:
            agree(total, sum(leaves.values()), words.total)
        return leaves

    def _input(self, details: Mapping[str, Any], whole: int | None, unmapped: list[str]) -> dict[Leaf, int]:
        path = self._input_path
        parts = take(details, self._words.input_parts, self._input_beside, path, unmapped)
        if self._splits_writes and _SPLIT in details:
            _split_writes(details, parts, path, unmapped)
        left = rest(whole, sum(parts.values()), self._words.input)
        if details.get("text_tokens") is not None:
            self._check_text(given(details, "text_tokens", path), whole, parts)
        if left is not None:
            parts[_INPUT] = left
        return parts

    def _check_text(self, text: int, whole: int | None, parts: Mapping[Leaf, int]) -> None:
        """Text and the other modalities are inside the input, and what is cached is inside the text."""
        others = sum(parts.get(leaf, 0) for leaf in _MODALITIES)
        rest(whole, text + others, self._words.input)
        if others:
            rest(text, sum(parts.get(leaf, 0) for leaf in _CACHED), f"{self._input_path}text_tokens")

    def _output(self, details: Mapping[str, Any], whole: int | None, unmapped: list[str]) -> dict[Leaf, int]:
        path = self._output_path
        parts = take(details, self._words.output_parts, _OUTPUT_BESIDE, path, unmapped)
        if self._words.reasoning_beside and whole is not None:
            whole += parts.get(_REASONING, 0)
        left = rest(whole, sum(parts.values()), self._words.output)
        for name in _OUTPUT_BESIDE:
            if name in details:
                rest(whole, given(details, name, path), self._words.output)
        if left is not None:
            parts[_OUTPUT] = left
        return parts


def _split_writes(details: Mapping[str, Any], parts: dict[Leaf, int], path: str, unmapped: list[str]) -> None:
    """Puts the split of the written tokens in the place of their sum."""
    whole = parts.pop(_WRITE_30M, None)
    split = take(inner(details, _SPLIT, path), WRITES_BY_TTL, (), f"{path}{_SPLIT}.", unmapped)
    if split or whole is None:
        agree(whole, sum(split.values()), f"{path}cache_write_tokens")
        parts |= split
    else:
        parts[_WRITE_30M] = whole
