"""What a call costs and what is paid for it. Amounts are computed by hand: provider cost, by exchange rate, by markup."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from core.prices.book import Prices
from core.prices.model import (
    Alias,
    Boundary,
    FxRate,
    Kept,
    Layer,
    Mode,
    PricedCall,
    Rated,
    SaleRule,
    StampContent,
    StampKind,
    Uncharged,
    Unpriced,
)
from core.prices.rate import rate, rate_again
from tests.prices.books import DEFAULTS, NO_MARKUP, NOON, TEN_PERCENT, USD, book, call, cost, paid, rated, refused, row, tiers

MICROSECOND = timedelta(microseconds=1)
OPENAI = [
    *tiers("input", "4", "8", 272_000, Boundary.ABOVE),
    *tiers("cache_read", "0.4", "0.8", 272_000, Boundary.ABOVE),
    *tiers("output", "20", "30", 272_000, Boundary.ABOVE),
    row("web_search", "0.01", per=1),
]
FLAT = [row("input", "4"), row("output", "20")]
XAI = [*tiers("input", "3", "6", 200_000, Boundary.FROM, provider="xai", model="grok-5")]
CONTRACT = {"layer": Layer.MANDATE, "mandate_id": "acme"}
SALE = {"layer": Layer.SALE, "book": "retail", "currency": "CHF"}
BY_BOOK = SaleRule(810, None, 0, None, None, None, "retail", None, None)


@pytest.mark.parametrize(
    ("leaves", "provider_cost", "price"),
    [
        ({"input": 272_000, "output": 1_000}, "1.108000000000000000", "0.975040000"),
        ({"input": 272_001, "output": 1_000}, "2.206008000000000000", "1.941287040"),
        ({"input": 200_000, "cache_read": 72_000}, "0.828800000000000000", "0.729344000"),
        ({"input": 200_000, "cache_read": 72_001}, "1.657600800000000000", "1.458688704"),
        ({"input": 272_001, "web_search": 2}, "2.196008000000000000", "1.932487040"),
    ],
)
def test_every_class_takes_the_tier_of_the_whole_input(leaves: dict[str, int], provider_cost: str, price: str) -> None:
    """Above 272,000 tokens of input, cached ones among them, all classes cost what that tier says; at 272,000 nothing does."""
    assert (cost(call(leaves), book(OPENAI)), paid(call(leaves), book(OPENAI))) == (provider_cost, price)


@pytest.mark.parametrize(("tokens", "price"), [(199_999, "0.479997600"), (200_000, "0.960000000")])
def test_a_tier_may_begin_at_its_threshold(tokens: int, price: str) -> None:
    """Where the provider's tier begins at 200,000, exactly 200,000 tokens belong to it."""
    asked = call({"input": tokens}, provider="xai", model="grok-5")
    assert paid(asked, book(XAI, rules=[NO_MARKUP])) == price


def test_a_leaf_never_takes_another_tier() -> None:
    """A leaf whose rows lack the call's tier has no price; one whose row is for all tiers has."""
    rows = [
        *tiers("input", "4", "8", 272_000, Boundary.ABOVE),
        row("output", "20", from_tokens=0, boundary=Boundary.FROM),
        row("web_search", "9", per=1_000),
    ]
    assert paid(call({"input": 272_000, "output": 1_000}), book(rows)) == "0.975040000"
    reason, detail = refused(call({"input": 272_001, "output": 1_000}), book(rows))
    assert reason == "unpriced_class"
    assert "output" in detail
    assert "272001" in detail
    assert paid(call({"input": 272_001, "web_search": 1}), book(rows)) == "1.922807040"  # (2.176008 + 0.009) x 0.88


def test_a_price_changes_at_midnight_utc() -> None:
    """A microsecond before the old price holds, at midnight the new one; a day that ends with the change and one that begins with it."""
    change = datetime(2026, 11, 20, tzinfo=UTC)
    rows = [row("input", "4", valid_to=change), row("input", "5", valid_from=change)]
    prices = book(rows, fx=[USD, FxRate(900, "USD", date(2026, 11, 18), Decimal("0.8"))])
    assert paid(call({"input": 1_000}, occurred_at=change - MICROSECOND), prices) == "0.003520000"
    assert paid(call({"input": 1_000}, occurred_at=change), prices) == "0.004400000"


def test_a_price_changes_within_a_day() -> None:
    """Calls of one day stand on the row of their own moment, in whatever order they come and of whatever zone their time is told."""
    change = datetime(2026, 11, 20, 12, tzinfo=UTC)
    prices = book([row("input", "4", valid_to=change), row("input", "5", valid_from=change)])
    moments = [change, change - MICROSECOND, change + MICROSECOND, change - timedelta(hours=12)]
    assert [paid(call({"input": 1_000}, occurred_at=at), prices) for at in moments] == ["0.004400000", "0.003520000", "0.004400000", "0.003520000"]
    elsewhere = datetime.fromisoformat("2026-11-20T12:59:59.999999+01:00")
    assert paid(call({"input": 1_000}, occurred_at=elsewhere), prices) == "0.003520000"


def test_a_late_event_of_a_retired_model() -> None:
    """A model whose rows have ended is priced for what happened before, and for nothing after."""
    retired = datetime(2026, 11, 20, 12, tzinfo=UTC)
    prices = book([row("input", "4", valid_to=retired)])
    assert paid(call({"input": 1_000}, occurred_at=retired - MICROSECOND), prices) == "0.003520000"
    assert refused(call({"input": 1_000}, occurred_at=retired), prices)[0] == "unpriced_model"


def test_an_alias_moves() -> None:
    """A name means the model that it stood for at the moment of the call; it is exact, and goes before a model of that very name."""
    moved = NOON
    rows = [row("input", "4", model="gpt-6-0801"), row("input", "5", model="gpt-6-1120"), row("input", "9", model="gpt-6-latest")]
    aliases = [
        Alias(1, "openai", "gpt-6-latest", "gpt-6-0801", datetime(2026, 8, 1, tzinfo=UTC), moved),
        Alias(2, "openai", "gpt-6-latest", "gpt-6-1120", moved, None),
        Alias(3, "xai", "gpt-6-other", "gpt-6-1120", None, None),
    ]
    prices = book(rows, aliases=aliases)
    assert paid(call({"input": 1_000}, model="gpt-6-latest", occurred_at=moved - MICROSECOND), prices) == "0.003520000"
    assert paid(call({"input": 1_000}, model="gpt-6-latest", occurred_at=moved), prices) == "0.004400000"
    long_ago = call({"input": 1_000}, model="gpt-6-latest", occurred_at=datetime(2026, 7, 1, tzinfo=UTC))
    fx = [FxRate(1, "USD", date(2026, 6, 30), Decimal("0.8"))]
    assert paid(long_ago, book(rows, aliases=aliases, fx=fx)) == "0.007920000"
    assert refused(call({"input": 1_000}, model="GPT-6-latest"), prices)[0] == "unpriced_model"
    assert refused(call({"input": 1_000}, model="gpt-6-other"), prices)[0] == "unpriced_model"


def test_the_tier_is_what_was_answered() -> None:
    """The event's own word is exact, the usage object's counts where the event has none, and only then the provider's default."""
    prices = book([row("input", "4"), row("input", "8", service_tier="priority"), row("input", "2", service_tier="flex")])
    assert paid(call({"input": 1_000}), prices) == "0.003520000"
    assert paid(call({"input": 1_000}, service_tier="priority"), prices) == "0.007040000"
    assert paid(call({"input": 1_000}, told={"service_tier": "flex"}), prices) == "0.001760000"
    assert paid(call({"input": 1_000}, service_tier="flex", told={"service_tier": "flex"}), prices) == "0.001760000"
    reason, detail = refused(call({"input": 1_000}, service_tier="priority", told={"service_tier": "flex"}), prices)
    assert reason == "usage_contradiction"
    assert "priority" in detail
    assert "flex" in detail
    assert refused(call({"input": 1_000}, service_tier="Flex"), prices)[0] == "unknown_tier"


def test_a_dimension_without_default_is_unknown() -> None:
    """Where neither event nor usage object nor provider says a dimension, nothing is guessed."""
    prices = book(FLAT, defaults={"openai": {name: value for name, value in DEFAULTS["openai"].items() if name != "speed"}})
    reason, detail = refused(call({"input": 1}), prices)
    assert reason == "unknown_tier"
    assert "speed" in detail
    assert paid(call({"input": 1_000}, speed="standard"), prices) == "0.003520000"


@pytest.mark.parametrize(
    ("tokens", "amount", "price"),
    [
        (1, "0.0125", "0.000000012"),
        (1, "0.0135", "0.000000014"),
        (3, "0.0125", "0.000000038"),
        (1, "0.0004", "0.000000000"),
        (1, "0.0006", "0.000000001"),
    ],
)
def test_one_token_is_rounded_half_even(tokens: int, amount: str, price: str) -> None:
    """12.5 billionths of a franc are 12, 13.5 are 14; the provider cost keeps all places."""
    asked, prices = call({"input": tokens}), book([row("input", amount, currency="CHF")], fx=[], rules=[NO_MARKUP])
    assert paid(asked, prices) == price
    assert rated(asked, prices).provider_cost == tokens * Decimal(amount) / 1_000_000


def test_rates_of_exchange_are_of_the_days_before() -> None:
    """On 1 January that of 31 December counts, on Monday morning Friday's: never one of the day itself."""
    rates = [(date(2026, 11, 20), "0.8"), (date(2026, 11, 23), "0.9"), (date(2026, 12, 31), "0.7"), (date(2027, 1, 1), "0.6")]
    prices = book(FLAT, fx=[FxRate(place, "USD", on, Decimal(rate_)) for place, (on, rate_) in enumerate(rates)])
    on_monday = call({"input": 1_000}, occurred_at=datetime(2026, 11, 23, 8, tzinfo=UTC))
    on_new_year = call({"input": 1_000}, occurred_at=datetime(2027, 1, 1, tzinfo=UTC))
    before_it = call({"input": 1_000}, occurred_at=datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    assert (paid(on_monday, prices), rated(on_monday, prices).stamp.fx_id) == ("0.003520000", 0)
    assert (paid(on_new_year, prices), rated(on_new_year, prices).stamp.fx_id) == ("0.003080000", 2)
    assert refused(before_it, prices)[0] == "no_fx"


@pytest.mark.parametrize(("age", "price"), [(7, "0.003520000"), (8, None)])
def test_a_rate_of_exchange_grows_too_old(age: int, price: str | None) -> None:
    """A rate of seven days ago counts, one of eight doesn't."""
    prices = book(FLAT, fx=[FxRate(1, "USD", NOON.date() - timedelta(days=age), Decimal("0.8")), FxRate(2, "EUR", date(2026, 11, 19), Decimal(1))])
    if price is None:
        reason, detail = refused(call({"input": 1_000}), prices)
        assert reason == "no_fx"
        assert "USD" in detail
        assert "2026-11-20" in detail
    else:
        assert paid(call({"input": 1_000}), prices) == price


def test_francs_need_no_rate_of_exchange() -> None:
    """A row in CHF is rated without one, and the stamp names none."""
    result = rated(call({"input": 1_000}), book([row("input", "4", currency="CHF")], fx=[]))
    assert (result.price, result.currency, result.stamp.fx_id) == (Decimal("0.0044"), "CHF", None)


def test_no_markup_is_a_rule_and_no_rule_is_none() -> None:
    """0 % bills the cost; without a rule nobody knows what is paid."""
    assert paid(call({"input": 1_000}), book(FLAT, rules=[NO_MARKUP])) == "0.003200000"
    reason, detail = refused(call({"input": 1_000}), book(FLAT, rules=[]))
    assert reason == "no_rule"
    assert "gpt-6" in detail


def test_the_most_specific_rule_decides() -> None:
    """A mandate's own goes before all others, then the higher priority; a filter is exact, and a validity ends before its end."""

    def rule(number: int, mandate: str | None, priority: int, percent: int, model: str | None = None, to: datetime | None = None) -> SaleRule:
        return SaleRule(number, mandate, priority, "openai" if model else None, model, Decimal(percent), None, None, to)

    rules = [
        rule(1, None, 9, 50),
        rule(2, "acme", 0, 20),
        rule(3, "acme", 5, 30, "gpt-5"),
        rule(4, None, 10, 70, "gpt-6"),
        rule(5, "acme", 8, 90, None, NOON),
    ]
    rows = [*FLAT, row("input", "4", model="gpt-5")]
    prices = book(rows, rules=rules)
    assert rated(call({"input": 1_000}), prices).stamp.rule_id == 2
    assert paid(call({"input": 1_000}), prices) == "0.003840000"
    assert rated(call({"input": 1_000}, model="gpt-5"), prices).stamp.rule_id == 3
    assert rated(call({"input": 1_000}, mandate_id="other"), prices).stamp.rule_id == 4
    assert paid(call({"input": 1_000}, mandate_id="other"), prices) == "0.005440000"
    assert rated(call({"input": 1_000}, model="gpt-5", mandate_id="other"), prices).stamp.rule_id == 1
    assert rated(call({"input": 1_000}, occurred_at=NOON - MICROSECOND), prices).stamp.rule_id == 5


def test_a_sale_book_bills_what_nobody_knows_the_cost_of() -> None:
    """Its rows in CHF are what is paid; the provider cost stands beside it where it is known, and is None where it isn't."""
    sale = [row("input", "7", id=1, **SALE), row("output", "11", id=2, **SALE)]
    asked = call({"input": 1_000, "output": 1})
    unknown = rated(asked, book(sale, rules=[BY_BOOK], fx=[]))
    assert (unknown.price, unknown.provider_cost, unknown.currency) == (Decimal("0.007011"), None, None)
    assert (unknown.stamp.rows, unknown.stamp.rule_id, unknown.stamp.fx_id) == ((1, 2), 810, None)
    known = rated(asked, book([*sale, row("output", "20", id=4), row("input", "4", id=3)], rules=[BY_BOOK], fx=[]))
    assert (known.price, known.provider_cost, known.currency) == (Decimal("0.007011"), Decimal("0.00402"), "USD")
    assert known.stamp.rows == (1, 2, 3, 4)
    half = rated(asked, book([*sale, row("input", "4")], rules=[BY_BOOK]))
    assert (half.provider_cost, half.stamp.rows) == (None, (1, 2))
    assert refused(call({"input": 1, "web_search": 1}), book([*sale, *OPENAI], rules=[BY_BOOK]))[0] == "unpriced_class"
    assert refused(asked, book(FLAT, rules=[BY_BOOK]))[0] == "unpriced_model"
    assert refused(call({"input": 1}, service_tier="flex"), book([*sale, *FLAT], rules=[BY_BOOK]))[0] == "unknown_tier"


def test_a_sale_book_has_tiers_of_its_own() -> None:
    """The whole input decides its tier, by its own thresholds."""
    rows = [*tiers("input", "5", "10", 100_000, Boundary.FROM, **SALE), *tiers("input", "4", "8", 272_000, Boundary.ABOVE)]
    result = rated(call({"input": 100_000}), book(rows, rules=[BY_BOOK]))
    assert (result.price, result.provider_cost) == (Decimal(1), Decimal("0.4"))


def test_free_is_a_row_and_a_missing_row_is_no_price() -> None:
    """A row of 0 makes a leaf free; a leaf without a row has no price, unless there is none of it."""
    free = book([row("input", "4"), row("output", "0")])
    assert paid(call({"input": 1_000, "output": 500}), free) == "0.003520000"
    assert len(rated(call({"input": 1_000, "output": 500}), free).stamp.rows) == 2
    missing = book([row("input", "4")])
    assert refused(call({"input": 1_000, "output": 500}), missing)[0] == "unpriced_class"
    assert paid(call({"input": 1_000, "output": 0}), missing) == "0.003520000"


def test_the_first_layer_with_rows_for_a_leaf_decides() -> None:
    """A mandate's contract goes before the operator's, that before the list, leaf by leaf; another mandate sees nothing of it."""
    rows = [
        row("input", "4", id=1),
        row("output", "20", id=2),
        row("cache_read", "0.4", id=3),
        row("input", "3", id=4, layer=Layer.OPERATOR),
        row("output", "15", id=5, layer=Layer.OPERATOR),
        row("output", "10", id=6, **CONTRACT),
    ]
    prices, leaves = book(rows, rules=[NO_MARKUP]), {"input": 1_000, "output": 1_000, "cache_read": 1_000}
    assert (cost(call(leaves), prices), rated(call(leaves), prices).stamp.rows) == ("0.013400000000000000", (3, 4, 6))
    other = call(leaves, mandate_id="other")
    assert (cost(other, prices), rated(other, prices).stamp.rows) == ("0.018400000000000000", (3, 4, 5))


def test_the_tiers_of_a_leaf_come_from_one_layer() -> None:
    """A contract for all tiers has no second one behind it, one for a tier isn't filled up from the list, and its own thresholds count."""
    flat = [*tiers("input", "4", "8", 272_000, Boundary.ABOVE), row("input", "3", **CONTRACT)]
    assert cost(call({"input": 300_000}), book(flat)) == "0.900000000000000000"
    low = [*tiers("input", "4", "8", 272_000, Boundary.ABOVE), row("input", "3", **CONTRACT, from_tokens=0, boundary=Boundary.FROM)]
    assert cost(call({"input": 300_000}), book(low)) == "0.900000000000000000"
    mixed = [*tiers("output", "20", "30", 272_000, Boundary.ABOVE), row("input", "3", **CONTRACT, from_tokens=0, boundary=Boundary.FROM)]
    assert refused(call({"input": 300_000, "output": 1}), book(mixed))[0] == "unpriced_class"
    own = [*tiers("input", "4", "8", 272_000, Boundary.ABOVE), *tiers("input", "3", "6", 200_000, Boundary.ABOVE, **CONTRACT)]
    assert cost(call({"input": 280_000}), book(own)) == "1.680000000000000000"


def test_rows_of_two_currencies_are_no_cost() -> None:
    """A call whose rows are in two currencies has no price; one that uses only those of one has."""
    prices = book([row("input", "4"), row("output", "20", currency="EUR")])
    reason, detail = refused(call({"input": 1, "output": 1}), prices)
    assert reason == "unpriced_class"
    assert "EUR and USD" in detail
    assert paid(call({"input": 1_000}), prices) == "0.003520000"


def test_two_rows_for_one_leaf_are_no_price() -> None:
    """Where two rows say what a leaf costs (`>` 9 and `>=` 10 are one tier), neither is chosen."""
    rows = [row("input", "4", id=1, from_tokens=9, boundary=Boundary.ABOVE), row("input", "5", id=2, from_tokens=10, boundary=Boundary.FROM)]
    reason, detail = refused(call({"input": 10}), book(rows))
    assert reason == "unpriced_class"
    assert "rows 1 and 2" in detail


def test_a_request_is_charged_where_the_book_charges_it() -> None:
    """One a call, where the card has a row for it; a producer that counts requests is believed."""
    prices = book([*FLAT, row("request", "0.005", id=5, per=1)])
    assert cost(call({"input": 1_000}), prices) == "0.009000000000000000"
    assert 5 in rated(call({"input": 1_000}), prices).stamp.rows
    assert cost(call({"input": 1_000, "request": 3}), prices) == "0.019000000000000000"
    assert cost(call({"input": 1_000, "request": 0}), prices) == "0.004000000000000000"
    assert refused(call({"input": 1_000, "request": 1}), book(FLAT))[0] == "unpriced_class"
    tiered = book([*FLAT, row("request", "0.005", per=1, from_tokens=10, boundary=Boundary.FROM)])
    assert refused(call({"input": 9}), tiered)[0] == "unpriced_class"
    assert cost(call({"input": 10}), tiered) == "0.005040000000000000"


def test_what_failed_may_be_uncharged() -> None:
    """It is paid with 0 and keeps its cost; it needs neither rule nor rate of exchange; the mandate's own policy is named first."""
    policies = [Uncharged(3, None, None, "failed", False, None, None), Uncharged(4, "acme", "openai", "failed", False, None, NOON)]
    prices = book(FLAT, uncharged=policies, fx=[], rules=[])
    failed = rated(call({"input": 1_000}, outcome="failed"), prices)
    assert (failed.price, failed.provider_cost, failed.currency) == (Decimal(0), Decimal("0.004"), "USD")
    assert (failed.stamp.kind, failed.stamp.uncharged_id, failed.stamp.rule_id, failed.stamp.fx_id) == (StampKind.RATED, 3, None, None)
    before = rated(call({"input": 1_000}, outcome="failed", occurred_at=NOON - MICROSECOND), prices)
    assert before.stamp.uncharged_id == 4
    assert refused(call({"input": 1_000}, outcome="cancelled"), prices)[0] == "no_rule"
    assert refused(call({"input": 1_000}, outcome="failed", model="other"), prices)[0] == "unpriced_model"
    assert refused(call(None, outcome="failed"), prices)[0] == "no_usage"


def test_what_is_uncharged_under_a_sale_book_costs_nothing() -> None:
    """With the cost where rows know it, else by the rows of the book."""
    policy = Uncharged(3, None, None, "failed", False, None, None)
    sale = row("input", "7", id=1, **SALE)
    failed = call({"input": 1_000}, outcome="failed")
    unknown = rated(failed, book([sale], rules=[BY_BOOK], uncharged=[policy]))
    assert (unknown.price, unknown.provider_cost, unknown.stamp.rows, unknown.stamp.uncharged_id) == (Decimal(0), None, (1,), 3)
    known = rated(failed, book([sale, row("input", "4", id=2)], rules=[BY_BOOK], uncharged=[policy]))
    assert (known.price, known.provider_cost, known.stamp.rows) == (Decimal(0), Decimal("0.004"), (2,))


@pytest.mark.parametrize(
    "without", [call(None, outcome="failed"), call({}, outcome="failed"), call({"input": 5}, outcome="failed", usage_basis="none")]
)
def test_what_failed_without_usage_may_be_free(without: PricedCall) -> None:
    """A policy says so; without one, for another outcome or another provider, the cost is not known."""
    policy = Uncharged(5, None, "openai", "failed", True, None, None)
    free = rate(without, book(FLAT, uncharged=[policy]))
    assert free == Rated(Decimal(0), None, None, StampContent(StampKind.POLICY, 7, uncharged_id=5, rater_version=1))
    assert refused(without, book(FLAT))[0] == "no_usage"
    assert refused(without._replace(outcome="timed_out"), book(FLAT, uncharged=[policy]))[0] == "no_usage"
    assert refused(without._replace(outcome=None), book(FLAT, uncharged=[policy]))[0] == "no_usage"
    assert refused(without._replace(provider="xai"), book(FLAT, uncharged=[policy]))[0] == "no_usage"
    assert paid(call({"input": 1_000}, outcome="failed"), book(FLAT, uncharged=[policy])) == "0.003520000"


@pytest.mark.parametrize("leaves", [None, {}])
def test_what_told_nothing_is_not_free(leaves: dict[str, int] | None) -> None:
    """No usage object, and one without a single count, are no usage; counts of 0 are one."""
    assert refused(call(leaves), book(FLAT))[0] == "no_usage"
    nothing = rated(call({"input": 0}), book(FLAT))
    assert (nothing.price, nothing.provider_cost, nothing.currency, nothing.stamp.rows) == (Decimal(0), Decimal(0), "USD", ())


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (call({"input": 1}, model="gpt-7"), "unpriced_model"),
        (call({"input": 1}, model=None), "unpriced_model"),
        (call({"input": 1}, provider=None), "unpriced_model"),
        (call({"input": 1}, provider="azure"), "unpriced_model"),
        (call({"input": 1}, region_scope="eu"), "unknown_tier"),
        (call({"input": 1}, processing="batch"), "unknown_tier"),
        (call({"input": 1}, speed="fast"), "unknown_tier"),
        (call({"input_audio": 1}), "unpriced_class"),
        (call({"input": 1}, unmapped=("input_tokens_details.holo_tokens",)), "unpriced_class"),
    ],
)
def test_nothing_is_guessed(asked: PricedCall, reason: str) -> None:
    """No other model, provider, dimension or class lends its price; the detail names what was looked for."""
    found, detail = refused(asked, book(FLAT))
    assert found == reason
    assert any(word in detail for word in ("gpt-7", "None", "azure", "eu", "batch", "fast", "input_audio", "holo_tokens"))


def test_a_price_above_what_an_event_may_cost_is_none() -> None:
    """1,000,000 CHF is the most, for a price; the cost of what isn't charged ends where its column does."""
    prices = book([row("input", "1", per=1, currency="CHF")], rules=[NO_MARKUP], uncharged=[Uncharged(3, None, None, "failed", False, None, None)])
    assert paid(call({"input": 1_000_000}), prices) == "1000000.000000000"
    reason, detail = refused(call({"input": 1_000_001}), prices)
    assert (reason, "1000001.000000000" in detail) == ("unpriced_class", True)
    assert cost(call({"input": 10**20 - 1}, outcome="failed"), prices) == "99999999999999999999.000000000000000000"
    assert refused(call({"input": 10**20}, outcome="failed"), prices)[0] == "unpriced_class"


def test_a_call_is_rated_again_by_other_rows_alone() -> None:
    """Exchange rate, rule and policy stay those of the first rating, whatever is said since; by the same rows the result is the same."""
    older = FxRate(1, "USD", date(2026, 10, 1), Decimal("0.9"))
    closed = SaleRule(2, None, 0, None, None, Decimal(50), None, None, NOON)
    again = rate_again(call({"input": 1_000}), book(FLAT), Kept(older, closed, None))
    assert isinstance(again, Rated)
    assert (again.price, again.stamp.fx_id, again.stamp.rule_id) == (Decimal("0.0054"), 1, 2)  # 0.004 x 0.9 x 1.5
    same = rate_again(call({"input": 1_000}), book(FLAT), Kept(USD, TEN_PERCENT, None))
    assert same == rate(call({"input": 1_000}), book(FLAT))
    free = rate_again(call({"input": 1_000}), book(FLAT), Kept(None, None, Uncharged(3, None, None, "failed", False, None, None)))
    assert isinstance(free, Rated)
    assert (free.price, free.stamp.uncharged_id) == (Decimal(0), 3)
    euros = book([row("input", "4", currency="EUR")])
    assert isinstance(refusal := rate_again(call({"input": 1_000}), euros, Kept(older, closed, None)), Unpriced)
    assert refusal.reason.value == "no_fx"
    assert isinstance(rate_again(call(None), book(FLAT), Kept(None, None, None)), Unpriced)


def test_the_stamp_names_all_that_the_price_stands_on() -> None:
    """Version, rows in ascending order, rate of exchange, rule, dialect with its version, and the rater's; equal ones are equal."""
    prices = book([row("output", "20", id=8), row("input", "4", id=9)])
    first, second = rated(call({"input": 5, "output": 1}), prices), rated(call({"output": 3, "input": 2}), prices)
    assert first.stamp == StampContent(StampKind.RATED, 7, (8, 9), 901, 801, None, "openai.responses", 3, 1)
    assert first.stamp is second.stamp


def test_a_mode_holds_from_its_moment() -> None:
    """The producer's price is paid until somebody says otherwise; each mode holds from its own moment on."""
    prices = book([], modes=[("acme", Mode.COMPUTED, NOON), ("acme", Mode.SHADOW, NOON - timedelta(days=1))])
    moments = [NOON - timedelta(days=2), NOON - timedelta(days=1), NOON - MICROSECOND, NOON]
    assert [prices.mode("acme", at) for at in moments] == [Mode.GIVEN, Mode.SHADOW, Mode.SHADOW, Mode.COMPUTED]
    assert prices.mode("other", NOON) is Mode.GIVEN


def test_books_without_a_price_book_have_no_prices() -> None:
    """Everything is given there, and nothing can be computed."""
    assert (Prices.EMPTY.mode("acme", NOON), Prices.EMPTY.revision) == (Mode.GIVEN, 0)
    assert refused(call({"input": 1}), Prices.EMPTY)[0] == "unpriced_model"
    assert refused(call(None), Prices.EMPTY)[0] == "no_usage"


def test_threads_share_a_price_book() -> None:
    """What several threads ask of one book that has compiled nothing yet is what one alone is told."""
    asked = [
        call(
            dict.fromkeys(("input", "output", "cache_read"), number % 7),
            occurred_at=NOON + timedelta(hours=number % 40 - 10),
            mandate_id=str(number % 3),
        )
        for number in range(3_000)
    ]
    alone = [rate(each, book(OPENAI)) for each in asked[:50]]
    shared = book(OPENAI)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: [rate(each, shared) for each in asked], range(8)))
    assert results[0][:50] == alone
    assert all(each == results[0] for each in results)


def test_what_is_compiled_stays_bounded() -> None:
    """Names without number, and combinations of leaves without number, take no more room than the limits; prices stay right."""
    prices = book([row("input", "4"), *(row(leaf, "1") for leaf in ("output", "cache_read", "input_audio", "input_image", "web_search"))])
    for number in range(40_000):
        rate(call({"input": 1}, model=f"unknown-{number}"), prices)
    for mask in range(64):
        leaves = {leaf: mask >> bit & 1 for bit, leaf in enumerate(("input", "output", "cache_read", "input_audio", "input_image", "web_search"))}
        rate(call(leaves), prices)
    assert len(prices._days) <= 32_768
    assert len(prices._cards) <= 8_192
    assert len(prices._moments) == 1
    assert paid(call({"input": 1_000}), prices) == "0.003520000"


def test_a_large_price_is_exact_to_the_last_digit() -> None:
    """A millionth of a millionth above the middle rounds up, at nearly a million francs: more digits than a float has."""
    rows = [row("input", "999999.123456788500", per=1, currency="CHF"), row("output", "0.000001", currency="CHF")]
    assert paid(call({"input": 1, "output": 1}), book(rows, rules=[NO_MARKUP])) == "999999.123456789"
    assert paid(call({"input": 1}), book(rows, rules=[NO_MARKUP])) == "999999.123456788"
