"""The rater written down a second time: every row is looked at for every leaf, and amounts are fractions.

Calls and books are plain dicts, named as the columns are: a call has `mandate_id, provider, model, at, leaves` (None: no usage object)
and, where it has them, `unmapped, dimensions` (the event's), `told` (the usage object's), `outcome, usage_basis`; a book has lists
`rows, aliases, fx, rules, uncharged` and `defaults`. Decimals are `Decimal`, moments aware in UTC; None in a rule is any.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

Item = Mapping[str, Any]
Exact = tuple[Fraction, Fraction | None, str | None]  # price in francs, provider cost and its currency
Priced = tuple[Decimal, Decimal | None, str | None]
DIMENSIONS = ("region_scope", "service_tier", "processing", "speed")
LAYERS = ("mandate", "operator", "list", "sale")
PRICE_MAX, COST_END = 1_000_000, 10**20


class Unpriceable(Exception):
    """There is no price; its one argument is the reason."""


def rate(call: Item, book: Item) -> Priced | str:
    """Price (nine places), provider cost (18 places) and its currency, or the reason why there is none."""
    found = exact_price(call, book)
    if isinstance(found, str):
        return found
    price, cost, currency = found
    billions = round(price * 10**9)  # of a fraction: half-even
    if not 0 <= billions <= PRICE_MAX * 10**9 or (cost is not None and not 0 <= cost < COST_END):
        return "unpriced_class"
    return _decimal(billions, 9), None if cost is None else _decimal(cost * 10**18, 18), currency


def exact_price(call: Item, book: Item) -> Exact | str:
    """The price before it is rounded, or the reason why there is none."""
    try:
        return _exact(call, book)
    except Unpriceable as reason:
        return str(reason)


def _decimal(units: Fraction | int, places: int) -> Decimal:
    assert units == int(units)
    digits = tuple(int(digit) for digit in str(int(units)))
    return Decimal((0, digits, -places))


def _exact(call: Item, book: Item) -> Exact:
    leaves = call["leaves"]
    unused = not leaves or call.get("usage_basis") == "none"
    free = any(_in(each, call) and each["outcome"] == call.get("outcome") and each["without_usage"] == unused for each in book["uncharged"])
    if unused:
        if not free:
            raise Unpriceable("no_usage")
        return Fraction(0), None, None
    wanted = _wanted(call, book)
    model = next((each["model"] for each in book["aliases"] if each["alias"] == call["model"] and _in(each, {**call, "model": None})), call["model"])
    named = {**call, "model": model}
    rules = [each for each in book["rules"] if _in(each, named)]
    rule = min(rules, key=lambda each: (each["mandate_id"] is None, -each["priority"])) if rules else None
    sold = rule["book"] if rule else None
    costs = _try(
        lambda: _sum(named, wanted, [row for row in book["rows"] if row["layer"] != "sale" and row["mandate_id"] in ("", call["mandate_id"])])
    )
    if free and not isinstance(costs, str):
        return Fraction(0), *costs
    if sold is not None:
        price, _ = _sum(named, wanted, [row for row in book["rows"] if row["layer"] == "sale" and row["book"] == sold])
        return Fraction(0) if free else price, *((None, None) if isinstance(costs, str) else costs)
    if isinstance(costs, str):
        raise Unpriceable(costs)
    if rule is None:
        raise Unpriceable("no_rule")
    cost, currency = costs
    return cost * _franc(currency, call["at"], book["fx"]) * (1 + Fraction(rule["markup_percent"]) / 100), cost, currency


def _in(item: Item, call: Item) -> bool:
    """Whether a dated item is for a call: of what both name, all is the same."""
    same = all(item.get(name) is None or call[name] is None or item[name] == call[name] for name in ("mandate_id", "provider", "model"))
    begins, ends = item["valid_from"], item["valid_to"]
    return same and not (begins is not None and call["at"] < begins) and not (ends is not None and call["at"] >= ends)


def _wanted(call: Item, book: Item) -> dict[str, str | None]:
    wanted = {}
    for name in DIMENSIONS:
        said = {source[name] for source in (call.get("dimensions", {}), call.get("told", {})) if source.get(name) is not None}
        if len(said) == 2:
            raise Unpriceable("usage_contradiction")
        wanted[name] = said.pop() if said else book["defaults"].get(call["provider"], {}).get(name)
    return wanted


def _sum(call: Item, wanted: Item, rows: Sequence[Item]) -> tuple[Fraction, str]:
    rows = [row for row in rows if _in({**row, "mandate_id": None}, call)]
    if not rows or call["provider"] is None or call["model"] is None:
        raise Unpriceable("unpriced_model")
    rows = [row for row in rows if all(row[name] == wanted[name] for name in DIMENSIONS)]
    if not rows:
        raise Unpriceable("unknown_tier")
    rows = [
        row for row in rows if not any(other["leaf"] == row["leaf"] and LAYERS.index(other["layer"]) < LAYERS.index(row["layer"]) for other in rows)
    ]
    if call.get("unmapped"):
        raise Unpriceable("unpriced_class")
    counts = dict(call["leaves"])
    if any(row["leaf"] == "request" for row in rows):
        counts.setdefault("request", 1)
    whole = sum(count for leaf, count in call["leaves"].items() if leaf.startswith(("input", "cache_")))
    tier = max((start for row in rows if (start := _start(row)) is not None and start <= whole), default=None)
    total, currencies = Fraction(0), set()
    for leaf, count in counts.items():
        if count:
            own = [row for row in rows if row["leaf"] == leaf]
            fitting = [row for row in own if tier is not None and _start(row) == tier] or [row for row in own if _start(row) is None]
            if len(fitting) != 1:
                raise Unpriceable("unpriced_class")
            total += count * Fraction(fitting[0]["amount"]) / fitting[0]["per"]
            currencies.add(fitting[0]["currency"])
    if len(currencies) > 1:
        raise Unpriceable("unpriced_class")
    return total, currencies.pop() if currencies else min(rows, key=lambda row: row["id"])["currency"]


def _start(row: Item) -> int | None:
    return None if row["from_tokens"] is None else int(row["from_tokens"]) + (row["boundary"] == ">")


def _franc(currency: str, at: datetime, rates: Sequence[Item]) -> Fraction:
    if currency == "CHF":
        return Fraction(1)
    day = at.date()
    usable = [each for each in rates if each["currency"] == currency and timedelta(0) < day - each["on"] <= timedelta(days=7)]
    if not usable:
        raise Unpriceable("no_fx")
    return Fraction(max(usable, key=lambda each: each["on"])["rate"])


def _try(make: Callable[[], tuple[Fraction, str]]) -> tuple[Fraction, str] | str:
    try:
        return make()
    except Unpriceable as reason:
        return str(reason)
