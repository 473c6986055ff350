"""Events are priced while they are recorded: by the mode of their mandate, at their own time, or they wait."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.events.outcome import BatchResult, Outcome
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule
from core.prices.uncharged import add_uncharged
from tests.conftest import Record, Rows
from tests.prices.scene import accepted, row
from tests.sample_events import NOW, event
from tests.scene import PutMandate, PutSettings

RECORDED, DUPLICATE, CONFLICT, REJECTED, PARKED = (Outcome(name) for name in ("recorded", "duplicate", "conflict", "rejected", "parked"))
Release = Callable[..., BatchResult]
USAGE = {
    "input_tokens": 328,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 52,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 380,
}
COST = Decimal("0.002420000000000000")  # USD: 328 · 5/10⁶ + 52 · 15/10⁶
PRICE = Decimal("0.002129600")  # CHF: · 0.8 · 1.1
DEBITS = "SELECT * FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY id"
BOOK = [row("gpt-5.6"), row("gpt-5.6", "output", "15")]

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def acme(put_settings: PutSettings) -> None:
    """The mandate acme, whose users pay."""
    put_settings("acme")


@pytest.fixture
def priced(database: Database, acme: None) -> Callable[..., None]:
    """Accepts the book, says what a dollar is worth and what is put on it, and lets acme be billed by a mode for a day already."""

    def call(mode: Mode = Mode.COMPUTED, book: list[Any] = BOOK) -> None:
        accepted(database, book)
        rates = [GivenRate("USD", (NOW - timedelta(days=days)).date(), Decimal("0.8")) for days in (1, 2, 3)]
        import_fx(database, ROOT, rates, source="test", created_by="olga")
        add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga")
        set_mode(database, ROOT, "acme", mode, created_by="olga", since=NOW - timedelta(days=1))

    return call


def sent(**fields: object) -> dict[str, object]:
    """An event of contract version 2 without a price: what OpenAI answered."""
    whole = {"price_chf": ..., "provider": "openai", "model": "gpt-5.6", "usage_dialect": "openai.responses", "usage": USAGE}
    return event(**{**whole, **fields})


@pytest.fixture(autouse=True)
def books_are_right(breaches: Callable[[], object]) -> Iterator[None]:
    """Whatever a test does, the books keep every invariant."""
    yield
    assert not breaches()


def test_a_usage_object_is_billed_at_the_price_of_its_moment(priced: Callable[..., None], record: Record, rows: Rows, balances: Any) -> None:
    """Under `computed` the debit is the computed price; provider cost, leaves and stamp stand beside it."""
    priced()
    assert record(sent()).outcomes == [RECORDED]
    (debit,) = rows(DEBITS)
    assert (debit["amount"], debit["price_given"], debit["price_computed"]) == (PRICE, None, None)
    assert (debit["provider_cost"], debit["provider_currency"], debit["leaves"]) == (COST, "USD", "input=328,output=52")
    assert balances()["acme", "ada"] == -PRICE
    (stamp,) = rows("SELECT s.* FROM stamps s JOIN transactions t ON t.stamp_id = s.id WHERE t.reference_type = 'WORKFLOW'")
    assert (stamp["kind"], stamp["dialect"], len(stamp["rows"]), stamp["rater_version"]) == ("rated", "openai.responses", 2, 1)


def test_a_given_price_stays_beside_the_computed_one(priced: Callable[..., None], record: Record, rows: Rows) -> None:
    """Under `computed` the producer's price is kept and not billed."""
    priced()
    record(sent(price_chf="7"))
    (debit,) = rows(DEBITS)
    assert (debit["amount"], debit["price_given"]) == (PRICE, Decimal(7))


def test_a_shadow_price_bills_nothing(priced: Callable[..., None], record: Record, rows: Rows, balances: Any) -> None:
    """Under `shadow` the given price is billed, and what would have been computed stands beside it, or why it could not be."""
    priced(Mode.SHADOW)
    assert record(sent(price_chf="0.25"), sent(price_chf="0.5", model="gpt-9"), event(price_chf="1")).outcomes == [RECORDED] * 3
    one, unpriced, version_1 = rows(DEBITS)
    assert (one["amount"], one["price_given"], one["price_computed"], one["unpriced"]) == (Decimal("0.25"), Decimal("0.25"), PRICE, None)
    assert (unpriced["amount"], unpriced["price_computed"], unpriced["unpriced"]) == (Decimal("0.5"), None, "unpriced_model")
    assert (version_1["amount"], version_1["price_given"], version_1["unpriced"]) == (Decimal(1), Decimal(1), "no_usage")
    assert balances()["acme", "ada"] == Decimal("-1.75")


@pytest.mark.parametrize("mode", [Mode.GIVEN, Mode.SHADOW])
def test_without_a_price_nothing_is_billed_that_is_given(mode: Mode, priced: Callable[..., None], record: Record, rows: Rows) -> None:
    """Under `given` and `shadow` an event without a price is refused, and its letter says why; a copy of a recorded one is a duplicate."""
    priced(mode)
    lacking = sent()
    assert record(lacking).outcomes == [REJECTED]
    (letter,) = rows("SELECT reason, detail FROM dead_letters")
    assert letter["reason"] == "missing_field"
    assert f"price_chf is missing: mandate 'acme' is billed the prices that are given (mode {mode})" in letter["detail"]
    assert record({**lacking, "price_chf": "0.1"}).outcomes == [RECORDED]
    assert record({**lacking, "price_chf": "0.1"}, lacking).outcomes == [DUPLICATE, CONFLICT]


def test_an_event_of_version_1_is_recorded_as_ever(record: Record, rows: Rows, database: Database) -> None:
    """Where nobody spoke of prices its debit has no stamp, and its key the first version of the hash."""
    record(event(), sent(price_chf="0.1"))
    one, two = rows("SELECT t.stamp_id, t.price_given, k.hash_version FROM transactions t JOIN event_keys k ON k.transaction_id = t.id ORDER BY t.id")
    assert one == {"stamp_id": None, "price_given": None, "hash_version": 1}
    assert two == {"stamp_id": 1, "price_given": Decimal("0.1"), "hash_version": 2}


def test_a_model_without_a_price_waits_for_it(priced: Callable[..., None], record: Record, release: Release, rows: Rows, database: Database) -> None:
    """It is parked with its reason, copies are duplicates, and it is recorded by itself once a version has its price."""
    priced()
    new = sent(model="gpt-6")
    assert record(new).outcomes == [PARKED]
    (parked,) = rows("SELECT reason, priced_under, received_at FROM parked_events")
    assert parked["reason"] == "unpriced_model"
    assert record(new).outcomes == [DUPLICATE]
    assert record({**new, "user_id": "bob"}).outcomes == [CONFLICT]
    assert release().outcomes == []  # nothing has changed
    accepted(database, [row("gpt-6")])
    assert release().outcomes == []  # it lacks the class output
    (still,) = rows("SELECT reason, priced_under > :before AS later, received_at FROM parked_events", before=parked["priced_under"])
    assert (still["reason"], still["later"], still["received_at"]) == ("unpriced_class", True, parked["received_at"])
    accepted(database, [row("gpt-6", "output", "15")])
    assert release().outcomes == [RECORDED]
    assert [debit["amount"] for debit in rows(DEBITS)] == [PRICE]
    assert record(new).outcomes == [DUPLICATE]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": "gpt-7"}, "unpriced_model"),
        ({"service_tier": "priority"}, "unknown_tier"),
        ({"usage": {**USAGE, "input_tokens_details": {"cached_tokens": 5}}}, "unpriced_class"),
        ({"usage": {**USAGE, "holo_tokens": 3}}, "unpriced_class"),
        ({"usage": {**USAGE, "total_tokens": 381}}, "usage_contradiction"),
        ({"usage_dialect": ..., "usage": ...}, "no_usage"),
        ({"usage_basis": "none"}, "no_usage"),
        ({"occurred_at": (NOW - timedelta(hours=20)).isoformat(), "provider": "openai2"}, "unpriced_model"),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_what_cannot_be_priced_is_parked_with_its_reason(
    fields: dict[str, object], reason: str, priced: Callable[..., None], record: Record, rows: Rows
) -> None:
    """Nothing is guessed and nothing is free: each waits under its own reason."""
    priced()
    given = {**sent(), **fields}
    assert record({name: value for name, value in given.items() if value is not ...}).outcomes == [PARKED]
    assert [one["reason"] for one in rows("SELECT reason FROM parked_events")] == [reason]


def test_uncharged_calls_cost_nothing_but_the_provider_takes_its_due(
    priced: Callable[..., None], record: Record, rows: Rows, database: Database
) -> None:
    """By the mandate's policy a failed call is a debit of 0 with its provider cost, and without usage nothing at all."""
    priced()
    add_uncharged(database, ROOT, outcome="failed", created_by="olga")
    add_uncharged(database, ROOT, outcome="failed", without_usage=True, created_by="olga")
    assert record(sent(outcome="failed"), sent(outcome="failed", usage=...), sent(outcome="timed_out", usage=...)).outcomes == [
        RECORDED,
        RECORDED,
        PARKED,
    ]
    one, two = rows(DEBITS)
    assert (one["amount"], one["provider_cost"], two["amount"], two["provider_cost"]) == (0, COST, 0, None)


def test_the_mode_is_that_of_the_time_of_the_call(priced: Callable[..., None], record: Record, rows: Rows, database: Database) -> None:
    """A switch loses and rejects nothing that is on its way: each event is billed as its own moment says."""
    priced()
    set_mode(database, ROOT, "acme", Mode.GIVEN, created_by="olga", since=NOW - timedelta(minutes=30))
    before = [sent() for _ in range(50)]
    after = [event(occurred_at=(NOW - timedelta(minutes=10)).isoformat()) for _ in range(50)]
    assert record(*before, *after).outcomes == [RECORDED] * 100
    assert {debit["amount"] for debit in rows(DEBITS)} == {PRICE, Decimal("0.25")}


def test_suspense_has_a_limit_of_its_own(
    priced: Callable[..., None], record: Record, rows: Rows, make_config: Callable[..., Configuration], put_mandate: PutMandate
) -> None:
    """Beyond it events become dead letters that can be replayed; who waits for a mandate is counted apart."""
    priced()
    small = make_config(suspense_limit_per_mandate=2, parked_limit_per_mandate=1)
    assert record(*[sent(model="gpt-6") for _ in range(3)], config=small).outcomes == [PARKED, PARKED, REJECTED]
    assert [one["reason"] for one in rows("SELECT reason FROM dead_letters")] == ["parked_limit"]
    assert rows("SELECT sum(events) AS events, sum(suspended) AS suspended FROM parked_counts WHERE mandate_id = 'acme'") == [
        {"events": 2, "suspended": 2}
    ]


def test_copies_are_compared_by_the_version_that_was_accepted_first(record: Record) -> None:
    """What version 1 doesn't have makes no difference to a copy of it; what version 2 has does, but for who sent it and how it was written."""
    one = event()
    assert record(one).outcomes == [RECORDED]
    assert record({**one, "outcome": "failed", "producer_id": "p", "producer_seq": 3}).outcomes == [DUPLICATE]
    two = sent(price_chf="0.1", producer_id="p1", producer_seq=1)
    assert record(two).outcomes == [RECORDED]
    again = {**two, "producer_seq": 9, "usage": {**dict(reversed(USAGE.items())), "input_tokens": 328.0}, "description": "x", "schema_version": 2}
    assert record(again).outcomes == [DUPLICATE]
    assert record({**two, "service_tier": "flex"}, {**two, "usage": {**USAGE, "output_tokens": 53}}).outcomes == [CONFLICT, CONFLICT]


_OPENAI = {"provider": "openai", "model": "m", "service_tier": "default"}
# What each API answers, the leaves in it, and what they cost by hand at USD per million: input 5, cache_read 0.5, cache_write_5m 6,
# cache_write_1h 10, cache_write 7, output 15, output_reasoning 20, input_tool 4; · 0.8 · 1.1.
_ANSWERS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "openai.chat",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        "input=86,cache_read=1920,output=200,output_reasoning=100",
        "0.005623200",  # 430 + 960 + 3,000 + 2,000 = 6,390 millionths of a dollar
    ),
    ("openai.responses", USAGE, "input=328,output=52", "0.002129600"),
    (
        "anthropic.messages",
        {
            "input_tokens": 2,
            "cache_creation_input_tokens": 7262,
            "cache_read_input_tokens": 13923,
            "output_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 7000, "ephemeral_1h_input_tokens": 262},
        },
        "input=2,cache_read=13923,cache_write_5m=7000,cache_write_1h=262,output=300",
        "0.049360520",  # 10 + 6,961.5 + 42,000 + 2,620 + 4,500 = 56,091.5 millionths: 0.04936052
    ),
    (
        "google.generate_content",
        {"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 5, "toolUsePromptTokenCount": 3, "totalTokenCount": 38},
        "input=10,input_tool=3,output=20,output_reasoning=5",
        "0.000406560",  # 50 + 12 + 300 + 100 = 462
    ),
    (
        "bedrock.converse",
        {"inputTokens": 18, "outputTokens": 386, "totalTokens": 7906, "cacheReadInputTokens": 7502, "cacheWriteInputTokens": 0},
        "input=18,cache_read=7502,output=386",
        "0.008475280",  # 90 + 3,751 + 5,790 = 9,631
    ),
    (
        "openrouter.chat",
        {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cost": 0.00065},
        "input=100,output=10",
        "0.000572000",  # 500 + 150 = 650
    ),
    ("canonical", {"input": 1}, "input=1", "0.000004400"),
]


@pytest.mark.parametrize(("dialect", "usage", "leaves", "price"), _ANSWERS, ids=[one[0] for one in _ANSWERS])
def test_what_each_api_answers_is_recorded_at_its_price(
    dialect: str, usage: dict[str, Any], leaves: str, price: str, priced: Callable[..., None], record: Record, rows: Rows
) -> None:
    """The provider's object as it came, of each of the first dialects, becomes a debit that was computed by hand."""
    usd = {"input": "5", "cache_read": "0.5", "cache_write_5m": "6", "cache_write_1h": "10", "output": "15", "output_reasoning": "20"}
    usd |= {"input_tool": "4", "cache_write": "7"}
    priced(book=[row("m", leaf, amount) for leaf, amount in usd.items()])
    assert record(sent(**{**_OPENAI, "usage_dialect": dialect, "usage": usage})).outcomes == [RECORDED]
    (debit,) = rows(DEBITS)
    assert (debit["leaves"], debit["amount"]) == (leaves, Decimal(price))
