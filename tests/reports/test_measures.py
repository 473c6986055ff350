"""What was used by class and what it cost at the provider, in statements, lists and exports."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT, administrator
from core.database.database import Database
from core.errors import Forbidden
from core.ledger.read_transactions import transactions_of_mandate
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.reports.columns import Layout
from core.reports.export import statistics_export, transactions_export
from core.reports.statement import statement
from core.reports.used_by_model import ModelMeasures
from core.statistics.roll_up import roll_up_usage
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.reports.priced_scene import COST, LEAVES, PRICE, USAGE, call, put_prices
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutSettings

__all__ = ["run"]
USED = {"input": 800, "cache_read": 200, "output": 60, "output_reasoning": 40}
TWICE = {name: 2 * count for name, count in USED.items()}
MONTH = f"{OCCURRED_AT:%Y-%m}"


@pytest.fixture
def shadowed(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Two calls of ada, one of which got another price since, and an event of version 1; the statistics are rolled up."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="shadow")
    record(call(event_id="one", operation_id="op", attempt=2), call(event_id="two"), event(event_id="v1"))
    amend_prices(database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "two", "price_chf": "1"})], key="k", by="olga", worker="test")
    roll_up_usage(database)


@pytest.mark.usefixtures("shadowed")
def test_a_statement_has_classes_and_cost_only_where_it_is_asked_for(database: Database) -> None:
    """Each event once, as amended; who pays may not ask for what providers charge."""
    plain = statement(database, ROOT, "acme", OCCURRED_AT.date())
    assert (plain.leaves, plain.provider_cost) == (TWICE, None)
    assert plain.measures_by_model == [ModelMeasures("openai", "gpt", TWICE, None)]
    asked = statement(database, ROOT, "acme", OCCURRED_AT.date(), provider_cost=True)
    assert asked.measures_by_model == [ModelMeasures("openai", "gpt", TWICE, {"USD": 2 * Decimal(COST)})]
    assert (asked.leaves, asked.provider_cost) == (TWICE, {"USD": 2 * Decimal(COST)})
    assert statement(database, administrator("acme"), "acme", OCCURRED_AT.date(), plain.as_of) == replace(plain, held=None)
    with pytest.raises(Forbidden):
        statement(database, administrator("acme"), "acme", OCCURRED_AT.date(), provider_cost=True)


@pytest.mark.usefixtures("shadowed")
def test_the_statement_shows_sums_and_classes(run: Run) -> None:
    """As a table and as a page: all input, and what of it was what; the page has no provider cost unless it is asked for."""
    out = run("statement", "acme", MONTH).out
    assert "\nall input tokens    2000\n" in out
    assert "                     400  cache_read\n" in out
    assert "provider cost" not in out
    assert "provider cost: 0.0112 USD" in run("statement", "acme", MONTH, "--provider-cost").out
    page = run("statement", "acme", MONTH, "--output", "-").out
    assert "<td>all input tokens</td><td>2\u2019000</td>" in page
    assert "<td>cache read</td><td>400</td>" in page
    assert "Provider cost" not in page
    page = run("statement", "acme", MONTH, "--output", "-", "--provider-cost").out
    assert "<td>USD</td><td>0.01<small>12</small></td>" in page
    assert run("statement", "acme", MONTH, "--json").json["provider_cost"] is None


@pytest.mark.usefixtures("shadowed")
def test_statistics_show_sums_and_classes(run: Run) -> None:
    """Stored and computed, as tables, CSV and JSON."""
    for asked in (("stats", "acme"), ("stats", "acme", "ada", "--computed")):
        out = run(*asked, "--year", str(OCCURRED_AT.year)).out
        assert "\nall output tokens    200" in out
        assert "provider cost: 0.0112 USD" in out
    found = run("stats", "acme", "--year", str(OCCURRED_AT.year), "--json").json
    assert (found["total"]["leaves"], found["total"]["provider_cost"]) == (TWICE, {"USD": "0.0112"})
    lines = list(csv.DictReader(io.StringIO(run("stats", "acme", "--by", "year", "--year", str(OCCURRED_AT.year), "--csv").out)))
    assert [(line["leaf_input"], line["leaf_page"], line["provider_cost"], line["provider_currency"]) for line in lines] == [
        ("1600", "", "0.0112", "USD"),
        ("", "", "", ""),
    ]


@pytest.mark.usefixtures("shadowed")
def test_entries_show_what_their_event_told(database: Database, run: Run) -> None:
    """What of the contract's version 2 an event told, the prices, and for root what it cost; of an event of version 1 its price."""
    entries = {entry.event_id: entry for entry in transactions_of_mandate(database, ROOT, "acme") if entry.reference_type == "WORKFLOW"}
    one, v1 = entries["one"], entries["v1"]
    assert one.call == {"usage_dialect": "openai.responses", "operation_id": "op", "attempt": 2}
    assert (one.leaves, one.price_given, one.price_computed) == (USED, Decimal("0.25"), Decimal(PRICE))
    assert (one.provider_cost, one.provider_currency, one.unpriced) == (Decimal(COST), "USD", None)
    assert (v1.call, v1.leaves, v1.price_given, v1.unpriced) == (None, None, Decimal("0.25"), "no_usage")
    for entry in transactions_of_mandate(database, administrator("acme"), "acme"):
        assert (entry.provider_cost, entry.provider_currency, entry.price_computed, entry.stamp_id) == (None,) * 4
    found = run("transactions", "--mandate", "acme", "--json").json
    assert [one["provider_cost"] for one in found if one["event_id"] == "one"] == [COST]


def exported(database: Database, actor: Any, export: Any, layout: Layout) -> list[dict[str, Any]]:
    """The rows of an export by the names of its columns."""
    with export(database, actor, ["acme"], layout=layout) as found:
        names = [column.name for column in found.columns]
        return [dict(zip(names, row, strict=True)) for chunk in found.chunks for row in chunk]


@pytest.mark.usefixtures("shadowed")
def test_exports_have_usage_objects_classes_and_cost(database: Database) -> None:
    """Of the ledger as it stands, of the statistics a column for each class; a mandate's administrator sees no cost."""
    (one,) = [row for row in exported(database, ROOT, transactions_export, Layout.BOOKS) if row["event_id"] == "one"]
    assert json.loads(one["usage_object"]) == USAGE
    assert (one["leaves"], one["price_given"], one["price_computed"]) == (LEAVES, Decimal("0.25"), Decimal(PRICE))
    assert (one["provider_cost"], one["provider_currency"], one["attempt"], one["stamp_id"]) == (Decimal(COST), "USD", 2, 2)
    (known, unknown) = exported(database, ROOT, statistics_export, Layout.BOOKS)
    assert (known["leaf_input"], known["leaf_output_reasoning"], known["leaf_page"]) == (1600, 80, None)
    assert (known["provider_cost"], known["provider_currency"], known["provider_costs"]) == (Decimal("0.0112"), "USD", "0.0112 USD")
    assert {unknown[name] for name in ("leaf_input", "provider_cost", "provider_currency", "provider_costs")} == {None}
    seen = administrator("acme")
    (one,) = [row for row in exported(database, seen, transactions_export, Layout.BOOKS) if row["event_id"] == "one"]
    assert {one[name] for name in ("price_computed", "provider_cost", "provider_currency", "stamp_id")} == {None}
    assert one["leaves"] == LEAVES
    known = exported(database, seen, statistics_export, Layout.BOOKS)[0]
    assert (known["leaf_input"], known["provider_cost"], known["provider_costs"]) == (1600, None, None)


@pytest.mark.usefixtures("shadowed")
def test_focus_has_classes_and_cost_that_a_reversal_takes_back(database: Database) -> None:
    """Over all entries they add up to what the statistics have: two calls' worth, of three debits and a reversal."""
    entries = exported(database, ROOT, transactions_export, Layout.FOCUS)
    assert sum(row["x_UsageInput"] or 0 for row in entries) == 1600
    assert sorted(row["x_ProviderCost"] for row in entries if row["x_ProviderCost"]) == [-Decimal(COST), *[Decimal(COST)] * 3]
    assert {row["x_ProviderCurrency"] for row in entries} == {"USD", None}
    known = exported(database, ROOT, statistics_export, Layout.FOCUS)[0]
    assert (known["x_UsageCacheRead"], known["x_ProviderCost"], known["x_ProviderCurrency"]) == (400, Decimal("0.0112"), "USD")
    for export in (transactions_export, statistics_export):
        rows = exported(database, administrator("acme"), export, Layout.FOCUS)
        assert {row["x_ProviderCost"] for row in rows} == {None}
        assert sum(row["x_UsageInput"] or 0 for row in rows) == 1600
