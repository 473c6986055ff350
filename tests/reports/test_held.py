"""Holds beside reports: what is held stands on the present month's statement, and nothing else of the books knows of it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cli.output.statement_page import statement_page
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.json_text import json_text
from core.ledger.read_balance_at import balance_at
from core.reports.export import statistics_export, transactions_export
from core.reports.stated import Statement
from core.reports.statement import statement
from core.statistics.roll_up import roll_up_usage
from tasks.views import VIEWS
from tests.asking.test_actors import CASES
from tests.asking.test_interface import plain
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.holds.scene import putting
from tests.ledger.test_held import seen
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["run"]
CHF = Decimal
NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=1)
ADA, POOL = 1, 2


@pytest.fixture(autouse=True)
def books(put_settings: PutSettings, record: Record) -> None:
    """Ada pays for herself in acme, with 9.75 left of 10, and the pool for her in globex, which is at -2.5."""
    put_settings("acme", users=["ada", "bob"])
    put_settings("globex", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(event_id="e51"))
    record(event(mandate_id="globex", price_chf="2.5"))
    record(event(user_id="bob"))


@pytest.fixture
def hold(rows: Rows) -> Callable[[], None]:
    """Puts holds of 1.5 and 0.123456789 of ada's, one of 2 that is over, and one of 3 of the pool's."""
    put = putting(rows)

    def call() -> None:
        put("a", "1.5", account_id=ADA, authorised_at=NOW, expires_at=SOON)
        put("b", "0.123456789", account_id=ADA, authorised_at=NOW, expires_at=SOON)
        put("over", "2", account_id=ADA, authorised_at=NOW - timedelta(hours=1), expires_at=NOW - timedelta(minutes=1))
        put("p", "3", account_id=POOL, mandate_id="globex", authorised_at=NOW, expires_at=SOON)

    return call


def present(database: Database, mandate_id: str = "acme", **more: Any) -> Statement:
    """The statement of the month that it is by the database's clock."""
    today = statement(database, ROOT, mandate_id, date(2026, 1, 1)).as_of.date()
    return statement(database, ROOT, mandate_id, today, **more)


def test_held_stands_beside_the_closing_balance_of_the_present_month(database: Database, hold: Callable[[], None]) -> None:
    """As of now: 1.5 and 0.123456789 of a user's, 3 of the pool's; the one that the clock has ended isn't held."""
    hold()
    found, pool = present(database).held, present(database, "globex").held
    assert found is not None
    assert seen(found.total, found.pool, found.users) == (CHF("1.623456789"), 0, CHF("1.623456789"))
    assert pool is not None
    assert seen(pool.total, pool.pool, pool.users) == (3, 3, 0)
    later = present(database, clock=SOON + timedelta(minutes=1)).held
    assert later is not None
    assert later.total == 0


def test_no_other_month_or_moment_has_anything_held(database: Database, hold: Callable[[], None]) -> None:
    """What was held then no entry tells: not of the month before or after, and not of the present one as of a moment ago."""
    hold()
    found = present(database)
    for month in (found.first - timedelta(days=1), found.last + timedelta(days=1)):
        assert statement(database, ROOT, "acme", month).held is None
    assert statement(database, ROOT, "acme", found.first, found.as_of).held is None
    assert statement(database, ROOT, "acme", found.first, found.as_of + timedelta(days=1)).held is not None  # ahead is now


def test_the_page_the_table_and_the_document_have_what_is_held(database: Database, run: Run, hold: Callable[[], None]) -> None:
    """The page with all of its decimal places; without holds it has no such line."""
    before = present(database)
    assert "Held now" not in statement_page(before)
    hold()
    found = present(database)
    page = statement_page(found)
    assert "Held now for calls under way</th><td>1.62<small>3456789</small></td>" in page
    month = f"{found.first:%Y-%m}"
    assert run("statement", "acme", month, "--json").json["held"] == {"total": "1.623456789", "pool": "0.000000000", "users": "1.623456789"}
    assert "held now 1.623456789 0.000000000 1.623456789" in " ".join(run("statement", "acme", month).out.split())


def test_commands_show_balance_held_and_available(run: Run, hold: Callable[[], None]) -> None:
    """Side by side, for people and for programs; `-` and null where nothing bounds it."""
    hold()
    shown = {"balance": "9.750000000", "held": "1.623456789", "available": "8.126543211"}
    assert run("balance", "acme", "ada", "--json").json.items() >= shown.items()
    assert run("accounts", "show", str(ADA), "--json").json.items() >= shown.items()
    assert " 9.750000000  1.623456789    8.126543211 " in run("accounts", "list", "acme").out
    rows = [run(*command, "--json").json[0] for command in (("balances", "user", "ada"), ("balances", "users"), ("accounts", "list", "acme"))]
    assert all(row.items() >= shown.items() for row in rows)
    whole = run("balances", "mandates", "--json").json
    assert [(row["total_balance"], row["held"], row["available"]) for row in whole] == [
        ("19.500000000", "1.623456789", "17.876543211"),
        ("-2.500000000", "3.000000000", "-5.500000000"),
    ]
    assert " total_balance CHF held CHF available CHF " in " ".join(run("balances", "mandates").out.split())


def test_nothing_else_knows_of_holds(database: Database, rows: Rows, run: Run, hold: Callable[[], None], breaches: Breaches) -> None:
    """Balances, statements, statistics, transactions, explanations, alerts and exports are the same with and without holds."""
    roll_up_usage(database)
    before = told(database)
    alerts = rows("SELECT * FROM balance_alerts ORDER BY id")
    hold()
    assert told(database) == before
    assert rows("SELECT * FROM balance_alerts ORDER BY id") == alerts
    moment = datetime.now(UTC)
    assert [balance_at(database, ROOT, mandate, "ada", moment).balance for mandate in ("acme", "globex")] == [CHF("9.75"), CHF("-2.5")]
    assert {number: found for number, found in breaches().items() if not number.startswith("H")} == {}


def told(database: Database) -> dict[str, Any]:
    """All that the views and exports tell, but for the moment, and what is held."""
    answers: dict[str, Any] = {}
    for view, asked, answered in CASES:
        if "root" in answered.split() and view not in ("hold", "list_holds", "expired_holds", "cap", "list_missing"):
            question, function = VIEWS[f"view.{view}"]
            answers[f"{view} {asked}"] = without(plain(function(database, ROOT, **question.read({"actor": ROOT, **asked}).arguments())))
    for export in (transactions_export, statistics_export):
        with export(database, ROOT) as found:
            answers[export.__name__] = json_text([[str(value) for value in row] for chunk in found.chunks for row in chunk])
    return answers


def without(told: Any) -> Any:
    """The answer without what is of the moment or of holds."""
    if isinstance(told, list):
        return [without(each) for each in told]
    if isinstance(told, dict):
        return {name: without(each) for name, each in told.items() if name not in ("as_of", "held", "available")}
    return told
