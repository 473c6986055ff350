"""LiteLLM's list of prices, read as a file to compare with: exact decimals, and nothing of it is ever imported as a program."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from core.dialects.model import Leaf
from core.errors import RequestRefused
from core.prices.content import faults
from core.prices.diff import Diff, compared
from core.prices.model import Boundary, Layer, PriceRow
from core.prices.offer import NotExpressed, Offer, converted_amount
from core.prices.sources.genai_terms import standard_of, written_leaf
from core.printable import shown

_PROVIDERS = {"gemini": "google", "xai": "x-ai", "bedrock": "aws", "bedrock_converse": "aws", "together_ai": "together", "fireworks_ai": "fireworks"}
_LEAVES = {
    "input_cost_per_token": Leaf.INPUT,
    "output_cost_per_token": Leaf.OUTPUT,
    "cache_read_input_token_cost": Leaf.CACHE_READ,
    "cache_creation_input_token_cost": Leaf.CACHE_WRITE,
    "cache_creation_input_token_cost_above_1hr": Leaf.CACHE_WRITE_1H,
    "cache_creation_input_token_cost_above_12hr": Leaf.CACHE_WRITE_12H,
    "input_cost_per_audio_token": Leaf.INPUT_AUDIO,
    "output_cost_per_audio_token": Leaf.OUTPUT_AUDIO,
    "output_cost_per_reasoning_token": Leaf.OUTPUT_REASONING,
    "input_cost_per_image_token": Leaf.INPUT_IMAGE,
    "output_cost_per_image_token": Leaf.OUTPUT_IMAGE,
}
_VARIANTS = {"_batches": {"processing": "batch"}, "_flex": {"service_tier": "flex"}, "_priority": {"service_tier": "priority"}, "": {}}
_KEY = re.compile(rf"({'|'.join(sorted(_LEAVES, key=len, reverse=True))})(?:_above_(\d+)k_tokens)?({'|'.join(filter(None, _VARIANTS))})?")
_BYTES_MAX = 64 * 1024 * 1024


class _Said(NamedTuple):
    """A price of one key: of which leaf, from how many tokens on, for which choice."""

    leaf: Leaf
    from_tokens: int
    variant: str
    amount: Decimal


def read_litellm(path: Path) -> Offer:
    """The prices of the file; what a key says that is no leaf's price per token is named in `refused`, once for each key.

    Raises:
        RequestRefused: it is not a JSON object of objects.
        OSError: the file can't be read.
    """
    content = path.read_bytes()
    try:
        models = json.loads(content, parse_float=Decimal, parse_int=Decimal) if len(content) <= _BYTES_MAX else None
    except (ValueError, RecursionError):
        models = None
    if not isinstance(models, dict) or not all(isinstance(one, dict) for one in models.values()):
        raise RequestRefused("is not LiteLLM's list: a JSON object with an object for each model", field="file", value=path.name)
    rows: dict[tuple[str, str], list[PriceRow]] = {}
    unread: Counter[str] = Counter()
    for key, told in models.items():
        provider = _PROVIDERS.get(str(told.get("litellm_provider")), str(told.get("litellm_provider")))
        model = key.partition("/")[2] if "/" in key and key.partition("/")[0] == str(told.get("litellm_provider")) else key
        made = [row for row in _rows(provider, model, told, unread) if not any(faults(row))]
        if made:
            rows.setdefault((provider, model), made)
    refused = [NotExpressed("", "", "unknown_key", f"{key}, of {count} models") for key, count in sorted(unread.items())]
    every = [row for of_model in rows.values() for row in of_model]
    return Offer(f"litellm {shown(path.name)}", hashlib.sha256(content).hexdigest(), every, refused=refused)


def compared_with(book: Iterable[PriceRow], offer: Offer, at: datetime) -> Diff:
    """What the file says otherwise than the list rows of a book that hold then, of the models that both have.

    What only the book has is gone in the diff, and what only the file has is new; tiers and dimensions are compared as they stand.
    """
    holding = [row for row in book if row.layer is Layer.LIST and _holds(row, at)]
    ours = {(row.provider, row.model) for row in holding}
    theirs = {(row.provider, row.model) for row in offer.rows}
    both = ours & theirs
    new = [row for row in offer.rows if (row.provider, row.model) in both]
    old = [replace(row, valid_from=None, valid_to=None) for row in holding if (row.provider, row.model) in both]
    leaves = {(row.provider, row.model, row.leaf) for row in new}
    old = [row for row in old if (row.provider, row.model, row.leaf) in leaves or row.leaf in (Leaf.INPUT, Leaf.OUTPUT)]
    notes = {
        "models_compared": len(both),
        "models_only_in_book": len(ours - theirs),
        "models_only_in_file": len(theirs - ours),
        "not_compared": [one.detail for one in offer.refused],
        "at": at.isoformat(),
    }
    return compared(new, old, {}, {}, notes)


def _holds(row: PriceRow, at: datetime) -> bool:
    return (row.valid_from is None or row.valid_from <= at) and (row.valid_to is None or at < row.valid_to)


def _rows(provider: str, model: str, told: Mapping[str, Any], unread: Counter[str]) -> Iterator[PriceRow]:
    said = [one for key, value in told.items() if (one := _said(key, value, provider, unread)) is not None]
    for variant, dimensions in _VARIANTS.items():
        own = [one for one in said if one.variant == variant]
        starts = sorted({one.from_tokens for one in own})
        for leaf in dict.fromkeys(one.leaf for one in own):
            yield from _of_leaf([one for one in own if one.leaf is leaf], starts, provider, model, {**standard_of(provider), **dimensions})


def _of_leaf(said: list[_Said], starts: list[int], provider: str, model: str, dimensions: Mapping[str, str]) -> Iterator[PriceRow]:
    """A row for all tiers, or where the leaf has several, one for each of the model's."""
    tiered = len(said) > 1
    for start in starts if tiered else [0]:
        begun = [one for one in said if one.from_tokens <= start]
        if not begun:
            continue
        amount, per, _ = converted_amount(max(begun, key=lambda one: one.from_tokens).amount, 1)
        boundary = Boundary.ABOVE if start else Boundary.FROM
        yield PriceRow(
            id=0,
            layer=Layer.LIST,
            mandate_id="",
            book="",
            provider=provider,
            model=model,
            leaf=said[0].leaf,
            from_tokens=start if tiered else None,
            boundary=boundary if tiered else None,
            amount=amount,
            per=per,
            currency="USD",
            valid_from=None,
            valid_to=None,
            basis="list",
            source="litellm",
            **dimensions,
        )


def _said(key: str, value: object, provider: str, unread: Counter[str]) -> _Said | None:
    """What a key says, if it is the price of a leaf."""
    if not isinstance(value, Decimal) or "cost" not in key:
        return None
    found = _KEY.fullmatch(key)
    if found is None:
        unread[key] += 1
        return None
    leaf = _LEAVES[found[1]]
    if leaf is Leaf.CACHE_WRITE:
        leaf = written_leaf(provider) or leaf
    return _Said(leaf, int(found[2] or 0) * 1_000, found[3] or "", value)
