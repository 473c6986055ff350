"""Exchange rates: brought in once for each currency and day, and used for what happens after that UTC day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.errors import LinesRefused
from core.money import EXACT
from core.prices.content import PLACES
from core.prices.sql.fx import PassedRate, passed_rates, present_rates, write_rates
from core.prices.sql.state import hold_prices, raise_revision

RATE_MAX = Decimal(10) ** 12


class Leg(NamedTuple):
    """What a cross rate is made of: how much of the second currency one unit of the first is worth, as it was published."""

    pair: str
    rate: str


class GivenRate(NamedTuple):
    """What one unit of a currency is worth in CHF by the rate of a day."""

    currency: str
    on: date
    rate: Decimal
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedFx:
    """How many rates were written, of these how many in the place of others, and how many were there already.

    `passed` are those for days after which calls were rated already, by older rates: they are no more what rating them now would take.
    """

    written: int
    replaced: int
    unchanged: int
    rounded: int
    passed: list[PassedRate]


def cross_rate(per_unit: Decimal, of_currency: Decimal) -> Decimal:
    """The rate of a currency by two rates against a third, once, half-even to twelve places."""
    return EXACT.quantize(EXACT.divide(per_unit, of_currency), PLACES)


def import_fx(database: Database, actor: Actor, given: Sequence[GivenRate], *, source: str, created_by: str, replace: bool = False) -> ImportedFx:
    """Writes each rate once, rounded half-even to twelve places, in one transaction. Repeatable: what is there already stays.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        given: rates, of any currencies and days.
        source: where they are from.
        created_by: who does it.
        replace: let a rate take the place of another one of its currency and day.

    Raises:
        LinesRefused: a rate can't be, stands twice with two values, or there is another one already; each is named, nothing was written.
    """
    require_root(actor, "import exchange rates")
    rates, rounded = _required(given)
    asked = [{"currency": currency, "rate_date": on} for currency, on in rates]
    with database.transaction() as connection:
        hold_prices(connection)
        present = {(one.currency, one.rate_date): one for one in present_rates(connection, asked)}
        others = {key: one for key, one in present.items() if one.rate != rates[key].rate}
        if others and not replace:
            named = [f"{key[0]} of {key[1]}: {rates[key].rate} here, {one.rate} in the books" for key, one in sorted(others.items())]
            raise LinesRefused(f"{len(named)} rates are there with another value, and nothing was taken over: --replace lets these be used", named)
        new = [
            {"currency": one.currency, "rate_date": one.on, "rate": format(one.rate, "f"), "legs": [leg._asdict() for leg in one.legs]}
            for key, one in rates.items()
            if key not in present or key in others
        ]
        passed = passed_rates(connection, new)
        if new:
            write_rates(connection, new, [one.id for one in others.values()], source, created_by)
            raise_revision(connection)
    return ImportedFx(len(new), len(others), len(rates) - len(new), rounded, passed)


def _required(given: Sequence[GivenRate]) -> tuple[dict[tuple[str, date], GivenRate], int]:
    """The rates by currency and day, rounded, and how many of them were."""
    rates: dict[tuple[str, date], GivenRate] = {}
    named: list[str] = []
    rounded = 0
    for one in given:
        where = f"{one.currency} of {one.on}"
        if not (len(one.currency) == 3 and one.currency.isascii() and one.currency.isupper() and one.currency.isalpha()) or one.currency == "CHF":
            named.append(f"{where}: currency is not three capital letters other than CHF (got {one.currency!r})")
            continue
        if not one.rate.is_finite() or not 0 < one.rate < RATE_MAX or (rate := EXACT.quantize(one.rate, PLACES)) == 0:
            named.append(f"{where}: rate is not above 0 and below {RATE_MAX:f} with twelve places (got {one.rate})")
            continue
        rounded += rate != one.rate
        known = rates.setdefault((one.currency, one.on), one._replace(rate=rate))
        if known.rate != rate:
            named.append(f"{where}: is there twice, with {known.rate} and {rate}")
    if named:
        raise LinesRefused(f"{len(named)} rates can't be taken, and nothing was taken over", named)
    return rates, rounded
