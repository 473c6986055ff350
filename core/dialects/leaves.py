"""Leaves as the books keep them, and the sums of them that people know."""

from collections.abc import Mapping

from core.dialects.model import INPUT_LEAVES, OUTPUT_LEAVES, Leaf

_LEAVES = tuple(Leaf)


def leaves_of(text: str | None) -> dict[Leaf, int]:
    """What an entry keeps as `input=328,output=52`; nothing where it keeps nothing."""
    pairs = [one.partition("=") for one in text.split(",")] if text else []
    return {Leaf(name): int(count) for name, _, count in pairs}


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Those that aren't 0, in the order of `Leaf`."""
    return {leaf.value: counts[leaf] for leaf in _LEAVES if counts.get(leaf)}


def whole_input(leaves: Mapping[str, int]) -> int:
    """All tokens that went in, of whatever class."""
    return sum(leaves.get(leaf, 0) for leaf in INPUT_LEAVES)


def whole_output(leaves: Mapping[str, int]) -> int:
    """All tokens that came out, of whatever class."""
    return sum(leaves.get(leaf, 0) for leaf in OUTPUT_LEAVES)
