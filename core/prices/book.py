"""The price book of one revision, compiled as far as calls have asked for it."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import ClassVar, NamedTuple, TypeVar

from core.dialects.model import DIMENSIONS, Reading
from core.prices.card import Card, holds
from core.prices.model import (
    RATER_VERSION,
    Alias,
    FxRate,
    Kept,
    Layer,
    Mode,
    PricedCall,
    PriceRow,
    SaleRule,
    StampContent,
    StampKind,
    Uncharged,
    Unpriced,
    UnpricedReason,
)
from core.prices.terms import ExchangeRates, KeptRate, Terms

_DAYS_MAX = 32_768  # kinds of calls by UTC day, about 1.5 KB each
_CARDS_MAX = 8192
_RANKS = {layer: rank for rank, layer in enumerate(Layer)}
_KEYED = PricedCall._fields.index("provider")  # from there on the fields are part of what a kind of call is
_Kept = TypeVar("_Kept")
_Key = TypeVar("_Key")
_Chosen = tuple[str | None, ...]  # the values of DIMENSIONS; None: nobody says


class _Day(NamedTuple):
    """The terms of one kind of call on one UTC day: those before the first cut, between the first and the second, and so on."""

    cuts: tuple[datetime, ...]
    terms: tuple[Terms | Unpriced, ...]


class Prices:
    """All that rating depends on, of one revision. Nothing of it changes; threads may share it.

    What it has compiled it keeps within bounds: cards by model, and the terms of a kind of call by UTC day.
    """

    EMPTY: ClassVar["Prices"]  # of books without a price book: nothing has a price

    def __init__(
        self,
        *,
        rows: Iterable[PriceRow] = (),
        aliases: Iterable[Alias] = (),
        fx: Iterable[FxRate] = (),
        rules: Iterable[SaleRule] = (),
        uncharged: Iterable[Uncharged] = (),
        modes: Iterable[tuple[str, Mode, datetime]] = (),
        defaults: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        version_id: int | None = None,
        revision: int = 0,
    ) -> None:
        """Takes everything of the active version and what is dated beside it; `defaults` are {provider: {dimension: value}}."""
        self.version_id, self.revision = version_id, revision
        self._rows: dict[tuple[str, str], list[PriceRow]] = defaultdict(list)
        self._contracts: set[str] = set()  # mandates with rows of their own
        for row in rows:
            self._rows[row.provider, row.model].append(row)
            if row.layer is Layer.MANDATE:
                self._contracts.add(row.mandate_id)
        self._aliases: dict[tuple[str, str], list[Alias]] = defaultdict(list)
        for alias in sorted(aliases):
            self._aliases[alias.provider, alias.alias].append(alias)
        self._rules: dict[str | None, list[SaleRule]] = defaultdict(list)
        for rule in sorted(rules, key=lambda rule: (-rule.priority, rule.id)):
            self._rules[rule.mandate_id].append(rule)
        self._uncharged: dict[str | None, list[Uncharged]] = defaultdict(list)
        for policy in sorted(uncharged, key=lambda policy: policy.id):
            self._uncharged[policy.mandate_id].append(policy)
        self._modes: dict[str, list[tuple[datetime, Mode]]] = defaultdict(list)
        for mandate_id, mode, since in sorted(modes, key=lambda each: each[2]):
            self._modes[mandate_id].append((since, mode))
        self._fx = ExchangeRates(fx)
        self._defaults = {provider: dict(values) for provider, values in defaults.items()}
        self._particular = self._contracts | {own for own in (*self._rules, *self._uncharged) if own is not None}
        self._cards: dict[tuple[object, ...], Card | Unpriced] = {}
        self._days: dict[tuple[object, ...], _Day] = {}
        self._moments: dict[tuple[str, str], list[datetime]] = {}

    @property
    def has_modes(self) -> bool:
        """Whether anybody pays other prices than the producer's, or did."""
        return bool(self._modes)

    def mode(self, mandate_id: str, occurred_at: datetime) -> Mode:
        """Which price a mandate pays for what happened at a moment; the producer's where nobody said otherwise by then."""
        modes = self._modes.get(mandate_id)
        if not modes:
            return Mode.GIVEN
        if occurred_at >= modes[-1][0]:
            return modes[-1][1]
        place = bisect_right(modes, occurred_at, key=lambda each: each[0])
        return modes[place - 1][1] if place else Mode.GIVEN

    def free_without_usage(self, call: PricedCall) -> Uncharged | None:
        """The policy by which a call that tells no usage costs nobody anything; None: there is none."""
        return self._policy(call, call.mandate_id, call.occurred_at, without_usage=True)

    def is_free(self, mandate_id: str, provider: str, model: str, at: datetime) -> bool:
        """Whether whatever a mandate's call of a model could cost at a moment is nothing: it has rows, and all that count are of 0.

        The rows are those of the SALE book by which the mandate pays for it, else those of its costs; of each leaf, as in a card, those of
        the first layer that has any.
        """
        model = self._named(provider, model, at)
        rule = next((rule for rule in self._rules_for(mandate_id) if _is_for(rule, provider, model, at)), None)
        book, own = None if rule is None else rule.book, mandate_id if mandate_id in self._contracts else None
        rows = [row for row in self._rows.get((provider, model), ()) if _is_seen(row, own, book) and holds(row.valid_from, row.valid_to, at)]
        amounts: dict[tuple[object, ...], dict[int, bool]] = defaultdict(dict)
        for row in rows:
            priced, rank = (row.region_scope, row.service_tier, row.processing, row.speed, row.leaf), _RANKS[row.layer]
            amounts[priced][rank] = amounts[priced].get(rank, True) and row.amount == 0
        return bool(rows) and all(are_free[min(are_free)] for are_free in amounts.values())

    def terms(self, call: PricedCall, reading: Reading) -> Terms | Unpriced:
        """What a call with usage costs and what is paid for it, or why no leaf of it has a price."""
        at = call.occurred_at
        if at.tzinfo is not UTC:
            at = at.astimezone(UTC)
        mandate_id = call.mandate_id if call.mandate_id in self._particular else None
        told = tuple(reading.dimensions.items()) if reading.dimensions else ()
        key = (mandate_id, at.toordinal(), told, call[_KEYED:])
        day = self._days.get(key) or _keep(self._days, key, self._open_day(call, mandate_id, at, reading), _DAYS_MAX)
        return day.terms[bisect_right(day.cuts, at)]

    def terms_kept(self, call: PricedCall, reading: Reading, kept: Kept) -> Terms | Unpriced:
        """The terms by these rows, but with the exchange rate, rule and policy of an earlier rating; nothing of them is kept in mind."""
        mandate_id = call.mandate_id if call.mandate_id in self._particular else None
        return self._terms(call, mandate_id, call.occurred_at.astimezone(UTC), reading, kept)

    def _open_day(self, call: PricedCall, mandate_id: str | None, at: datetime, reading: Reading) -> _Day:
        """The terms of such calls on the UTC day of `at`: new ones wherever something that they stand on begins or ends."""
        named = (call.provider or "", call.model or "")
        models = [named, *((alias.provider, alias.model) for alias in self._aliases.get(named, ()))]
        dated = [*self._aliases.get(named, ()), *self._rules_for(mandate_id), *self._policies_for(mandate_id)]
        moments = {moment for model in models for moment in self._moments_of(model)} | _moments(dated)
        start = datetime(at.year, at.month, at.day, tzinfo=UTC)
        cuts = tuple(sorted(moment for moment in moments if moment > start and moment.date() == start.date()))
        return _Day(cuts, tuple(self._terms(call, mandate_id, moment, reading) for moment in (start, *cuts)))

    def _terms(self, call: PricedCall, mandate_id: str | None, at: datetime, reading: Reading, kept: Kept | None = None) -> Terms | Unpriced:
        chosen = self._dimensions(call, reading)
        if isinstance(chosen, Unpriced):
            return chosen
        provider, model = call.provider, call.model
        if provider is None or model is None:
            return Unpriced(UnpricedReason.UNPRICED_MODEL, f"the event names provider {provider} and model {model}")
        model = self._named(provider, model, at)
        fx = self._fx if kept is None or kept.fx_present else KeptRate(kept.fx)
        if kept is None or kept.rules_present:
            rule = next((rule for rule in self._rules_for(mandate_id) if _is_for(rule, provider, model, at)), None)
            uncharged = self._policy(call, mandate_id, at, without_usage=False)
        else:
            rule, uncharged = kept.rule, kept.uncharged
        sale = None if rule is None or rule.book is None else self._card(None, rule.book, (provider, model), chosen, at)
        stamped = StampContent(
            StampKind.RATED, self.version_id, dialect=call.dialect, dialect_version=call.dialect_version, rater_version=RATER_VERSION
        )
        return Terms(
            f"{provider} {model} of mandate {call.mandate_id}" if mandate_id else f"{provider} {model}",
            at.date(),
            fx,
            self._card(mandate_id, None, (provider, model), chosen, at),
            sale,
            rule,
            uncharged,
            stamped,
        )

    def _named(self, provider: str, model: str, at: datetime) -> str:
        """The model by the name that rows have for it."""
        for alias in self._aliases.get((provider, model), ()):
            if holds(alias.valid_from, alias.valid_to, at):
                return alias.model
        return model

    def _dimensions(self, call: PricedCall, reading: Reading) -> _Chosen | Unpriced:
        """What the event says of each dimension, else its usage object, else the provider's default."""
        defaults = self._defaults.get(call.provider or "", {})
        chosen = []
        for dimension in DIMENSIONS:
            said, told = getattr(call, dimension), reading.dimensions.get(dimension)
            if said is not None and told is not None and said != told:
                detail = f"{dimension} is {said} of the event and {told} of its usage object"
                return Unpriced(UnpricedReason.USAGE_CONTRADICTION, detail)
            chosen.append(next((value for value in (said, told) if value is not None), defaults.get(dimension)))
        return tuple(chosen)

    def _card(self, mandate_id: str | None, book: str | None, model: tuple[str, str], chosen: _Chosen, at: datetime) -> Card | Unpriced:
        """The card of the costs for a mandate, or of a SALE book; it is the same until one of the model's rows begins or ends."""
        own = mandate_id if mandate_id in self._contracts else None
        key = (own, book, model, chosen, bisect_right(self._moments_of(model), at))
        card = self._cards.get(key)
        return card or _keep(self._cards, key, self._compile(own, book, model, chosen, at), _CARDS_MAX)

    def _compile(self, own: str | None, book: str | None, model: tuple[str, str], chosen: _Chosen, at: datetime) -> Card | Unpriced:
        name = " ".join(model) if book is None else f"{' '.join(model)} in book {book}"
        rows = [row for row in self._rows.get(model, ()) if _is_seen(row, own, book) and holds(row.valid_from, row.valid_to, at)]
        if not rows:
            return Unpriced(UnpricedReason.UNPRICED_MODEL, f"no row is for {name} at that time")
        for dimension, value in zip(DIMENSIONS, chosen, strict=True):
            if value is None:
                return Unpriced(UnpricedReason.UNKNOWN_TIER, f"nobody says the {dimension} of {name}, and {model[0]} has no default")
        rows = [row for row in rows if (row.region_scope, row.service_tier, row.processing, row.speed) == chosen]
        words = ", ".join(f"{dimension} {value}" for dimension, value in zip(DIMENSIONS, chosen, strict=True))
        return Card(f"{name} ({words})", rows) if rows else Unpriced(UnpricedReason.UNKNOWN_TIER, f"no row is for {name} with {words}")

    def _moments_of(self, model: tuple[str, str]) -> list[datetime]:
        """When rows of a model begin or end, ascending."""
        moments = self._moments.get(model)
        if moments is None:
            moments = sorted(_moments(self._rows.get(model, ())))
            if model in self._rows:  # so that names which nobody knows take no room
                self._moments[model] = moments
        return moments

    def _rules_for(self, mandate_id: str | None) -> list[SaleRule]:
        return [*(self._rules.get(mandate_id, ()) if mandate_id else ()), *self._rules.get(None, ())]

    def _policies_for(self, mandate_id: str | None) -> list[Uncharged]:
        return [*(self._uncharged.get(mandate_id, ()) if mandate_id else ()), *self._uncharged.get(None, ())]

    def _policy(self, call: PricedCall, mandate_id: str | None, at: datetime, *, without_usage: bool) -> Uncharged | None:
        for policy in self._policies_for(mandate_id):
            alike = policy.outcome == call.outcome and policy.provider in (None, call.provider)
            if alike and policy.without_usage is without_usage and holds(policy.valid_from, policy.valid_to, at):
                return policy
        return None


def _is_for(rule: SaleRule, provider: str, model: str, at: datetime) -> bool:
    return rule.provider in (None, provider) and rule.model in (None, model) and holds(rule.valid_from, rule.valid_to, at)


def _is_seen(row: PriceRow, own: str | None, book: str | None) -> bool:
    if book is not None:
        return row.layer is Layer.SALE and row.book == book
    return row.layer in (Layer.OPERATOR, Layer.LIST) or (row.layer is Layer.MANDATE and row.mandate_id == own)


def _moments(dated: Iterable[PriceRow | Alias | SaleRule | Uncharged]) -> set[datetime]:
    ends = (end for each in dated for end in (each.valid_from, each.valid_to))
    return {end.astimezone(UTC) for end in ends if end is not None}


def _keep(kept: dict[_Key, _Kept], key: _Key, value: _Kept, at_most: int) -> _Kept:
    """Keeps a value; what is full begins anew, which costs some compiling and no more."""
    if len(kept) >= at_most:
        kept.clear()
    kept[key] = value
    return value


Prices.EMPTY = Prices()
