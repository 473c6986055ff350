"""What the oracle keeps of prices: the book as it is now, what holds beside it, and how an event is billed by them. Amounts are francs."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from lab.oracle import rates
from lab.oracle.entries import Bill, Event, Stood

Item = dict[str, Any]
_KEY = ("layer", "mandate_id", "book", "provider", "model", "region_scope", "service_tier", "processing", "speed", "leaf")
_DATED = ("fx", "rules", "uncharged")  # what a re-rating leaves as it was


@dataclass
class PriceBook:
    """The rows of the active version, what is dated beside them, and the modes; as `lab/oracle/rates.py` names all of it."""

    book: dict[str, Any] = field(default_factory=lambda: {"rows": [], "aliases": [], **{name: [] for name in _DATED}, "defaults": {}})
    modes: dict[str, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))

    def accept(self, rows: list[Item]) -> None:
        """A version in which these rows stand for all that there was of their keys."""
        told = {tuple(row[name] for name in _KEY) for row in rows}
        kept = [row for row in self.book["rows"] if tuple(row[name] for name in _KEY) not in told]
        self.book["rows"] = [{**row, "id": number} for number, row in enumerate([*kept, *rows], 1)]

    def replace(self, kind: str, old: Item | None, new: Item) -> None:
        """Another entry of a kind, in the place of one or beside the others."""
        self.book[kind] = [*(each for each in self.book[kind] if each is not old), new]

    def mode(self, mandate: str, at: datetime) -> str:
        """Which price a mandate pays for what happens then."""
        modes = sorted(self.modes[mandate])
        place = bisect_right([since for since, _ in modes], at)
        return modes[place - 1][1] if place else "given"

    def judge(self, event: Event) -> Bill | str:
        """What an event is billed; else `rejected`, or why it waits."""
        mode, given, call = self.mode(event.mandate, event.at), event.price, event.call
        contradicts = call is not None and call.contradicts
        leaves = frozenset() if call is None or call.leaves is None or contradicts else frozenset(leaf for leaf in call.leaves if leaf[1])
        found = "usage_contradiction" if contradicts else rates.rate(called(event), self.book)
        if mode == "computed":
            return found if isinstance(found, str) else self._rated(event, found[0], Stood(given, None, *found[1:], leaves))
        if given is None:
            return "rejected"
        if mode == "given":
            unread = "usage_contradiction" if contradicts else None
            return Bill(given) if event.version == 1 else Bill(given, Stood(given, leaves=leaves, unpriced=unread))
        if isinstance(found, str):
            return Bill(given, Stood(given, leaves=leaves, unpriced=found))
        return self._rated(event, given, Stood(given, *found, leaves))

    def _rated(self, event: Event, amount: Decimal, stood: Stood) -> Bill:
        if event.call is None or event.call.leaves is None:  # free by a policy
            return Bill(amount, stood)
        return Bill(amount, stood, {name: list(self.book[name]) for name in _DATED})

    def again(self, event: Event, bill: Bill) -> Bill | None:
        """The bill by the rows of now and what was dated then; None: there is no price, or nothing changes."""
        assert bill.dated is not None
        dated = bill.dated
        if bill.stood.currency in (None, "CHF") or self._took_no_rate(event, dated):
            dated = {**dated, "fx": []}
        found = rates.rate(called(event), {**self.book, **dated})
        if isinstance(found, str):
            return None
        price, cost, currency = found
        shadow = bill.stood.computed is not None
        if (price, cost, currency) == (bill.stood.computed if shadow else bill.amount, bill.stood.cost, bill.stood.currency):
            return None
        stood = Stood(bill.stood.given, price if shadow else None, cost, currency, bill.stood.leaves)
        return Bill(bill.amount if shadow else price, stood, dated)

    def _took_no_rate(self, event: Event, dated: Item) -> bool:
        """Whether it was billed by a book of its own, or not charged: without a rate."""
        without = rates.rate(called(event), {**self.book, **dated, "fx": []})
        return not isinstance(without, str)


def called(event: Event) -> Item:
    """The event as `lab/oracle/rates.py` takes it."""
    provider, model, _ = event.names
    call = event.call
    plain = {"mandate_id": event.mandate, "provider": provider, "model": model, "at": event.at, "leaves": None}
    if call is None:
        return plain
    leaves = None if call.leaves is None else dict(call.leaves)
    return {**plain, "leaves": leaves, "dimensions": {"service_tier": call.tier}, "outcome": call.outcome}
