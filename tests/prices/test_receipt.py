"""The receipt of a debit suffices to compute its amount again."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.dialects.model import Leaf
from core.prices.book import Prices
from core.prices.model import Boundary, FxRate, Layer, PricedCall, Rated, SaleRule, StampContent, StampKind, Uncharged
from core.prices.rate import rate
from core.prices.receipt import Amounts, receipt
from tests.prices.books import PLAIN, call, row, tiers

SCRIPT = Path(__file__).resolve().parents[2] / "docs/examples/recompute_receipt.py"
CHANGE = datetime(2026, 11, 12, tzinfo=UTC)
SALE: dict[str, Any] = {"layer": Layer.SALE, "book": "retail", "currency": "CHF", "model": "gpt-6-mini"}
ROWS = {
    each.id: each
    for each in [
        *tiers("input", "4", "8", 272_000, Boundary.ABOVE, valid_to=CHANGE),
        *tiers("input", "3.9", "7.8", 272_000, Boundary.ABOVE, valid_from=CHANGE, source="https://example.com/prices"),
        *tiers("output", "20", "30", 272_000, Boundary.ABOVE),
        row("cache_read", "0.123456789012"),
        row("output", "17.5", layer=Layer.MANDATE, mandate_id="contracted"),
        row("web_search", "10", per=1_000),
        row("input", "1.1", model="eu", currency="EUR"),
        row("output", "2.2", model="eu", currency="EUR"),
        row("request", "0.004", model="eu", currency="EUR", per=1),
        row("input", "0", model="own", currency="CHF"),
        row("output", "0.3", model="own", currency="CHF", per=1_000),
        row("input", "0.7", **SALE),
        row("output", "1.3", **SALE),
        row("input", "0.2", model="gpt-6-mini"),
    ]
}
RULES = [
    SaleRule(1, None, 0, None, None, Decimal("12.345678"), None, None, None),
    SaleRule(2, "contracted", 0, None, None, Decimal(0), None, None, None),
    *(SaleRule(number, mandate, 1, None, "gpt-6-mini", None, "retail", None, None) for number, mandate in ((3, None), (4, "contracted"))),
]
UNCHARGED = [Uncharged(1, None, None, "failed", False, None, None), Uncharged(2, None, None, "timed_out", True, None, None)]
LEGS = [{"pair": "EUR/CHF", "rate": "0.9312"}, {"pair": "EUR/USD", "rate": "1.1501"}]
FX = [FxRate(100 * place + day, currency, date(2026, 11, day) - timedelta(days=3), Decimal(rate_) + Decimal(day) / 10**12)
      for place, (currency, rate_) in enumerate([("USD", "0.809668724459"), ("EUR", "0.9312")]) for day in range(1, 31)]  # fmt: skip
PRICES = Prices(rows=ROWS.values(), fx=FX, rules=RULES, uncharged=UNCHARGED, defaults={"openai": PLAIN}, version_id=4, revision=9)


def month() -> Iterator[PricedCall]:
    """A month of calls of every kind that is priced, always the same."""
    random = Random(26)
    for number in range(2_000):
        model = random.choice(["gpt-6", "gpt-6", "eu", "own", "gpt-6-mini"])
        leaves = {"input": random.choice([1, 271_999, 272_000, random.randint(1, 500_000)]), "output": random.randint(0, 9_000)}
        if model == "gpt-6":
            leaves |= {"cache_read": random.randint(0, 3), "web_search": random.randint(0, 2)}
        outcome = random.choice(["completed", "completed", "completed", "failed"])
        told = call(leaves, model=model, outcome=outcome, mandate_id=random.choice(["acme", "contracted"]))
        if number % 100 == 7:
            told = told._replace(outcome="timed_out", reading=None, usage_basis="none")
        yield told._replace(occurred_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(microseconds=random.randrange(30 * 86_400 * 10**6)))


def named(items: Sequence[Any], number: int | None) -> Any:
    """The item with that id."""
    return next((each for each in items if each.id == number), None)


def receipt_of(call: PricedCall, rated: Rated, given: Decimal | None) -> dict[str, Any]:
    """The receipt of a debit, billed as given (under `shadow`) or as computed."""
    stamp = rated.stamp
    amounts = Amounts(rated.price) if given is None else Amounts(given, given, rated.price)
    return receipt(
        event={"occurred_at": call.occurred_at, "model": call.model, "outcome": call.outcome},
        usage={"any": ["raw", 1]},
        leaves=call.reading.leaves if call.reading else {},
        stamp=stamp,
        amounts=amounts._replace(provider_cost=rated.provider_cost, provider_currency=rated.currency),
        rows=[ROWS[number] for number in stamp.rows],
        fx=named(FX, stamp.fx_id),
        fx_legs=LEGS,
        rule=named(RULES, stamp.rule_id),
        uncharged=named(UNCHARGED, stamp.uncharged_id),
    )


def recomputed(receipts: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """What the script of the documents says, run by a Python that finds no package."""
    lines = "".join(json.dumps(each) + "\n" for each in receipts)
    return subprocess.run([sys.executable, "-I", "-S", str(SCRIPT)], input=lines, capture_output=True, text=True, check=False)


def test_a_month_is_recomputed_to_the_last_digit() -> None:
    """Mixed calls of a month, billed as computed and as given, come to what their receipts say, by a script that knows no Tollbook."""
    calls = list(month())
    rated = [result for each in calls if isinstance(result := rate(each, PRICES), Rated)]
    assert len(rated) == len(calls)
    assert {each.stamp.kind for each in rated} == {StampKind.RATED, StampKind.POLICY}
    receipts = [
        receipt_of(each, result, Decimal(place) if place % 3 == 0 else None) for place, (each, result) in enumerate(zip(calls, rated, strict=True))
    ]
    done = recomputed(receipts)
    assert (done.returncode, done.stderr) == (0, "")
    billed = [Decimal(place) if place % 3 == 0 else result.price for place, result in enumerate(rated)]
    assert [Decimal(line.split()[0]) for line in done.stdout.splitlines()] == billed


def test_a_receipt_holds_every_step() -> None:
    """Raw usage, leaves, rows, tier, provider cost, exchange, rule, rounding and price: 272,001 tokens on 20 November."""
    told = call({"input": 272_001, "output": 0, "cache_read": 0})
    result = rate(told, PRICES)
    assert isinstance(result, Rated)
    shown = receipt_of(told, result, None)
    (price_row,) = shown["cost"].pop("rows")
    assert price_row == {
        "id": result.stamp.rows[0], "leaf": "input", "count": 272_001, "amount": "7.8", "per": 1_000_000, "currency": "USD",
        "tier": {"boundary": ">", "from_tokens": 272_000}, "layer": "list", "provider": "openai", "model": "gpt-6", **PLAIN,
        "valid_from": "2026-11-12T00:00:00Z", "valid_to": None, "basis": "", "source": "https://example.com/prices",
    }  # fmt: skip
    assert shown == {
        "receipt": 1,
        "event": {"occurred_at": "2026-11-20T12:00:00Z", "model": "gpt-6", "outcome": "completed"},
        "usage": {"any": ["raw", 1]},
        "dialect": {"name": "openai.responses", "version": 3},
        "leaves": {"input": 272_001},
        "stamp": {"kind": "rated", "price_version": 4, "rater_version": 1},
        "tier": {"whole_input": 272_001, "from_tokens": 272_000, "boundary": ">"},
        "cost": {"amount": "2.121607800000000000", "currency": "USD"},
        "fx": {"id": 22, "currency": "USD", "date": "2026-11-19", "rate": "0.809668724481", "legs": LEGS},
        "rule": {"id": 1, "mandate_id": None, "priority": 0, "provider": None, "model": None, "markup_percent": "12.345678", "book": None,
                 "valid_from": None},
        "sale": {"rows": [], "currency": "CHF"},
        "uncharged": None,
        "rounding": {"places": 9, "mode": "half-even"},
        "price": {"currency": "CHF", "computed": None, "given": None, "billed": "1.929873474", "not_computed": None},
    }  # fmt: skip


@pytest.mark.parametrize("change", ["amount", "leaf", "rate", "tier", "billed"])
def test_a_wrong_receipt_is_found(change: str) -> None:
    """A receipt of which one figure is another isn't recomputed."""
    told = call({"input": 272_001, "output": 5})
    result = rate(told, PRICES)
    assert isinstance(result, Rated)
    shown = receipt_of(told, result, None)
    assert recomputed([shown]).returncode == 0
    match change:
        case "amount":
            shown["cost"]["rows"][0]["amount"] = "7.9"
        case "leaf":
            shown["leaves"]["output_audio"] = 1
        case "rate":
            shown["fx"]["rate"] = "0.81"
        case "tier":
            shown["cost"]["rows"][0]["tier"]["from_tokens"] = 272_001
        case "billed":
            shown["price"]["billed"] = "1.929873475"
    assert recomputed([shown]).returncode != 0


def test_what_was_given_is_not_computed() -> None:
    """The receipt of a price that the producer or an operator has said names nothing that it stood on, but why it wasn't computed."""
    amounts = Amounts(Decimal("0.5"), Decimal("0.5"))
    given = receipt(event={}, usage=None, leaves={Leaf.INPUT: 3}, stamp=StampContent(StampKind.GIVEN), amounts=amounts, unpriced="unpriced_model")
    assert given["price"] == {"currency": "CHF", "computed": None, "given": "0.5", "billed": "0.5", "not_computed": "unpriced_model"}
    said = receipt(event={}, usage=None, leaves={}, stamp=StampContent(StampKind.OPERATOR), amounts=amounts._replace(given=None))
    assert recomputed([given, said]).stdout == "0.5 as it was said\n0.5 as it was said\n"


def test_rows_that_the_stamp_doesnt_name_are_left_out() -> None:
    """A receipt shows what the amount stands on, whatever else is given with it."""
    told = call({"input": 5})
    result = rate(told, PRICES)
    assert isinstance(result, Rated)
    stamp = replace(ROWS[result.stamp.rows[0]], id=-1)
    shown = receipt(event={}, usage=None, leaves={Leaf.INPUT: 5}, stamp=result.stamp, amounts=Amounts(result.price), rows=[stamp, *ROWS.values()])
    assert [each["id"] for each in shown["cost"]["rows"]] == [*result.stamp.rows]
