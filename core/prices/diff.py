"""What differs between two books of prices: new, changed and gone, by model, the biggest change first."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from core.dialects.model import DIMENSIONS
from core.money import EXACT
from core.prices.content import START, TierKey, start, tier_key
from core.prices.merge import terms
from core.prices.model import PriceRow

_END = datetime.max.replace(tzinfo=UTC)  # when what holds without end ends
_MOST = Decimal(10) ** 12  # how much a price has changed that was 0


class ChangeKind(StrEnum):
    """What became of what a row was about."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"
    REDATED = "redated"  # the same terms for another time


@dataclass(frozen=True, slots=True)
class Change:
    """What a leaf (with tier, dimensions, layer) costs before and after, per 1,000,000 of it, and from when on; None where it has no price."""

    kind: ChangeKind
    leaf: str
    before: Decimal | None
    after: Decimal | None
    currency: str
    valid_from: datetime | None
    valid_to: datetime | None
    layer: str
    whose: str
    dimensions: tuple[str, ...]
    from_tokens: int | None
    relative: Decimal  # by how much of itself the price changes; 0 where one is missing


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """The changes of one provider's model, the biggest first."""

    provider: str
    model: str
    changes: list[Change]

    @property
    def biggest(self) -> Decimal:
        """The biggest relative change."""
        return max(change.relative for change in self.changes)


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs; `defaults` are those that differ, {provider: {dimension: [before, after]}}, and `notes` what the source could not say."""

    models: list[ModelChanges]
    counts: dict[str, int]
    defaults: dict[str, dict[str, tuple[str | None, str | None]]]
    notes: Mapping[str, object]


def compared(
    new: Iterable[PriceRow],
    old: Iterable[PriceRow],
    defaults: Mapping[str, Mapping[str, str]],
    former_defaults: Mapping[str, Mapping[str, str]],
    notes: Mapping[str, object],
) -> Diff:
    """What differs, given the rows that only the one book has and those that only the other has."""
    after, before = _by_key(new), _by_key(old)
    by_model: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for tier in after.keys() | before.keys():
        by_model[tier.key.provider, tier.key.model] += _changes(before.get(tier, []), after.get(tier, []))
    models = [ModelChanges(provider, model, sorted(changes, key=_order)) for (provider, model), changes in by_model.items() if changes]
    models.sort(key=lambda one: (-one.biggest, one.provider, one.model))
    counts = {kind.value: sum(change.kind is kind for one in models for change in one.changes) for kind in ChangeKind}
    return Diff(models, counts, _changed_defaults(defaults, former_defaults), notes)


def _by_key(rows: Iterable[PriceRow]) -> dict[TierKey, list[PriceRow]]:
    found: dict[TierKey, list[PriceRow]] = defaultdict(list)
    for row in rows:
        found[tier_key(row)].append(row)
    return found


def _changes(before: Sequence[PriceRow], after: Sequence[PriceRow]) -> list[Change]:
    """Of one key, in each stretch of time in which its price is another one than before."""
    found: list[Change] = []
    for begin, end in pairwise(_cuts([*before, *after])):
        old, new = _at(before, begin), _at(after, begin)
        if (None if old is None else terms(old)) == (None if new is None else terms(new)):
            continue
        change = _change(_kind(old, new), old, new, begin, end)
        last = found[-1] if found else None
        if (
            last is not None
            and last.valid_to == change.valid_from
            and replace(last, valid_from=begin, valid_to=end) == replace(change, valid_from=begin, valid_to=end)
        ):
            found[-1] = replace(last, valid_to=change.valid_to)
        else:
            found.append(change)
    if found or {(row.valid_from, row.valid_to) for row in before} == {(row.valid_from, row.valid_to) for row in after}:
        return found
    return [_change(ChangeKind.REDATED, before[0], after[0], start(after[0]), after[0].valid_to or _END)]


def _cuts(rows: Iterable[PriceRow]) -> list[datetime]:
    return sorted({moment for row in rows for moment in (start(row), row.valid_to or _END)})


def _at(rows: Sequence[PriceRow], moment: datetime) -> PriceRow | None:
    """What holds then."""
    return next((row for row in rows if start(row) <= moment and (row.valid_to is None or moment < row.valid_to)), None)


def _kind(old: PriceRow | None, new: PriceRow | None) -> ChangeKind:
    return ChangeKind.NEW if old is None else ChangeKind.GONE if new is None else ChangeKind.CHANGED


def _change(kind: ChangeKind, old: PriceRow | None, new: PriceRow | None, begin: datetime, end: datetime) -> Change:
    row = new or old
    assert row is not None
    before, after = (None if one is None else _per_million(one) for one in (old, new))
    return Change(
        kind,
        row.leaf,
        before,
        after,
        row.currency,
        None if begin == START else begin,
        None if end == _END else end,
        row.layer,
        row.mandate_id or row.book,
        tuple(getattr(row, name) for name in DIMENSIONS),
        row.from_tokens,
        _relative(before, after),
    )


def _per_million(row: PriceRow) -> Decimal:
    return EXACT.divide(EXACT.multiply(row.amount, Decimal(1_000_000)), Decimal(row.per)).normalize(EXACT)


def _relative(before: Decimal | None, after: Decimal | None) -> Decimal:
    if before is None or after is None or before == after:
        return Decimal(0)
    return _MOST if before == 0 else round(abs(after - before) / before, 6)


def _order(change: Change) -> tuple[object, ...]:
    tier = -1 if change.from_tokens is None else change.from_tokens
    return -change.relative, change.layer, change.whose, change.dimensions, change.leaf, tier, change.valid_from or START


def _changed_defaults(
    after: Mapping[str, Mapping[str, str]], before: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, tuple[str | None, str | None]]]:
    changed: dict[str, dict[str, tuple[str | None, str | None]]] = {}
    for provider in sorted(after.keys() | before.keys()):
        old, new = before.get(provider, {}), after.get(provider, {})
        for dimension in sorted(old.keys() | new.keys()):
            if old.get(dimension) != new.get(dimension):
                changed.setdefault(provider, {})[dimension] = (old.get(dimension), new.get(dimension))
    return changed
