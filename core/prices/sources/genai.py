"""The list prices of package genai-prices as rows: every price for its time, and by name whatever no row can say.

The package takes a date before its first price for that price's, and what it has no price for as free or as another class; here the
first stays (its undated prices hold always), and the second has no row.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from core.dialects.model import DIMENSIONS, Leaf
from core.errors import Misconfigured
from core.money import EXACT
from core.prices.content import PER, PLACES, content_hash
from core.prices.model import Boundary, Layer, PriceRow
from core.prices.offer import Converted, NotExpressed, Offer, converted_amount
from core.prices.sources.genai_names import exact_names
from core.prices.sources.genai_terms import LEAVES, MINIMUM, same_as, standard_of, written_leaf

CURRENCY = "USD"
_BASIS = "list"
_FIRST = date.min
Defaults = Mapping[str, Mapping[str, str]]


class _Span(NamedTuple):
    """Prices by their names in the package, for a time and one choice of dimensions."""

    begin: date  # date.min: always
    end: date | None
    dimensions: Mapping[str, str]
    prices: Mapping[str, Any]


class _Period(NamedTuple):
    """Prices by their names in the package, for a time."""

    begin: date
    end: date | None
    prices: Mapping[str, Any]


@dataclass
class _Taken:
    """What has been taken from the package so far."""

    rows: list[PriceRow] = field(default_factory=list)
    refused: list[NotExpressed] = field(default_factory=list)
    converted: list[Converted] = field(default_factory=list)


def read_genai_prices(defaults: Defaults) -> Offer:
    """All prices of the installed package, without any network.

    Args:
        defaults: by provider, what stands for a dimension, in the place of what its responses are known to say.

    Raises:
        Misconfigured: the package isn't installed.
    """
    try:
        from genai_prices.data import providers  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise Misconfigured("package genai-prices is missing: install tollbook with the extra `prices`") from None
    taken = _Taken()
    used: dict[str, dict[str, str]] = {}
    for provider in providers:
        used[provider.id] = {**standard_of(provider.id), **defaults.get(provider.id, {})}
        _take_provider(taken, provider, used[provider.id])
    digest = hashlib.sha256(b"".join(sorted(content_hash(row) for row in taken.rows))).hexdigest()
    source = f"genai-prices {version('genai-prices')}"
    return Offer(source, digest, taken.rows, used, frozenset(used), sorted(taken.refused), sorted(taken.converted))


def _take_provider(taken: _Taken, provider: Any, standard: Mapping[str, str]) -> None:
    if provider.fallback_model_providers:
        others = ", ".join(provider.fallback_model_providers)
        taken.refused.append(NotExpressed(provider.id, "", "other_providers", f"models that it lacks are priced as those of {others}"))
    names: set[str] = set()
    url = f"genai-prices {(provider.pricing_urls or [''])[0]}".strip()
    for model in provider.models:
        own, refused = exact_names(provider, model, names)
        taken.refused += refused
        refuse = partial(NotExpressed, provider.id, model.id)
        if _is_by_hour(model):
            taken.refused.append(refuse("peak_hours", "its price depends on the time of day"))
            continue
        if foreign := sorted({name for one in model.price_variants or () for name in one.when if name not in DIMENSIONS}):
            taken.refused.append(refuse("unknown_dimension", f"its price depends on {', '.join(foreign)}, which no event says"))
            continue
        spans = list(_spans(model, standard, taken, refuse))
        if not any(span.prices for span in spans):
            taken.refused.append(refuse("no_price", "the package has no price for it, which is not 0: if it is free, say so in a CSV file"))
            continue
        made = [row for span in spans for row in _rows(span, provider.id, model.id, url, taken, refuse)]
        taken.rows += [_named(row, name) for name in own for row in made]


def _named(row: PriceRow, name: str) -> PriceRow:
    return PriceRow(**{field: getattr(row, field) for field in PriceRow.__slots__} | {"model": name})


def _is_by_hour(model: Any) -> bool:
    conditional = model.prices if isinstance(model.prices, list) else []
    return any(hasattr(one.constraint, "start_time") for one in (*conditional, *(model.price_variants or ())))


def _spans(model: Any, standard: Mapping[str, str], taken: _Taken, refuse: Any) -> Iterator[_Span]:
    """The model's prices for each time and each choice of dimensions that the package has."""
    base = _dated(model.prices)
    yield from (_Span(period.begin, period.end, standard, period.prices) for period in base)
    by_choice: dict[tuple[tuple[str, str], ...], list[Any]] = defaultdict(list)
    for variant in model.price_variants or ():
        by_choice[tuple({**standard, **variant.when}.items())].append(variant)
    for choice, variants in by_choice.items():
        if dict(choice) != dict(standard):
            yield from _varied(base, dict(choice), variants)
        elif any(_prices(variant.prices) for variant in variants):
            taken.refused.append(refuse("second_standard", f"a second price for {variants[0].when}"))


def _varied(base: list[_Period], dimensions: Mapping[str, str], variants: list[Any]) -> Iterator[_Span]:
    """Prices of the base with those that differ for this choice, for each time in which a variant is there: the first in the list decides."""
    starts = [_FIRST if variant.constraint is None else variant.constraint.start_date for variant in variants]
    begins = sorted({begin for begin in (*starts, *(period.begin for period in base)) if begin >= min(starts)})
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        prices: dict[str, Any] = {}
        for variant, start in zip(variants, starts, strict=True):
            if start <= begin:
                prices = {**_prices(variant.prices), **prices}
        (standing,) = [period for period in base if period.begin <= begin and (period.end is None or begin < period.end)]
        yield _Span(begin, end, dimensions, {**standing.prices, **prices})


def _dated(prices: Any) -> list[_Period]:
    """From when to when which prices hold: of those that have begun the last in the list does."""
    if not isinstance(prices, list):
        return [_Period(_FIRST, None, _prices(prices))]
    starts = [_FIRST if one.constraint is None else one.constraint.start_date for one in prices]
    begins = sorted(set(starts))
    found = []
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        holding = [one for one, start in zip(prices, starts, strict=True) if start <= begin][-1]
        found.append(_Period(begin, end, _prices(holding.prices)))
    return found


def _prices(prices: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(prices).items() if value is not None}


def _rows(span: _Span, provider: str, model: str, url: str, taken: _Taken, refuse: Any) -> Iterator[PriceRow]:
    """The rows of one span; a leaf that has tiers has a row for each of the model's tiers."""
    by_leaf = _by_leaf(span, provider, model, taken, refuse)
    starts = sorted({tier.start for value, *_ in by_leaf.values() for tier in getattr(value, "tiers", ())})
    for leaf, (value, per, basis) in by_leaf.items():
        for from_tokens, stated in _tiers(value, starts):
            amount, unit = _stated(stated, per, partial(Converted, provider, model, leaf.value), taken)
            yield PriceRow(
                id=0,
                layer=Layer.LIST,
                mandate_id="",
                book="",
                provider=provider,
                model=model,
                leaf=leaf,
                from_tokens=from_tokens,
                boundary=None if from_tokens is None else Boundary.ABOVE if from_tokens else Boundary.FROM,
                amount=amount,
                per=unit,
                currency=CURRENCY,
                valid_from=None if span.begin == _FIRST else _midnight(span.begin),
                valid_to=None if span.end is None else _midnight(span.end),
                basis=basis,
                source=url,
                **{name: span.dimensions[name] for name in DIMENSIONS},
            )


def _stated(stated: Decimal, per: int, entry: Any, taken: _Taken) -> tuple[Decimal, int]:
    """The amount as a row has it; what had to be converted, or rounded to twelve places, is noted."""
    if per in PER and EXACT.quantize(stated, PLACES) == stated:
        return stated, per
    amount, unit, rounded = converted_amount(stated, per)
    note = entry(f"{stated:f} per {per}", f"{amount:f} per {unit}", rounded)
    if note not in taken.converted:
        taken.converted.append(note)
    return amount, unit


def _by_leaf(span: _Span, provider: str, model: str, taken: _Taken, refuse: Any) -> dict[Leaf, tuple[Any, int, str]]:
    """Price, number and basis by leaf, with those that cost what others cost."""
    found: dict[Leaf, tuple[Any, int, str]] = {}
    for name, value in span.prices.items():
        leaf, per = LEAVES.get(name, (None, 0))
        if leaf is None:
            _once(taken, refuse("unknown_unit", f"{name}: no leaf counts it"))
        elif leaf is Leaf.AUDIO_SECOND and (provider, model) in MINIMUM:
            _once(taken, refuse("minimum_charge", f"{name}: short recordings are charged for ten seconds"))
        elif leaf in found and found[leaf][0] != value:
            _once(taken, refuse("two_prices", f"{name}: {leaf} has another price, too"))
        else:
            found[leaf] = (value, per, _BASIS)
    _write_leaves(found, provider, taken, refuse)
    for leaf, other in same_as(provider):
        if leaf not in found and other in found:
            found[leaf] = (*found[other][:2], f"{_BASIS}, same as {other}")
    return found


def _write_leaves(found: dict[Leaf, tuple[Any, int, str]], provider: str, taken: _Taken, refuse: Any) -> None:
    """Where the time that a cache lives decides what writing it costs, a write of which nobody tells it has no price."""
    plain = found.get(Leaf.CACHE_WRITE)
    told = written_leaf(provider) or (Leaf.CACHE_WRITE_5M if Leaf.CACHE_WRITE_1H in found else None)
    if plain is not None and told is not None:
        found.setdefault(told, plain)
        if told is Leaf.CACHE_WRITE_30M or (Leaf.CACHE_WRITE_1H in found and found[Leaf.CACHE_WRITE_1H][0] != plain[0]):
            del found[Leaf.CACHE_WRITE]
            _once(taken, refuse("ttl_unknown", "a cache write of which nobody tells how long it lives: its price would be a guess"))


def _tiers(value: Any, starts: list[int]) -> list[tuple[int | None, Decimal]]:
    """Tier and amount; a price that is one for all tiers has one row for all."""
    if not hasattr(value, "tiers"):
        return [(None, value)]
    begun = {start: [tier.price for tier in value.tiers if tier.start <= start] for start in starts}
    return [(0, value.base), *((start, prices[-1] if prices else value.base) for start, prices in begun.items())]


def _once(taken: _Taken, entry: NotExpressed) -> None:
    if entry not in taken.refused[-8:]:
        taken.refused.append(entry)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
