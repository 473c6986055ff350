"""The rater against the oracle's, over books and calls of any kind: the same reason, or the same amount to the last digit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.dialects.model import DIMENSIONS, Leaf, Reading
from core.prices.book import Prices
from core.prices.model import Alias, Boundary, FxRate, Kept, Layer, PricedCall, PriceRow, Rated, SaleRule, StampKind, Uncharged
from core.prices.rate import rate, rate_again
from lab.oracle import rates as oracle
from tests.prices.books import PLAIN

Draw = Callable[[st.SearchStrategy[Any]], Any]
Book = dict[str, list[Any]]
DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (18, 19, 20)]
MOMENTS = [*DAYS, datetime(2026, 11, 19, 12, tzinfo=UTC)]
LEAVES = ("input", "cache_read", "cache_write_5m", "input_audio", "output", "web_search", "request")
MODELS = ("a", "b")
MANDATES = ("acme", "other")
OUTCOMES = ("completed", "failed")

starts = st.sampled_from([None, None, None, *MOMENTS])
amounts = st.decimals(0, 50, places=12, allow_nan=False) | st.integers(0, 20).map(Decimal)
counts = st.sampled_from([0, 1, 9, 10]) | st.integers(1, 400_000)
few = st.integers(0, 11).map(lambda number: number == 7)  # not the simplest: hypothesis would draw it most of all
moments = st.sampled_from([moment + timedelta(microseconds=step) for moment in MOMENTS for step in (-1, 0, 1)])


@st.composite
def price_rows(draw: Draw) -> PriceRow:
    """A row of any layer."""
    layer = draw(st.sampled_from([Layer.LIST, Layer.LIST, Layer.LIST, Layer.OPERATOR, Layer.MANDATE, Layer.SALE, Layer.SALE]))
    tier = draw(st.sampled_from([(None, None), (None, None), (0, Boundary.FROM), (9, Boundary.ABOVE), (10, Boundary.FROM)]))
    begins, ends = draw(starts), draw(starts)
    if begins is not None and ends is not None and ends <= begins:
        ends = None
    return PriceRow(
        0,
        layer,
        draw(st.sampled_from(MANDATES)) if layer is Layer.MANDATE else "",
        "retail" if layer is Layer.SALE else "",
        "openai",
        draw(st.sampled_from(MODELS)),
        **{**PLAIN, "service_tier": draw(st.sampled_from(["standard", "standard", "flex"]))},
        leaf=Leaf(draw(st.sampled_from(LEAVES))),
        from_tokens=tier[0],
        boundary=tier[1],
        amount=draw(amounts),
        per=draw(st.sampled_from([1, 1_000, 1_000_000])),
        currency="CHF" if layer is Layer.SALE else draw(st.sampled_from(["USD", "USD", "USD", "CHF"])),
        valid_from=begins,
        valid_to=ends,
    )


@st.composite
def whole_models(draw: Draw) -> list[PriceRow]:
    """Rows for every leaf of a model, so that calls have a price more often than not."""
    tier = draw(st.sampled_from([[(None, None)], [(0, Boundary.FROM), (10, Boundary.FROM)], [(0, Boundary.FROM), (9, Boundary.ABOVE)]]))
    layer, model = draw(st.sampled_from([Layer.LIST, Layer.LIST, Layer.SALE])), draw(st.sampled_from(MODELS))
    book, currency = ("retail", "CHF") if layer is Layer.SALE else ("", "USD")
    return [
        PriceRow(0, layer, "", book, "openai", model, **PLAIN, leaf=Leaf(leaf), from_tokens=start, boundary=boundary,
                 amount=draw(amounts), per=1_000_000, currency=currency, valid_from=None, valid_to=None)
        for leaf in LEAVES[:-1] for start, boundary in tier
    ]  # fmt: skip


def _whose(rows: list[PriceRow]) -> tuple[str, str]:
    return rows[0].book, rows[0].model


@st.composite
def sale_rules(draw: Draw) -> list[SaleRule]:
    """Rules of different ranks, by markup or by the book `retail`."""
    ranks = draw(st.lists(st.tuples(st.sampled_from([None, "acme"]), st.integers(0, 5)), unique=True, min_size=1, max_size=4))
    ways = [draw(st.tuples(st.decimals(0, 100, places=6), st.none()) | st.just((None, "retail"))) for _ in ranks]
    return [
        SaleRule(place, mandate, rank, None, draw(st.sampled_from([None, None, *MODELS])), percent, book, None, draw(starts))
        for place, ((mandate, rank), (percent, book)) in enumerate(zip(ranks, ways, strict=True))
    ]


policies = st.builds(Uncharged, st.just(1), st.sampled_from([None, "acme"]), st.just(None), st.just("failed"), st.booleans(), starts, st.just(None))


@st.composite
def books(draw: Draw) -> Book:
    """Everything that a price depends on, by the names of the arguments of `Prices`."""
    rows = [each for model in draw(st.lists(whole_models(), min_size=2, max_size=3, unique_by=_whose)) for each in model]
    rows += draw(st.lists(price_rows(), max_size=5))
    moved = draw(st.sampled_from(MOMENTS))
    days = {date(2026, 11, 15)} ^ draw(st.sets(st.dates(date(2026, 11, 8), date(2026, 11, 20)), max_size=6))
    return {
        "rows": [replace(each, id=place) for place, each in enumerate(rows)],
        "aliases": [Alias(1, "openai", "latest", "a", None, moved), Alias(2, "openai", "latest", "b", moved, None)],
        "fx": [FxRate(day.day, "USD", day, draw(st.decimals("0.2", 2, places=12))) for day in days],
        "rules": draw(sale_rules()),
        "uncharged": draw(st.lists(policies, max_size=1)),
    }


@st.composite
def calls(draw: Draw) -> PricedCall:
    """A call that the books may know."""
    leaves = None if draw(few) else draw(st.dictionaries(st.sampled_from(LEAVES), counts, min_size=1, max_size=5))
    told = {"service_tier": "flex"} if draw(few) else {}
    unmapped = ("holo_tokens",) if draw(few) else ()
    return PricedCall(
        draw(st.sampled_from(MANDATES)),
        draw(moments),
        None if leaves is None else Reading({Leaf(leaf): number for leaf, number in leaves.items()}, unmapped, told),
        "none" if draw(few) else draw(st.sampled_from([None, "reported"])),
        "openai",
        "unknown" if draw(few) else draw(st.sampled_from(["a", "b", "latest"])),
        service_tier="flex" if draw(few) else draw(st.sampled_from([None, "standard"])),
        outcome=draw(st.sampled_from(OUTCOMES)),
    )


def for_oracle(call: PricedCall) -> dict[str, Any]:
    """The call as a plain dict."""
    reading = call.reading
    plain = {name: value for name, value in call._asdict().items() if name not in ("reading", "occurred_at", *DIMENSIONS)}
    leaves = None if reading is None else {leaf.value: number for leaf, number in reading.leaves.items()}
    said = {name: getattr(call, name) for name in DIMENSIONS}
    return {**plain, "at": call.occurred_at, "leaves": leaves, "dimensions": said, "told": reading.dimensions if reading else {},
            "unmapped": reading.unmapped if reading else ()}  # fmt: skip


def books_for_oracle(book: Book) -> dict[str, Any]:
    """The book as plain dicts."""
    return {
        **{name: [each._asdict() if hasattr(each, "_asdict") else asdict(each) for each in items] for name, items in book.items()},
        "defaults": {"openai": PLAIN},
    }


def compiled(book: Book) -> Prices:
    """The book as it is rated by."""
    everything: dict[str, Any] = {**book, "defaults": {"openai": PLAIN}}
    return Prices(**everything)


def outcomes(asked: Sequence[PricedCall], prices: Prices) -> Iterator[oracle.Priced | str]:
    """What the rater says of each, as the oracle puts it."""
    for call in asked:
        result = rate(call, prices)
        yield (result.price, result.provider_cost, result.currency) if isinstance(result, Rated) else result.reason.value


@given(books(), st.lists(calls(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_prices_are_those_of_the_oracle(book: Book, asked: list[PricedCall], random: Any) -> None:
    """Each call has the oracle's price, cost and reason, whatever was rated before it and in which order the book was written."""
    plain = books_for_oracle(book)
    expected = [oracle.rate(for_oracle(call), plain) for call in asked]
    prices = compiled(book)
    assert list(outcomes(asked, prices)) == expected
    order = list(range(len(asked)))
    random.shuffle(order)
    shuffled = compiled({name: random.sample(items, len(items)) for name, items in book.items()})
    assert list(outcomes([asked[place] for place in order], shuffled)) == [expected[place] for place in order]
    assert [str(each) for each in outcomes(asked, prices)] == [str(each) for each in expected]


@given(books(), st.lists(calls(), min_size=1, max_size=12))
def test_rated_again_by_the_same_rows_it_is_the_same(book: Book, asked: list[PricedCall]) -> None:
    """With the exchange rate, rule and policy of its stamp each call has the same price again, though all that is dated is gone."""
    prices = compiled(book)
    later = compiled({**book, "fx": [], "rules": [], "uncharged": []})
    named = {name: {each.id: each for each in book[name]} for name in ("fx", "rules", "uncharged")}
    for call in asked:
        first = rate(call, prices)
        if isinstance(first, Rated) and first.stamp.kind is StampKind.RATED:
            ids = (first.stamp.fx_id, first.stamp.rule_id, first.stamp.uncharged_id)
            fx, rule, uncharged = (None if number is None else items[number] for items, number in zip(named.values(), ids, strict=True))
            kept = Kept(fx, rule, uncharged)
            assert rate_again(call, later, kept) == first


@given(books(), st.lists(calls(), min_size=1, max_size=30))
def test_a_sum_of_prices_is_off_by_half_a_billionth_each_at_most(book: Book, asked: list[PricedCall]) -> None:
    """|Σ price - exact| ≤ n x 5·10⁻¹⁰, and the provider costs add up to the last digit."""
    plain = books_for_oracle(book)
    prices = compiled(book)
    rated = [(call, result) for call in asked if isinstance(result := rate(call, prices), Rated)]
    exact = [oracle.exact_price(for_oracle(call), plain) for call, _ in rated]
    difference = sum((Fraction(result.price) for _, result in rated), Fraction(0)) - sum(
        (each[0] for each in exact if not isinstance(each, str)), Fraction(0)
    )
    assert abs(difference) <= len(rated) * Fraction(5, 10**10)
    assert sum(Fraction(result.provider_cost or 0) for _, result in rated) == sum(each[1] or 0 for each in exact if not isinstance(each, str))
