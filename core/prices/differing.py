"""Since when two versions of the price book say different things of a model."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from core.prices.card import holds
from core.prices.model import PriceRow

Model = tuple[str, str]  # provider and model, as rows name them


def differing_since(before: Iterable[PriceRow], after: Iterable[PriceRow]) -> dict[Model, datetime | None]:
    """The models of which the two say different things at some time, each with the first such moment; None: since ever.

    A row that ends where its like begins says nothing else than one that goes on. Rows that both have may be left out of both.
    """
    rows: dict[Model, tuple[list[PriceRow], list[PriceRow]]] = defaultdict(lambda: ([], []))
    for side, found in enumerate((before, after)):
        for row in found:
            rows[row.provider, row.model][side].append(row)
    since: dict[Model, datetime | None] = {}
    for model, (old, new) in rows.items():
        moments = sorted({moment for row in (*old, *new) for moment in (row.valid_from, row.valid_to) if moment is not None})
        if any(row.valid_from is None for row in (*old, *new)) and _differ(old, new, None):
            since[model] = None
            continue
        first = next((moment for moment in moments if _differ(old, new, moment)), None)
        if first is not None:
            since[model] = first
    return since


def changed_defaults(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The providers for which something else stands for what an event doesn't tell."""
    return {provider for provider in before.keys() | after.keys() if before.get(provider) != after.get(provider)}


def _differ(old: list[PriceRow], new: list[PriceRow], at: datetime | None) -> bool:
    """Whether they differ at a moment; None: at the beginning of all times."""
    return _said(old, at) != _said(new, at)


def _said(rows: list[PriceRow], at: datetime | None) -> set[PriceRow]:
    """What rows say at a moment, whatever their ids, times and sources."""
    held = [row for row in rows if (row.valid_from is None if at is None else holds(row.valid_from, row.valid_to, at))]
    return {replace(row, id=0, valid_from=None, valid_to=None, basis="", source="", amount=row.amount.normalize()) for row in held}
