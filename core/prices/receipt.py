"""A receipt: every step from what a provider said to what was paid, in plain JSON from which the amount can be computed again."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from core.dialects.model import INPUT_LEAVES, Leaf
from core.prices.model import FxRate, Layer, PriceRow, SaleRule, StampContent, Uncharged

RECEIPT_VERSION = 1
_PLACES = 9


class Amounts(NamedTuple):
    """What a debit says: CHF, but for the provider's cost. `billed` is what it debits; it was given, computed, or set by an operator."""

    billed: Decimal
    given: Decimal | None = None
    computed: Decimal | None = None
    provider_cost: Decimal | None = None
    provider_currency: str | None = None


def receipt(
    *,
    event: Mapping[str, object],
    usage: object,
    leaves: Mapping[Leaf, int],
    stamp: StampContent,
    amounts: Amounts,
    rows: Iterable[PriceRow] = (),
    fx: FxRate | None = None,
    fx_legs: Sequence[Mapping[str, object]] = (),
    rule: SaleRule | None = None,
    uncharged: Uncharged | None = None,
    unpriced: str | None = None,
) -> dict[str, Any]:
    """The way from a usage object to an amount; decimals are texts without exponent, moments RFC 3339 in UTC.

    Args:
        event: what the event says, as far as it is to be shown.
        usage: the raw usage object, None where the event has none.
        leaves: what the dialect of the stamp read in it.
        stamp: what the amount was computed from.
        amounts: what the debit says.
        rows: the rows that the stamp names, in any order; others are left out.
        fx: the rate of exchange that the stamp names.
        fx_legs: what that rate was made from.
        rule: the sale rule that the stamp names.
        uncharged: the policy that the stamp names.
        unpriced: why there is no computed price beside the given one.
    """
    known = [row for row in sorted(rows, key=lambda row: list(Leaf).index(row.leaf)) if row.id in stamp.rows]
    costs = [row for row in known if row.layer is not Layer.SALE]
    sold = [row for row in known if row.layer is Layer.SALE]
    priced = {
        "receipt": RECEIPT_VERSION,
        "event": event,
        "usage": usage,
        "dialect": None if stamp.dialect is None else {"name": stamp.dialect, "version": stamp.dialect_version},
        "leaves": {leaf: leaves[leaf] for leaf in Leaf if leaves.get(leaf)},
        "stamp": {"kind": stamp.kind, "price_version": stamp.version_id, "rater_version": stamp.rater_version},
        "tier": {"whole_input": sum(leaves.get(leaf, 0) for leaf in INPUT_LEAVES), **_threshold(known)},
        "cost": {"rows": [_row(row, leaves) for row in costs], "amount": amounts.provider_cost, "currency": amounts.provider_currency},
        "fx": None if fx is None else {"id": fx.id, "currency": fx.currency, "date": fx.on, "rate": fx.rate, "legs": fx_legs},
        "rule": None if rule is None else _without_validity(rule),
        "sale": {"rows": [_row(row, leaves) for row in sold], "currency": "CHF"},
        "uncharged": None if uncharged is None else _without_validity(uncharged),
        "rounding": {"places": _PLACES, "mode": "half-even"},
        "price": {"currency": "CHF", "computed": amounts.computed, "given": amounts.given, "billed": amounts.billed, "not_computed": unpriced},
    }
    made: dict[str, Any] = plain(priced)
    return made


def _threshold(rows: Iterable[PriceRow]) -> dict[str, object]:
    """Where the tier begins that rows are of; None: all are for all tiers, or several books have tiers of their own (see the rows)."""
    begins = {(row.from_tokens, row.boundary) for row in rows if row.from_tokens is not None}
    ((threshold, boundary),) = begins if len(begins) == 1 else {(None, None)}
    return {"from_tokens": threshold, "boundary": boundary}


def _row(row: PriceRow, leaves: Mapping[Leaf, int]) -> dict[str, object]:
    """A row with how many it prices: a request that nobody counted is the call itself."""
    return {
        "id": row.id,
        "leaf": row.leaf,
        "count": leaves.get(row.leaf) or (1 if row.leaf is Leaf.REQUEST else 0),
        "amount": row.amount,
        "per": row.per,
        "currency": row.currency,
        "tier": None if row.from_tokens is None else {"boundary": row.boundary, "from_tokens": row.from_tokens},
        "layer": row.layer,
        **({"mandate_id": row.mandate_id} if row.mandate_id else {}),
        **({"book": row.book} if row.book else {}),
        **{name: getattr(row, name) for name in ("provider", "model", "region_scope", "service_tier", "processing", "speed")},
        **{name: getattr(row, name) for name in ("valid_from", "valid_to", "basis", "source")},
    }


def _without_validity(rule: SaleRule | Uncharged) -> dict[str, object]:
    """A rule as it decided; until when it holds may have been said since."""
    return {name: value for name, value in rule._asdict().items() if name != "valid_to"}


def plain(value: Any) -> Any:
    """The value as JSON of a receipt has it: decimals as texts without exponent, moments in RFC 3339, in UTC."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, str) else value
