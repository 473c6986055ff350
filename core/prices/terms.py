"""The terms of a call: what it costs and what its mandate pays for it, as long as nothing of that changes."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from math import gcd
from typing import NamedTuple

from core.money import EXACT
from core.prices.card import PLACES, Card, scaled
from core.prices.model import (
    RATER_VERSION,
    FxRate,
    PriceRow,
    SaleRule,
    StampContent,
    StampKind,
    Uncharged,
    Unpriced,
    UnpricedReason,
)

FX_AGE_MAX = 7  # days
_BILLS_MAX = 256  # of one call's terms: combinations of leaves
_FX_PLACES = 12
_PERCENT_PLACES = 12
_PRICE_PLACES = 9
_CHF = "CHF"
_FX_UNIT: int = 10**_FX_PLACES
_PERCENT_UNIT: int = 10**_PERCENT_PLACES
_SHIFT: int = 10 ** (PLACES - _PRICE_PLACES)


class ExchangeRates:
    """What a currency is worth in CHF, by day."""

    def __init__(self, rates: Iterable[FxRate]) -> None:
        self._rates: dict[str, list[FxRate]] = defaultdict(list)
        for rate in sorted(rates, key=lambda rate: (rate.on, rate.id)):
            self._rates[rate.currency].append(rate)

    def before(self, currency: str, day: date) -> FxRate | None:
        """The latest rate dated before `day` (a date of UTC), unless it is older than seven days."""
        rates = self._rates.get(currency, [])
        place = bisect_left(rates, day, key=lambda rate: rate.on)
        if not place or (day - rates[place - 1].on).days > FX_AGE_MAX:
            return None
        return rates[place - 1]


class KeptRate(ExchangeRates):
    """One rate, whatever its date: what an earlier rating has used."""

    def __init__(self, rate: FxRate | None) -> None:
        """Takes the rate; None: it used none."""
        self._rate = rate

    def before(self, currency: str, day: date) -> FxRate | None:  # noqa: ARG002
        """The rate, if it is of that currency."""
        return self._rate if self._rate is not None and self._rate.currency == currency else None


class Bill(NamedTuple):
    """How an amount in units of 10⁻¹⁸ becomes a price in units of 10⁻⁹ CHF: by `numerator` / `denominator`, and what to put on it."""

    numerator: int
    denominator: int
    currency: str | None
    stamp: StampContent


class Terms:
    """What a call costs and what is paid for it; the same for all calls alike in a stretch of one UTC day."""

    __slots__ = ("_bills", "_call", "_day", "_fx", "_rule", "_stamped", "cost", "sale", "uncharged")

    def __init__(
        self,
        call: str,
        day: date,
        fx: ExchangeRates,
        cost: Card | Unpriced,
        sale: Card | Unpriced | None,
        rule: SaleRule | None,
        uncharged: Uncharged | None,
        stamped: StampContent,
    ) -> None:
        """`call` is what details name it; `sale` is the card of the rule's book, where it has one; `stamped` what all stamps say."""
        self.cost, self.sale, self.uncharged = cost, sale, uncharged
        self._call, self._day, self._fx, self._rule, self._stamped = call, day, fx, rule, stamped
        self._bills: dict[tuple[int | None, int | None], Bill | Unpriced] = {}

    def bill(self, cost_mark: int | None, sale_mark: int | None) -> Bill | Unpriced:
        """How to bill a call that took these rows of the cost's card and of the sale's (None: no card)."""
        bill = self._bills.get((cost_mark, sale_mark))
        if bill is None:
            bill = self._by_cost(cost_mark) if sale_mark is None else self._by_book(cost_mark, sale_mark)
            if len(self._bills) >= _BILLS_MAX:
                self._bills.clear()
            self._bills[cost_mark, sale_mark] = bill
        return bill

    def _by_cost(self, mark: int | None) -> Bill | Unpriced:
        assert isinstance(self.cost, Card)
        assert mark is not None
        rows = self.cost.rows(mark)
        currencies = sorted({row.currency for row in rows}) or [self.cost.currency()]
        if len(currencies) > 1:
            return Unpriced(UnpricedReason.UNPRICED_CLASS, f"the rows of {self.cost.name} are in {' and '.join(currencies)}")
        if self.uncharged is not None:
            return Bill(0, 1, currencies[0], self._stamp(rows))
        if self._rule is None or self._rule.markup_percent is None:
            return Unpriced(UnpricedReason.NO_RULE, f"no sale rule is for {self._call}")
        fx, fx_rate = None, Decimal(1)
        if currencies[0] != _CHF:
            fx = self._fx.before(currencies[0], self._day)
            if fx is None:
                return Unpriced(UnpricedReason.NO_FX, f"no rate of {currencies[0]} in the {FX_AGE_MAX} days before {self._day}")
            fx_rate = fx.rate
        numerator = scaled(fx_rate, _FX_PLACES) * scaled(EXACT.add(100, self._rule.markup_percent), _PERCENT_PLACES)
        denominator = _SHIFT * _FX_UNIT * 100 * _PERCENT_UNIT
        common = gcd(numerator, denominator)
        return Bill(numerator // common, denominator // common, currencies[0], self._stamp(rows, fx=fx, rule=self._rule))

    def _by_book(self, cost_mark: int | None, sale_mark: int) -> Bill | Unpriced:
        assert isinstance(self.sale, Card)
        rows = self.sale.rows(sale_mark)
        foreign = sorted({row.currency for row in rows} - {_CHF})
        if foreign:
            return Unpriced(UnpricedReason.UNPRICED_CLASS, f"the rows of {self.sale.name} are in {' and '.join(foreign)}, not {_CHF}")
        currency = None
        if isinstance(self.cost, Card) and cost_mark is not None:
            costs = self.cost.rows(cost_mark)
            currencies = {row.currency for row in costs} or {self.cost.currency()}
            if len(currencies) == 1:  # of two nobody can tell the cost; what is paid is known all the same
                (currency,) = currencies
                rows = [*costs, *rows]
        return Bill(0 if self.uncharged else 1, _SHIFT, currency, self._stamp(rows, rule=self._rule))

    def _stamp(self, rows: Iterable[PriceRow], fx: FxRate | None = None, rule: SaleRule | None = None) -> StampContent:
        return self._stamped._replace(
            rows=tuple(sorted(row.id for row in rows)),
            fx_id=None if fx is None else fx.id,
            rule_id=None if rule is None else rule.id,
            uncharged_id=None if self.uncharged is None else self.uncharged.id,
        )


def policy_stamp(version_id: int | None, policy: Uncharged) -> StampContent:
    """The stamp of an event without usage that is free."""
    return StampContent(StampKind.POLICY, version_id, uncharged_id=policy.id, rater_version=RATER_VERSION)
