"""`tollbook statement`: the page, the JSON and the table have the same exact figures, and no name can do anything."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.output.page import amount, places
from cli.output.statement_page import ROWS_MAX, statement_page
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.directory.sql.mirror import User, put_users
from core.ledger.read_accounts import holder_account
from core.money import ZERO
from core.movements.refund import Refund, refund
from core.movements.top_up import TopUp, top_up
from core.reports.stated import BalanceMonth, FeatureUsage, Statement, UsageFigures, UserUsage
from core.reports.statement import statement
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}{% raw %}", "\u202egnp.exe", "</style><svg onload=x>", "&amp;'\"`"]
TAGS = """html head meta title style body main header div p h1 h2 h3 address span bdi strong dl dt dd time section b small
    table caption thead tbody tfoot tr th td svg line rect text footer"""


class Page(HTMLParser):
    """What a browser would see: the tags with their attributes, and the cells of each table, by its caption, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self._caption = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)
        if tag == "table":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """An element ends; those that never end do so with it."""
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Text in whatever is open."""
        self.texts[self.open[-1] if self.open else ""] = data
        if "caption" in self.open:
            self._caption += data
        elif ("td" in self.open or "th" in self.open) and "table" in self.open:
            self.tables[self._caption][-1][-1] += data

    def tables_headed(self, heading: str) -> list[list[str]]:
        """The table with that first heading, its headings too."""
        (found,) = [rows for rows in self.tables.values() if rows[0][0] == heading]
        return found

    def table(self, heading: str) -> list[list[str]]:
        """The rows below that first heading, the total among them."""
        return self.tables_headed(heading)[1:]


def number(text: str) -> Decimal:
    """A figure of the page."""
    return Decimal(text.replace("\u2019", "").replace("\u2212", "-"))


@pytest.fixture
def month(put_settings: PutSettings, record: Record, database: Database, owner_database: Database) -> Statement:
    """A January with two users, one a hostile name, with usage that a change to UNLIMITED made free, and a payment."""
    put_settings(users=["ada", "bob"], billing_address='{"company": "<b>Acme</b> & Söhne", "city": "Bern", "postal_code": "3011"}')
    with owner_database.transaction() as connection:
        put_users(connection, [User("ada", "ada", HOSTILE[0]), User("bob", None, None)])
    clock = partial(datetime.fromisoformat, "2026-02-02T12:00:00Z")
    for n, name in enumerate([*HOSTILE[:2], HOSTILE[2], HOSTILE[4], HOSTILE[5]]):
        names = {"provider": name, "model": name, "feature_code": name}
        record(event(price_chf=f"1234.{n + 1}", user_id=("ada", "bob")[n % 2], occurred_at=f"2026-01-0{n + 1}T10:00:00Z", **names), clock=clock)
    record(event(price_chf="0.000000001", occurred_at="2026-01-31T10:00:00Z"), clock=clock)
    paid = {"mandate_id": "acme", "account_id": holder_account(database, ROOT, "acme", "ada").id, "amount": "0.5", "key": "k", "by": "olga"}
    top_up(database, ROOT, TopUp.read(paid))
    return statement(database, ROOT, "acme", date(2026, 1, 1))


def test_the_page_has_the_figures_of_the_statement(month: Statement) -> None:
    """Each line of each table, to the last unit, and its total."""
    page = Page(statement_page(month))
    lists: dict[str, Sequence[UsageFigures]] = {"Model": month.by_model, "Feature": month.by_feature, "Day": month.by_day, "User": month.by_user}
    for heading, rows in lists.items():
        lines = page.table(heading)
        cost = 4 if heading == "Model" else 2
        assert [(int(number(line[1])), number(line[cost])) for line in lines] == [(row.event_count, row.cost) for row in [*rows, month.usage]]
    balance = {line[0]: number(line[1]) for line in page.table("")}
    shown = ("opening", "usage", "closing")
    assert [balance[name] for name in ("Opening balance", "Usage billed", "Closing balance")] == [getattr(month.total, name) for name in shown]
    assert balance["Opening balance"] + sum(list(balance.values())[1:-1]) == balance["Closing balance"]


def test_page_json_and_table_agree(run: Run, month: Statement, tmp_path: Path) -> None:
    """One moment asked for three times: the same figures; into a file or onto standard output: the same text."""
    moment = ("--as-of", month.as_of.isoformat())
    found = run("statement", "acme", "2026-01", "--json").json
    assert {name: Decimal(value) for name, value in found["total"].items()} == {f.name: getattr(month.total, f.name) for f in fields(BalanceMonth)}
    assert [row["cost"] for row in found["by_user"]] == [f"{row.cost:f}" for row in month.by_user]
    assert found["usage"]["cost"] == f"{month.usage.cost:f}"
    assert (found["first"], found["last"], found["time_zone"]) == ("2026-01-01", "2026-01-31", "UTC")
    for options in (("--json",), ()):
        assert run("statement", "acme", "2026-01", *moment, "--output", "made", "--force", *options).code == 0
        assert (tmp_path / "made").read_text(encoding="utf-8") == run("statement", "acme", "2026-01", *moment, "--output", "-", *options).out
    out = run("statement", "acme", "2026-01").out
    assert f"total: 6 events, {month.usage.cost:f} CHF" in out
    assert f"{month.total.closing:f}" in out
    assert "6 events recorded after the month had ended" in out


def test_a_page_that_is_there_stays(run: Run, month: Statement, tmp_path: Path) -> None:
    """But for --force; and where there is no statement, there is no file, nor half of one."""
    (tmp_path / "made").write_text("sent")
    refused = run("statement", "acme", "2026-01", "--output", "made")
    assert (refused.code, refused.err) == (1, "error: output: 'made' is there already: name another file, or --force\n")
    assert run("statement", "nobody", "2026-01", "--output", "made", "--force").code == 4
    assert (tmp_path / "made").read_text() == "sent"
    assert run("statement", "nobody", "2026-01", "--output", "other").code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert run("statement", "acme", "2026-01", "--output", "made", "--force").code == 0
    assert "<title>Statement January 2026" in (tmp_path / "made").read_text(encoding="utf-8")


def test_the_drawing_says_exact_amounts(month: Statement) -> None:
    """Of the dearest day, of one that cost almost nothing, and of those without usage."""
    days = [replace(month.by_day[0], cost=Decimal("123456789.123456789")), replace(month.by_day[1], cost=Decimal("1E-7"))]
    source = statement_page(replace(month, by_day=days))
    drawing = source.partition('<svg class="chart"')[2].partition("</svg>")[0]
    assert '<text x="0" y="-5">CHF 123\u2019456\u2019789.123456789</text>' in drawing
    titles = re.findall("<title>2026-01-..: CHF (.*?)</title>", drawing)
    assert titles == ["123\u2019456\u2019789.123456789", "0.0000001", *["0.00"] * 29]
    assert not re.search("[0-9]E[+-]", source)


def test_no_name_does_anything(month: Statement) -> None:
    """Whatever users, producers and customers write is text: no element, attribute, template or turned line comes of it."""
    source = statement_page(replace(month, mandate_name=HOSTILE[1], billing_address=dict.fromkeys(("company", "street", "city"), HOSTILE[3])))
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= set(TAGS.split())
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert {HOSTILE[0], "bob"} <= {line[0].removesuffix(" ada") for line in page.table("User")}
    assert HOSTILE[2] in {line[0] for line in page.table("Feature")}
    assert not set(source) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\x1b\x00")


def test_the_page_may_load_and_run_nothing(month: Statement) -> None:
    """Its policy allows one style sheet, by its hash, and that names nothing outside."""
    source = statement_page(month)
    (policy,) = [a["content"] for tag, a in Page(source).tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    style = source.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"url\(|@import|https?:", style)


def test_an_accessible_page(month: Statement) -> None:
    """It names its language, each table has a caption and headed rows and columns, and the drawing says what it shows."""
    page = Page(statement_page(month))
    attributes = dict(reversed(page.tags))
    assert attributes["html"] == {"lang": "en"}
    assert len(page.tables) == len([tag for tag, _ in page.tags if tag == "table"]) == len([tag for tag, _ in page.tags if tag == "caption"])
    assert all(found.get("scope") in ("row", "col") for tag, found in page.tags if tag == "th")
    assert [found["aria-label"] for tag, found in page.tags if found.get("role") == "img"] == ["Cost of each day; the table by day has the figures"]


def test_pool_and_users_stand_apart_where_both_have_something(month: Statement) -> None:
    """Three columns then, each with its own decimals; one where only one of them moved."""
    assert len(Page(statement_page(month)).table("")[0]) == 2
    pool = replace(month.pool, opening=Decimal("1.5"), closing=Decimal("1.5"))
    lines = Page(statement_page(replace(month, pool=pool))).table("")
    assert [number(cell) for cell in lines[0][1:]] == [month.total.opening, Decimal("1.5"), month.users.opening]


def test_usage_that_nobody_paid_has_a_column(month: Statement) -> None:
    """Where a month has billed and unbilled usage, each line says how much of it was not billed."""
    free = replace(month.by_day[0], billed_cost=Decimal(0), unbilled_cost=month.by_day[0].cost)
    usage = replace(month.usage, billed_cost=month.usage.cost - free.cost, unbilled_cost=free.cost)
    lines = Page(statement_page(replace(month, by_day=[free, *month.by_day[1:]], usage=usage))).table("Day")
    assert [number(line[2]) for line in lines] == [free.cost, *[Decimal(0)] * (len(month.by_day) - 1), free.cost]


def test_tokens_are_shown_by_kind(month: Statement, run: Run) -> None:
    """Input and output always, cached, cache-write and reasoning tokens where there are some: on the page, in the JSON and in the terminal."""
    assert Page(statement_page(month)).tables_headed("Model")[0][1:4] == ["Events", "Tokens in", "Tokens out"]
    counts: dict[str, Any] = {
        "input_tokens": 5000,
        "output_tokens": 300,
        "cached_input_tokens": 1234,
        "cache_write_tokens": 0,
        "reasoning_tokens": 77,
    }
    one = replace(month.by_model[0], **counts)
    source = statement_page(replace(month, by_model=[one, *month.by_model[1:]], usage=replace(month.usage, **counts)))
    head, first, *_, total = Page(source).tables_headed("Model")
    assert head[2:6] == ["Tokens in", "Tokens out", "Cached", "Reasoning"]
    assert [number(cell) for cell in first[2:6]] == [number(cell) for cell in total[2:6]] == [5000, 300, 1234, 77]
    assert "tokens as the services counted them" in source
    assert {"cached_input_tokens", "cache_write_tokens", "reasoning_tokens"} <= run("statement", "acme", "2026-01", "--json").json["usage"].keys()


def test_refunds_of_what_nobody_paid_are_shown(put_settings: PutSettings, record: Record, rows: Rows, run: Run, database: Database) -> None:
    """Under UNLIMITED a refund moves no balance; page, table and JSON say what was given back, in the month of the refund."""
    put_settings("free", BillingModel.UNLIMITED, users=["dan"])
    usage = {"input_tokens": 10, "cached_input_tokens": 4, "reasoning_tokens": 2}
    record(event(event_id="e1", mandate_id="free", user_id="dan", price_chf="3", usage=usage))
    entry = rows("SELECT id, local_date FROM transactions WHERE event_id = 'e1'")[0]
    refund(
        database,
        ROOT,
        Refund.read({"mandate_id": "free", "transaction_id": entry["id"], "amount": "1.25", "reason": "bad", "key": "k", "by": "olga"}),
    )
    day = rows("SELECT local_date FROM transactions WHERE reference_type = 'REFUND'")[0]["local_date"]
    found = statement(database, ROOT, "free", day)
    assert (found.unbilled_refunds, found.total.refunds) == (Decimal("1.25"), ZERO)
    assert "Of usage that was not billed, CHF&nbsp;1.25 was given back in this month." in statement_page(found)
    month = f"{day:%Y-%m}"
    assert run("statement", "free", month, "--json").json["unbilled_refunds"] == "1.250000000"
    out = run("statement", "free", month).out
    assert "given back of what was not billed: 1.250000000 CHF" in out
    if entry["local_date"].month == day.month:
        assert "tokens, as the producers counted: 10 input, 0 output, 4 cached input, 0 cache write, 2 reasoning" in out


def test_a_zone_that_only_the_database_knows_makes_a_page(month: Statement) -> None:
    """Its moment is shown in UTC."""
    source = statement_page(replace(month, time_zone="Europe/Newzone"))
    assert "</time> (UTC)" in source
    assert "Days in the time zone Europe/Newzone" in source


def test_nothing_follows_the_last_table(month: Statement) -> None:
    """So no page is printed for a footnote alone: what explains the figures stands with the balance."""
    body = statement_page(month).rpartition("</table>")[2]
    assert re.sub(r"<[^>]*>|\s", "", body) == ""
    assert "none is rounded" in statement_page(month).partition("<h2>Usage</h2>")[0]


def test_many_users_are_all_listed_and_many_features_are_not(month: Statement) -> None:
    """5,000 users make a page of less than 3 MB; features, which a producer may invent, end with the sum of the others."""
    cost = Decimal("0.001")
    users = [UserUsage(1, cost, cost, ZERO, 1, 1, 0, 0, 0, f"user-{n}", f"Somebody with a name of some length {n}") for n in range(5000)]
    features = [FeatureUsage(1, cost, cost, ZERO, 1, 1, 0, 0, 0, f"feature-{n}") for n in range(1201)]
    source = statement_page(replace(month, by_user=users, by_feature=features))
    assert len(source.encode()) < 3_000_000
    page = Page(source)
    assert len(page.table("User")) == 5001
    assert len(page.table("Feature")) == ROWS_MAX + 2
    assert page.table("Feature")[ROWS_MAX][:2] == ["1\u2019001 others", "1\u2019001"]
    assert number(page.table("Feature")[ROWS_MAX][2]) == Decimal("1.001")


def test_an_empty_month_says_so(month: Statement, database: Database) -> None:
    """No table of usage, and a balance that stays."""
    source = statement_page(statement(database, ROOT, "acme", date(2025, 3, 1)))
    assert "Nothing was used in this month." in source
    assert [number(line[1]) for line in Page(source).table("")] == [0, 0, 0]


def test_a_month_under_way_is_not_final(month: Statement) -> None:
    """The page says so."""
    assert "Not final" not in statement_page(month)
    assert "Not final" in statement_page(replace(month, ended=False))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["0", "1"], ["0.00", "1.00"]),
        (["0.5", "1234567.125"], ["0.500", "1\u2019234\u2019567.125"]),
        (["-0.000000001", "12"], ["\u22120.000000001", "12.000000000"]),
        (["1E+3", "0E-9"], ["1\u2019000.00", "0.00"]),
        ([], []),
    ],
)
def test_amounts_are_exact(values: list[str], shown: list[str]) -> None:
    """A column has as many places as its longest amount needs, at least two; nothing is rounded."""
    amounts = [Decimal(value) for value in values]
    assert [re.sub("</?small>", "", amount(value, places(amounts))) for value in amounts] == shown


def test_wrong_questions_are_told(run: Run, month: Statement) -> None:
    """A month that is none, a moment without an offset, a mandate that isn't there, somebody who may not, a file that can't be written."""
    for wrong in ("2026", "2026-13", "2026-1", "January", "0000-01"):
        assert (run("statement", "acme", wrong).code, f"{wrong!r} is no month such as 2026-10" in run("statement", "acme", wrong).err) == (2, True)
    assert run("statement", "acme", "2026-01", "--as-of", "2026-02-01").code == 2
    assert run("statement", "nobody", "2026-01").err.startswith("error: mandate 'nobody' has no billing settings")
    assert "may not read the statement" in run("statement", "acme", "2026-01", "--as", "user:ada").err
    assert run("statement", "acme", "2026-01", "--as", "administrator:acme", "--json").json["mandate_id"] == "acme"
    assert run("statement", "acme", "2026-01", "--output", "no/such/folder").code == 1
