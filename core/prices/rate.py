"""What an event costs and what is paid for it: computed from the price book, exact, rounded once."""

from decimal import Decimal

from core.dialects.model import Reading
from core.money import EXACT, PRICE_MAX, QUANTUM, ZERO
from core.prices.book import Prices
from core.prices.card import Card
from core.prices.model import Kept, PricedCall, Rated, Unpriced, UnpricedReason
from core.prices.terms import Bill, Terms, policy_stamp

_PRICE_UNITS_MAX = int(PRICE_MAX) * 10**9
_COST_UNITS_MAX: int = 10**38 - 1  # NUMERIC(38,18)
_WITHOUT_USAGE = "none"  # a usage basis: what the call used nobody knows
_COST_QUANTUM = Decimal("1E-18")
_product = EXACT.multiply


def rate(call: PricedCall, prices: Prices) -> Rated | Unpriced:
    """The price of a call at its own moment by the rules of `prices`, or why there is none. Pure: the same arguments, the same answer.

    The price is the provider cost by exchange rate and markup, or what the rows of a SALE book come to, rounded half-even once, to nine
    places; the provider cost is exact. Nothing is guessed: every positive leaf has a row of its own, of the call's very model,
    dimensions and tier, or the call is `Unpriced`. A usage object that tells no count at all is no usage.
    """
    reading = call.reading
    if reading is None or not reading.leaves or call.usage_basis == _WITHOUT_USAGE:
        return _without_usage(call, prices)
    terms = prices.terms(call, reading)
    if isinstance(terms, Unpriced):
        return terms
    return _by_cost(reading, terms) if terms.sale is None else _by_book(reading, terms)


def rate_again(call: PricedCall, prices: Prices, kept: Kept) -> Rated | Unpriced:
    """What a call with usage comes to by the rows of `prices`, with the exchange rate, rule and policy of an earlier rating. Pure.

    An exchange rate of another currency than the rows are in is none: `no_fx`. By the same rows the result is the earlier one, whatever
    has been said of rates and rules since.
    """
    reading = call.reading
    if reading is None or not reading.leaves or call.usage_basis == _WITHOUT_USAGE:
        return _without_usage(call, prices)
    terms = prices.terms_kept(call, reading, kept)
    if isinstance(terms, Unpriced):
        return terms
    return _by_cost(reading, terms) if terms.sale is None else _by_book(reading, terms)


def _by_cost(reading: Reading, terms: Terms) -> Rated | Unpriced:
    card = terms.cost
    if isinstance(card, Unpriced):
        return card
    if reading.unmapped:
        return _unmapped(reading.unmapped)
    try:
        cost, mark = card.total(reading.leaves)
    except KeyError as missing:
        return Unpriced(UnpricedReason.UNPRICED_CLASS, card.lacking(missing.args[0], reading.leaves))
    bill = terms.bill(mark, None)
    return bill if isinstance(bill, Unpriced) else _rated(cost, cost, bill)


def _by_book(reading: Reading, terms: Terms) -> Rated | Unpriced:
    if terms.uncharged is not None:  # what the provider takes is enough to know
        rated = _by_cost(reading, terms)
        if isinstance(rated, Rated):
            return rated
    card = terms.sale
    assert card is not None
    if isinstance(card, Unpriced):
        return card
    if reading.unmapped:
        return _unmapped(reading.unmapped)
    try:
        amount, sale_mark = card.total(reading.leaves)
    except KeyError as missing:
        return Unpriced(UnpricedReason.UNPRICED_CLASS, card.lacking(missing.args[0], reading.leaves))
    cost = mark = None
    if isinstance(terms.cost, Card):
        try:
            cost, mark = terms.cost.total(reading.leaves)
        except KeyError:
            cost = mark = None  # the book bills what nobody knows the cost of
    bill = terms.bill(mark, sale_mark)
    return bill if isinstance(bill, Unpriced) else _rated(amount, cost, bill)


def _rated(amount: int, cost: int | None, bill: Bill) -> Rated | Unpriced:
    """The price that `amount` makes, and the provider's `cost`, both in units of 10⁻¹⁸."""
    units, rest = divmod(amount * bill.numerator, bill.denominator)
    if rest:
        rest += rest
        if rest > bill.denominator or (rest == bill.denominator and units & 1):
            units += 1
    if not 0 <= units <= _PRICE_UNITS_MAX:
        return Unpriced(UnpricedReason.UNPRICED_CLASS, f"the price {_product(units, QUANTUM)} is not between 0 and {PRICE_MAX} CHF")
    if cost is None or bill.currency is None:
        return Rated(_product(units, QUANTUM), None, None, bill.stamp)
    if not 0 <= cost <= _COST_UNITS_MAX:
        return Unpriced(UnpricedReason.UNPRICED_CLASS, f"the provider cost {_product(cost, _COST_QUANTUM)} is more than the books hold")
    return Rated(_product(units, QUANTUM), _product(cost, _COST_QUANTUM), bill.currency, bill.stamp)


def _unmapped(paths: tuple[str, ...]) -> Unpriced:
    return Unpriced(UnpricedReason.UNPRICED_CLASS, f"the usage object counts what its dialect doesn't know: {', '.join(paths)}")


def _without_usage(call: PricedCall, prices: Prices) -> Rated | Unpriced:
    policy = prices.free_without_usage(call)
    if policy is None:
        return Unpriced(UnpricedReason.NO_USAGE, f"the event of outcome {call.outcome} tells no usage, and no policy says that it is free")
    return Rated(ZERO, None, None, policy_stamp(prices.version_id, policy))
