"""What an amendment of prices comes to, mandate by mandate, and what stands in its way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from core.asking.request import By, Key
from core.asking.sql import Operation
from core.errors import RequestRefused
from core.ledger.priced import GIVEN_STAMP, Priced
from core.money import ZERO
from core.movements.amend import refund_in_the_way
from core.movements.new_price import NewPrice
from core.movements.sql.amendments import Amendment, Source, amended_under, present_entries, refunded
from core.printable import shown

AMEND, AMEND_BEGUN = "amend_prices", "amend_prices_begun"
REVERT, REVERT_BEGUN = "revert_prices", "revert_prices_begun"


class Undo(NamedTuple):
    """Operations on prices: one whose amendments can be taken back, the one that does it, and its beginning."""

    done: str
    undone: str
    begun: str


PRICES = Undo(AMEND, REVERT, REVERT_BEGUN)
EVENTS_MAX = 500  # of one transaction
EVENTS_PER_KEY_MAX = 500_000
_NAMES: TypeAdapter[tuple[str, str]] = TypeAdapter(tuple[Key, By])


@dataclass(slots=True)
class PriceTotals:
    """One mandate's events under one key: how many, what they cost before and after in CHF, and which can't be amended."""

    mandate_id: str
    events: int = 0
    amended: int = 0
    unchanged: int = 0  # they cost that much already
    before: Decimal = ZERO  # of those amended
    after: Decimal = ZERO
    repeated: bool = False  # it was done before
    problems: list[str] = field(default_factory=list)

    def add(self, amendments: Iterable[Amendment]) -> None:
        """Counts these as amended."""
        for amendment in amendments:
            self.amended += 1
            self.before += amendment.entry.priced.amount
            self.after += amendment.priced.amount


@dataclass(frozen=True, slots=True)
class MandatePrices:
    """One mandate's new prices, by event id."""

    mandate_id: str
    prices: Sequence[NewPrice]
    content: Mapping[str, Any]

    def operation(self, name: str, key: str) -> Operation:
        """The operation `name` on exactly these prices under the caller's key."""
        return Operation(self.mandate_id, name, key, self.content)

    def parts(self) -> Iterable[Sequence[NewPrice]]:
        """The prices, as many at a time as one transaction amends."""
        for start in range(0, len(self.prices), EVENTS_MAX):
            yield self.prices[start : start + EVENTS_MAX]


def source_of(operation: str, key: str, by: str) -> Source:
    """What amendments under this key carry.

    Raises:
        RequestRefused: `key` or `by` is no name.
    """
    try:
        _NAMES.validate_python((key, by))
    except ValidationError as error:
        field = ("key", "by")[int(error.errors()[0]["loc"][0])]
        value = key if field == "key" else by
        raise RequestRefused(f"{field}: {shown(value)} is not 1 to 128 characters without control characters") from None
    return Source(operation, key, by)


def by_mandate(prices: Iterable[NewPrice]) -> list[MandatePrices]:
    """The prices of each mandate.

    Raises:
        RequestRefused: an event is named twice, or there are more than 500,000.
    """
    ordered = sorted(prices, key=lambda price: (price.mandate_id, price.event_id))
    if len(ordered) > EVENTS_PER_KEY_MAX:
        raise RequestRefused(f"{len(ordered)} events are too many under one key: at most {EVENTS_PER_KEY_MAX}")
    for one, other in pairwise(ordered):
        if (one.mandate_id, one.event_id) == (other.mandate_id, other.event_id):
            raise RequestRefused(
                f"event {shown(one.event_id)} of mandate {shown(one.mandate_id)} is named twice", field="event_id", value=one.event_id
            )
    grouped = [(mandate_id, list(own)) for mandate_id, own in groupby(ordered, key=lambda price: price.mandate_id)]
    return [MandatePrices(mandate_id, own, _content(own)) for mandate_id, own in grouped]


def _content(prices: Sequence[NewPrice]) -> dict[str, Any]:
    digest = sha256()
    for price in prices:
        digest.update(f"{price.event_id}\x1f{price.price_chf:f}\x1e".encode())
    return {"events": len(prices), "sha256": digest.hexdigest()}


def _repriced(priced: Priced, price: Decimal) -> Priced:
    """As it was, but billed this price, which an operator gives; what the provider charges stays."""
    return replace(priced, amount=price, stamp_id=None if priced.stamp_id is None else GIVEN_STAMP, computed=None, unpriced=None)


def planned(connection: Connection, mandate_id: str, prices: Sequence[NewPrice], key: str, totals: PriceTotals) -> list[Amendment]:
    """What is still to be amended under the key; what costs that much already, and what can't be amended, goes into `totals`."""
    done = amended_under(connection, mandate_id, AMEND, key, [price.event_id for price in prices])
    entries = present_entries(connection, mandate_id, [price.event_id for price in prices if price.event_id not in done])
    touched = refunded(connection, mandate_id, [entry.id for entry in entries.values()])
    amendments = []
    for price in prices:
        if price.event_id in done:
            continue
        entry = entries.get(price.event_id)
        if entry is None:
            totals.problems.append(f"event_id: event {shown(price.event_id)} of mandate {shown(mandate_id)} is not recorded")
        elif entry.priced.amount == price.price_chf:
            totals.unchanged += 1
        elif entry.id in touched:
            totals.problems.append(str(refund_in_the_way(entry)))
        else:
            amendments.append(Amendment(entry, entry.event, entry.account_id, entry.balance_account_id, _repriced(entry.priced, price.price_chf)))
    return amendments
