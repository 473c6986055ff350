"""`tollbook explain` with receipts: people read every step, programs compute the amounts again."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from core.asking.rights import ROOT, administrator, user
from core.database.database import Database
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.prices.model import Layer
from core.reports.explain import explain_event
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.prices.scene import accepted, row
from tests.reports.priced_scene import COST, PRICE, USAGE, call, put_modes, put_prices
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]
SCRIPT = Path(__file__).resolve().parents[2] / "docs/examples/recompute_receipt.py"
IMPORTED = f"import runpy; recompute = runpy.run_path({str(SCRIPT)!r})['recompute']"


def recomputed(receipts: list[dict[str, Any]]) -> list[Decimal | None]:
    """What the documented script makes of the receipts, in a Python that doesn't have Tollbook's modules in its path."""
    told = "\n".join(json.dumps(one) for one in receipts)
    loop = "for line in sys.stdin:\n    found = recompute(json.loads(line))\n    print(None if found is None else found * 10**9)"
    program = f"{IMPORTED}\nimport json, sys\n{loop}"
    done = subprocess.run([sys.executable, "-I", "-c", program], input=told, capture_output=True, text=True, check=True)
    return [None if line == "None" else Decimal(line).scaleb(-9) for line in done.stdout.split()]


def test_a_receipt_tells_every_step(run: Run, database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """800 · 5 + 200 · 0.5 + 100 · 15 millionths of a dollar, at 0.8 and with 10 % on it, are 0.004928 CHF."""
    put_settings(users=["ada"])
    version = put_prices(database, rows, acme="computed")
    record(call(event_id="one"))
    out = " ".join(run("explain", "--mandate", "acme", "--event", "one").out.split())
    for said in (
        '"cached_tokens":200',
        "read as: openai.responses, version 1",
        "cache_read 200 0.500000000000 1000000 USD always",
        f"provider_cost {COST} USD",
        "tier: 1000 tokens went in",
        f"provider cost: {COST} USD",
        "exchange rate: 0.800000000000 CHF for 1 USD of",
        "made of pair EUR/USD, rate 1.25; pair EUR/CHF, rate 1.00",
        "rule: 10.000000 % on the provider cost",
        f"by version {version} of the price book",
        f"billed: {PRICE}000 CHF, rounded half-even to 9 places",
        "given: 0.250000000 CHF",
        "paid by: ada (account 1)",
    ):
        assert said in out, said
    receipt = run("explain", "--mandate", "acme", "--event", "one", "--json").json["receipt"]
    assert receipt["usage"] == USAGE
    moved = {"before": "10.000000000", "moved": f"-{PRICE}000", "after": "9.995072000"}
    assert receipt["balance"] == {"account_id": 1, "user_id": "ada", **moved}
    assert recomputed([receipt]) == [Decimal(PRICE)]


def test_entries_without_a_stamp_have_no_receipt(run: Run, record: Record, put_settings: PutSettings) -> None:
    """An event of version 1 costs what was given."""
    put_settings(users=["ada"])
    record(event(event_id="one"))
    found = run("explain", "--mandate", "acme", "--event", "one", "--json").json
    assert (found["receipt"], found["transaction"]["price_given"], found["transaction"]["call"]) == (None, "0.250000000", None)
    assert "receipt" not in run("explain", "--mandate", "acme", "--event", "one").out


def test_receipts_are_for_root_alone(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """What the usage costs at the provider, and what follows from it, is no business of those who pay."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="shadow")
    record(call(event_id="one"))
    whole = explain_event(database, ROOT, "acme", "one")
    assert whole.transaction.price_computed == Decimal(PRICE)
    for actor in (administrator("acme"), user("ada")):
        seen = explain_event(database, actor, "acme", "one")
        entry = seen.transaction
        assert (seen.receipt, entry.provider_cost, entry.provider_currency, entry.price_computed, entry.stamp_id) == (None,) * 5
        assert (entry.leaves, entry.price_given) == (whole.transaction.leaves, Decimal("0.25"))


MODES = {"acme": "computed", "globex": "shadow", "given": "given", "sold": "computed", "contracted": "computed"}


def put_all_ways(database: Database, rows: Rows) -> None:
    """Beside the price book a contract, and a SALE book that one mandate pays by."""
    put_prices(database, rows, **MODES)
    sale = {"layer": Layer.SALE, "book": "retail", "currency": "CHF"}
    leaves = ("input", "cache_read", "output", "output_reasoning")
    sold = [row(leaf=leaf, amount=amount, **sale) for leaf, amount in zip(leaves, ("9", "1.000000000001", "30", "31"), strict=True)]
    accepted(database, [*sold, row(leaf="output", amount="12.345678901234", layer=Layer.MANDATE, mandate_id="contracted")])
    rows("INSERT INTO sale_rules (mandate_id, book, valid, created_by) VALUES ('sold', 'retail', '[,)', 'olga')")
    put_modes(rows)


def mixed(random: Random, number: int) -> dict[str, object]:
    """An event of some mandate with some usage."""
    cached, reasoning = random.randrange(500), random.randrange(300)
    fresh, said = random.randrange(1, 400_000), random.randrange(1, 5_000)
    usage = {
        "input_tokens": cached + fresh,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": reasoning + said,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": cached + fresh + reasoning + said,
    }
    price = f"0.{random.randrange(10**9):09}"
    return call(event_id=f"e{number}", mandate_id=random.choice(list(MODES)), usage=usage, price_chf=price)


def test_receipts_of_mixed_events_recompute_to_the_last_digit(
    run: Run, database: Database, record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """All modes, a contract, a SALE book, an amendment, events without usage or of version 1: each amount comes out again."""
    for mandate in MODES:
        put_settings(mandate, users=["ada"])
    put_all_ways(database, rows)
    random = Random(7)
    sent = [mixed(random, number) for number in range(60)]
    sent += [event(event_id="v1", mandate_id="globex"), call(event_id="unknown", mandate_id="globex", model="new")]
    assert {str(outcome) for outcome in record(*sent).outcomes} == {"recorded"}
    amended = NewPrice.read({"mandate_id": "globex", "event_id": "unknown", "price_chf": "1.5"})
    amend_prices(database, ROOT, [amended], key="k", by="olga", worker="test")
    debits = rows("SELECT id, coalesce(price_computed, amount) AS amount FROM transactions WHERE stamp_id IS NOT NULL ORDER BY id")
    assert len(debits) == 63
    receipts = [run("explain", str(debit["id"]), "--json").json["receipt"] for debit in debits]
    kinds = [receipt["stamp"]["kind"] for receipt in receipts]
    assert set(kinds) == {"rated", "given", "operator"}
    assert recomputed(receipts) == [debit["amount"] if kind == "rated" else None for kind, debit in zip(kinds, debits, strict=True)]
    assert any(receipt["sale"]["rows"] for receipt in receipts)
    assert any(one["layer"] == "mandate" for receipt in receipts for one in receipt["cost"]["rows"])
    assert receipts[-1]["amendments"][0]["debit_id"] == debits[-1]["id"]


def test_what_is_not_charged_has_a_receipt_of_nothing(run: Run, database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A failed call keeps its provider cost and costs 0; one without usage costs 0 by the policy alone."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    rows("INSERT INTO uncharged_rules (outcome, without_usage, valid, created_by) SELECT 'failed', w, '[,)', 'olga' FROM unnest('{f,t}'::bool[]) w")
    put_modes(rows)
    silent = call(event_id="silent", outcome="failed", usage_basis="none", usage=..., usage_dialect=...)
    assert {str(outcome) for outcome in record(call(event_id="used", outcome="failed"), silent).outcomes} == {"recorded"}
    used, silent = [run("explain", "--mandate", "acme", "--event", name, "--json").json["receipt"] for name in ("used", "silent")]
    assert (used["stamp"]["kind"], used["cost"]["amount"], used["price"]["billed"]) == ("rated", COST, "0.000000000")
    assert (silent["stamp"]["kind"], silent["cost"]["amount"], silent["price"]["billed"]) == ("policy", None, "0.000000000")
    assert recomputed([used, silent]) == [0, 0]
    assert "not charged: since the outcome is failed" in run("explain", "--mandate", "acme", "--event", "used").out
