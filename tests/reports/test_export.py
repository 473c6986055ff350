"""Exports: the books to the last unit, in one order, of one moment, of whom the actor may see."""

import csv
import io
import os
import re
import subprocess
import sys
import time
from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from core.asking.rights import ROOT, administrator, user
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Forbidden, NotFound, RequestRefused, StorageUnavailable
from core.reports.columns import Column, Layout
from core.reports.export import statistics_export, transactions_export
from core.reports.sql import exports
from core.reports.sql.exports import STATISTIC_COLUMNS, TRANSACTION_COLUMNS
from tests.cli.test_cli import Run, run
from tests.conftest import DatabaseUrls, Record, Row, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["run"]

HOSTILE = ["=1+1", "+1", "-1", "@x", "'=x", 'a"b,c;d', "Zürich 東京", "\u202egpj.exe"]
ORDER = "ORDER BY recorded_at, id"
KEY = "ORDER BY mandate_id, account_id, period_start, provider, model, feature_code"
Lines = Callable[..., list[dict[str, str]]]
Table = Callable[..., pa.Table]


@pytest.fixture
def lines(run: Run) -> Lines:
    """An export as CSV, on standard output: a dictionary of cells per line."""

    def read(*arguments: str) -> list[dict[str, str]]:
        ended = run("export", *arguments)
        assert (ended.code, ended.err) == (0, "")
        return list(csv.DictReader(io.StringIO(ended.out, newline="")))

    return read


@pytest.fixture
def table(run: Run) -> Table:
    """An export as Parquet, out of the file that it made."""

    def read(*arguments: str) -> pa.Table:
        assert run("export", *arguments, "--format", "parquet", "--output", "export.parquet", "--force").code == 0
        return pq.read_table("export.parquet")

    return read


@pytest.fixture
def story(put_settings: PutSettings, record: Record, run: Run, breaches: Breaches, tmp_path: Path) -> None:
    """Every kind of entry, in four mandates of four models and three zones, one entry late by months; rolled up and in order."""
    put_settings("acme", users=["ada", "bob"], time_zone="Europe/Zurich")
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"], time_zone="Pacific/Kiritimati")
    put_settings("post", BillingModel.CREDIT_POSTPAY, users=["cyd"])
    put_settings("free", BillingModel.UNLIMITED, users=["dan"])
    tokens = {"input_tokens": 2**53 - 1, "output_tokens": 7}
    late = (datetime.now(UTC) - timedelta(days=90)).isoformat()
    record(*[event(event_id=f"h{n}", model=hostile, price_chf="0.000000001") for n, hostile in enumerate(HOSTILE)])
    record(*[event(event_id="e1", mandate_id=mandate, user_id=who, price_chf="1.5", usage=tokens, provider="p", model="m", feature_code="f")
             for mandate, who in (("acme", "bob"), ("pool", "ada"), ("post", "cyd"), ("free", "dan"))])  # fmt: skip
    record(event(event_id="late", price_chf="2.25", occurred_at=late))
    usage = {line["mandate_id"]: line["id"] for line in csv.DictReader(io.StringIO(run("export", "transactions").out)) if line["event_id"] == "e1"}
    payment = run("topup", "acme", "20", "--user", "ada", "--key", "invoice", "--json").json["transaction_id"]
    (tmp_path / "prices.csv").write_text("mandate_id,event_id,price_chf\nacme,late,1.000000001\nfree,e1,3\n")
    for command in (
        "topup pool 250 --key invoice", "adjust acme -12.5 --user bob --reason =phone --key ticket", f"refund acme {payment} --amount 4 --key back",
        *[f"refund {mandate} {usage[mandate]} --amount 0.4 --key refund" for mandate in ("acme", "post")],
        "amend prices.csv --key prices", "switch acme PREPAY_MANDATE --key switch", "rollup run",
    ):  # fmt: skip
        ended = run(*command.split())
        assert ended.code == 0, ended
    assert breaches() == {}


def shown(value: object) -> str:
    """The value as CSV has it."""
    match value:
        case None:
            return ""
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case str() if value[:1] in set("=+-@\t\r"):
            return f"'{value}"
    return str(value)


def of_the_books(found: list[Row], columns: list[str]) -> list[dict[str, Any]]:
    """Those columns of the books' own that an export has too."""
    return [{name: row[name] for name in columns if name in row} for row in found]


@pytest.mark.usefixtures("story")
def test_transactions_are_those_of_the_books(rows: Rows, lines: Lines, table: Table) -> None:
    """Each entry once, by the time of recording, each column to the last unit: as text in CSV, as a decimal of nine places in Parquet."""
    ledger = rows(f"SELECT * FROM transactions {ORDER}")
    assert {row["reference_type"] for row in ledger} == {"WORKFLOW", "SYSTEM", "PAYMENT", "ADJUSTMENT", "REFUND", "SWITCH", "AMENDMENT"}
    packed = table("transactions")
    assert set(ledger[0]) - set(packed.column_names) == {
        *("created_by_user_id", "usage_shape", "usage_values"),  # are `user_id`, where there is one, and `usage_object`
    }
    given = [row["amount"] if row["event_id"] is not None else None for row in ledger]  # of events of version 1 what is billed
    assert packed["price_given"].to_pylist() == given
    for row, price in zip(ledger, given, strict=True):
        row["price_given"] = price
    days = {row["id"]: row["local_date"] for row in ledger}
    assert packed["counted_on"].to_pylist() == [days[row["reverses_id"] or row["id"]] for row in ledger]
    assert of_the_books(packed.to_pylist(), list(ledger[0])) == of_the_books(ledger, packed.column_names)
    assert packed.schema.field("amount").type == pa.decimal128(20, 9)
    assert packed.schema.field("recorded_at").type == pa.timestamp("us", tz="UTC")
    assert packed.schema.field("local_date").type == pa.date32()
    assert lines("transactions") == [{name: shown(value) for name, value in row.items()} for row in packed.to_pylist()]
    assert [line["model"] for line in lines("transactions") if line["event_id"].startswith("h")] == [shown(model) for model in HOSTILE]


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("by", ["DAY", "MONTH", "YEAR"])
def test_statistics_are_those_of_the_books(rows: Rows, lines: Lines, table: Table, by: str) -> None:
    """Each row of such periods once, by mandate, account, period, provider, model and feature, each sum exact."""
    stored = rows(f"SELECT * FROM usage_statistics WHERE period_type = :by {KEY}", by=by)
    packed = table("statistics", "--by", by)
    columns = [name for name in stored[0] if name != "updated_at"]
    assert stored
    assert of_the_books(packed.to_pylist(), columns) == of_the_books(stored, packed.column_names)
    assert packed.schema.field("cost").type == pa.decimal128(29, 9)
    assert packed.schema.field("input_tokens").type == pa.decimal128(30, 0)
    assert lines("statistics", "--by", by.lower()) == [{name: shown(value) for name, value in row.items()} for row in packed.to_pylist()]


def test_the_greatest_numbers_and_the_worst_texts_come_through(rows: Rows, lines: Lines, table: Table, run: Run) -> None:
    """Amounts, sums and token counts at the end of their types; quotation marks, line ends, tabs: the same in Parquet and in CSV."""
    texts = ["\t=x", "\r", '"', "a\nb\r\nc", "", " ", "\\", "--", "''"]
    insert = """
        INSERT INTO transactions (mandate_id, account_id, transaction_type, amount, reference_type, description, occurred_at, local_date,
                                  settings_version, input_tokens)
        VALUES ('m', 1, 'ADJUSTMENT', CAST(:amount AS numeric), 'ADJUSTMENT', :description, '1970-01-01T00:00:00.000001Z', '1970-01-01', 1, :tokens)
    """
    for amount in ("-10000000000", "9999999999.999999999", "-0.000000001", "0"):
        rows(insert, amount=amount, description="d", tokens=2**63 - 1)
    for description in texts:
        rows(insert, amount="1", description=description, tokens=None)
    packed = table("transactions").to_pylist()
    assert [row["amount"] for row in packed[:4]] == [Decimal(n) for n in ("-10000000000", "9999999999.999999999", "-0.000000001", "0")]
    assert ([row["description"] for row in packed[4:]], packed[0]["input_tokens"]) == (texts, 2**63 - 1)
    read = lines("transactions")
    assert [line["amount"] for line in read[:4]] == ["-10000000000.000000000", "9999999999.999999999", "-0.000000001", "0.000000000"]
    assert ',"",' in run("export", "transactions").out, "an empty text is none that is absent"
    assert [line["description"] for line in read[4:]] == ["'\t=x", "'\r", *texts[2:7], "'--", "''"]
    assert (read[0]["occurred_at"], read[0]["local_date"]) == ("1970-01-01T00:00:00.000001Z", "1970-01-01")
    rows("""
        INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code, cost, refunded, input_tokens)
        VALUES ('m', 1, 'DAY', '1970-01-01', 'p', '=m', 'f', 99999999999999999999.999999999, -99999999999999999999.999999999,
                999999999999999999999999999999)
    """)
    (row,), (line,) = table("statistics").to_pylist(), lines("statistics")
    assert (row["cost"], row["refunded"], row["input_tokens"]) == (
        Decimal("9" * 20 + "." + "9" * 9),
        Decimal("-" + "9" * 20 + "." + "9" * 9),
        10**30 - 1,
    )
    assert (line["cost"], line["refunded"], line["input_tokens"]) == (str(row["cost"]), str(row["refunded"]), "9" * 30)


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("columns", Layout)
@pytest.mark.parametrize("what", ["transactions", "statistics"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_same_books_give_the_same_bytes(run: Run, what: str, columns: str, kind: str, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same file, also where rows lie elsewhere meanwhile; on standard output CSV is the same, but for the mark that Excel needs."""
    export = ("export", what, "--columns", columns, "--format", kind)
    first = run(*export, "--output", "first", "--json").json
    rows("UPDATE transactions SET description = description WHERE id % 2 = 0")
    rows("UPDATE usage_statistics SET updated_at = updated_at WHERE account_id = 1")
    monkeypatch.setattr(exports, "_PREPARE", text("SELECT set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"))
    second = run(*export, "--output", "second", "--json").json
    assert Path("first").read_bytes() == Path("second").read_bytes()
    assert (second["sha256"], second["rows"], second["bytes"]) == (first["sha256"], first["rows"], Path("first").stat().st_size)
    if kind == "csv":
        assert BOM_UTF8 + run(*export).out.encode() == Path("first").read_bytes()


@pytest.mark.usefixtures("story")
def test_focus_costs_add_up_to_the_books(rows: Rows, table: Table) -> None:
    """Billed costs are minus the balances; effective costs of each account and day are those of the statistics, less what was given back."""
    charges = table("transactions", "--columns", "focus").to_pylist()
    (held,) = rows("SELECT sum(balance) AS total FROM accounts")
    assert sum(row["BilledCost"] for row in charges) == -held["total"] != 0
    costs: dict[tuple[str, datetime], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for row in charges:
        assert row["EffectiveCost"] == 0 or row["ChargeCategory"] == "Usage"
        if row["ChargeCategory"] == "Usage":
            key = row["SubAccountId"], row["ChargePeriodStart"]
            costs[key] = [a + b for a, b in zip(costs[key], (row["EffectiveCost"], row["ConsumedQuantity"], row["x_InputTokens"] or 0), strict=True)]
    stored: dict[tuple[str, datetime], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for row in table("statistics", "--columns", "focus").to_pylist():
        key = row["SubAccountId"], row["ChargePeriodStart"]
        values = row["EffectiveCost"] - row["x_Refunded"], row["ConsumedQuantity"], row["x_InputTokens"]
        stored[key] = [a + b for a, b in zip(stored[key], values, strict=True)]
    assert costs == stored
    assert len({start for _, start in stored}) > 2


@pytest.mark.usefixtures("story")
def test_focus_periods_are_those_of_the_mandates_zone(lines: Lines) -> None:
    """A charge lies in its local day, that in its month, both written in UTC; a correction lies where what it corrects does."""
    charges = lines("transactions", "--columns", "focus")
    late = [line for line in charges if line["x_EventId"] == "late" or (line["x_ReferenceType"], line["BilledCost"]) == ("AMENDMENT", "-2.250000000")]
    assert [(line["x_ReferenceType"], line["BilledCost"]) for line in late] == [
        ("WORKFLOW", "2.250000000"),
        ("AMENDMENT", "-2.250000000"),
        ("AMENDMENT", "1.000000001"),
    ]
    assert len({(line["ChargePeriodStart"], line["ChargePeriodEnd"], line["BillingPeriodStart"], line["BillingPeriodEnd"]) for line in late}) == 1
    for line in charges:
        start, end, opens, closes = (
            datetime.fromisoformat(line[f"{name}Period{edge}"]) for name in ("Charge", "Billing") for edge in ("Start", "End")
        )
        assert line["ChargePeriodStart"].endswith("00Z")
        assert opens <= start < end <= closes
        assert end - start in (timedelta(hours=23), timedelta(hours=24), timedelta(hours=25))
    hours = {line["BillingAccountId"]: line["ChargePeriodStart"][11:] for line in charges}
    assert (hours["pool"], hours["post"]) == ("10:00:00Z", "00:00:00Z")
    assert hours["acme"] in ("22:00:00Z", "23:00:00Z")


@pytest.mark.parametrize(("what", "columns"), [("transactions", TRANSACTION_COLUMNS), ("statistics", STATISTIC_COLUMNS)])
def test_columns_come_in_the_documents_order(what: str, columns: tuple[Column, ...]) -> None:
    """Whoever reads a file by position reads what docs/exports.md says stands there."""
    chapter = (
        (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8").partition(f"\n## {what.capitalize()}\n")[2].partition("\n## ")[0]
    )
    cells = re.findall(r"^\| (`[^|]*`) \|", chapter, re.MULTILINE)
    assert [column.name for column in columns] == [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("what", ["transactions", "statistics"])
def test_without_rows_there_are_still_columns(run: Run, table: Table, lines: Lines, what: str, kind: str) -> None:
    """A header in CSV, a schema in Parquet."""
    if kind == "csv":
        assert run("export", what).out.startswith(("id,mandate_id,", "mandate_id,mandate_name,"))
        assert lines(what) == []
    else:
        assert (table(what).num_rows, "mandate_id" in table(what).column_names) == (0, True)


@pytest.mark.usefixtures("story")
def test_ranges_are_local_days_with_both_ends(rows: Rows, lines: Lines) -> None:
    """Whatever lies on such a day, however late it was recorded; for FOCUS whatever counts for it; statistics by the beginning of their period."""
    ledger = {line["id"]: line for line in lines("transactions")}
    days = sorted({row["local_date"] for row in rows("SELECT DISTINCT local_date FROM transactions")})
    first, last = days[0], days[-1]
    for low, high in ((None, None), (first, first), (first + timedelta(days=1), None), (None, last - timedelta(days=1)), (date.min, date.max)):
        options = [*(["--from", str(low)] if low else []), *(["--to", str(high)] if high else [])]
        inside = {
            day: [key for key, line in ledger.items() if str(low or date.min) <= line[day] <= str(high or date.max)]
            for day in ("local_date", "counted_on")
        }
        assert [line["id"] for line in lines("transactions", *options)] == inside["local_date"]
        assert [line["x_TransactionId"] for line in lines("transactions", *options, "--columns", "focus")] == inside["counted_on"]
        starts = {line["period_start"] for line in lines("statistics", *options)}
        assert all(str(low or date.min) <= start <= str(high or date.max) for start in starts)
    assert len(lines("statistics", "--from", str(first), "--to", str(first))) == 1


@pytest.mark.parametrize("columns", Layout)
def test_what_is_corrected_after_the_month_counts_once_and_for_that_month(
    put_settings: PutSettings, record: Record, run: Run, lines: Lines, columns: Layout, tmp_path: Path
) -> None:
    """The costs of a month are those of its statistics less what was given back, by the range in FOCUS, by `counted_on` in the books."""
    put_settings(users=["ada"])
    record(event(event_id="new", price_chf="0.25", occurred_at=datetime.now(UTC).isoformat()))
    today = date.fromisoformat(next(line["local_date"] for line in lines("transactions") if line["event_id"] == "new"))
    before = today.replace(day=1) - timedelta(days=1)
    months = [(before.replace(day=1), before, Decimal("4.5")), (today.replace(day=1), date.max, Decimal("0.25"))]
    at = f"{before}T12:00:00Z"
    record(event(event_id="amended", price_chf="1", occurred_at=at), event(event_id="refunded", price_chf="2", occurred_at=at))
    refunded = next(line["id"] for line in lines("transactions") if line["event_id"] == "refunded")
    (tmp_path / "prices.csv").write_text("mandate_id,event_id,price_chf\nacme,amended,3\n")
    for command in ("amend prices.csv --key prices", f"refund acme {refunded} --amount 0.5 --key back", "rollup run"):
        assert run(*command.split()).code == 0
    seen = []
    for first, last, cost in months:
        (of_month,) = [line for line in lines("statistics", "--by", "month") if line["period_start"] == str(first)]
        assert Decimal(of_month["cost"]) - Decimal(of_month["refunded"]) == cost
        if columns is Layout.FOCUS:
            found = lines("transactions", "--columns", "focus", "--from", str(first), "--to", str(last))
            assert sum(Decimal(line["EffectiveCost"]) for line in found) == cost
            assert {line["ChargePeriodStart"][:7] for line in found} == {str(first)[:7]}
            seen += [line["x_TransactionId"] for line in found]
        else:
            found = [line for line in lines("transactions") if str(first) <= line["counted_on"] <= str(last)]
            usage = [line for line in found if line["reference_type"] in ("WORKFLOW", "AMENDMENT", "REFUND")]
            assert sum(Decimal(line["amount"]) * (1 if line["transaction_type"] == "DEBIT" else -1) for line in usage) == cost
            seen += [line["id"] for line in found]
    assert sorted(seen) == sorted(line["id"] for line in lines("transactions"))


@pytest.mark.usefixtures("story")
def test_focus_ranges_cover_the_ledger_without_overlap(lines: Lines) -> None:
    """Each entry is in the range of exactly one day, and each day's effective costs are those of its statistics less what was given back."""
    every = lines("transactions")
    stored = lines("statistics")
    seen = []
    for day in sorted({line["counted_on"] for line in every}):
        found = lines("transactions", "--columns", "focus", "--from", day, "--to", day)
        seen += [line["x_TransactionId"] for line in found]
        cost = sum(Decimal(line["cost"]) - Decimal(line["refunded"]) for line in stored if line["period_start"] == day)
        assert sum(Decimal(line["EffectiveCost"]) for line in found) == cost
    assert sorted(seen) == sorted(line["id"] for line in every)


@pytest.mark.usefixtures("story")
def test_one_sees_ones_mandates(database: Database, run: Run, lines: Lines) -> None:
    """Root all or those he names; an administrator his own, and no others; a user, who has accounts and no mandate, nothing."""
    seen = {line["mandate_id"] for line in lines("transactions")}
    assert seen == {"acme", "pool", "post", "free"}
    assert {line["mandate_id"] for line in lines("transactions", "--mandate", "acme", "--mandate", "post")} == {"acme", "post"}
    assert {line["mandate_id"] for line in lines("statistics", "--mandate", "free")} == {"free"}
    assert {line["mandate_id"] for line in lines("transactions", "--as", "administrator:pool,free")} == {"pool", "free"}
    assert {line["BillingAccountId"] for line in lines("statistics", "--as", "administrator:pool", "--columns", "focus")} == {"pool"}
    for export in (transactions_export, statistics_export):
        for actor, named in ((administrator("pool"), ["pool", "acme"]), (user("ada"), None), (user("ada"), ["acme"])):
            with pytest.raises(Forbidden), export(database, actor, named):
                pass
        with pytest.raises(NotFound, match="there is no mandate 'nobody'"), export(database, ROOT, ["acme", "nobody"]):
            pass
        first, last = date(2026, 1, 2), date(2026, 1, 1)
        with pytest.raises(RequestRefused, match="to: 2026-01-01 is before 2026-01-02"), export(database, ROOT, first=first, last=last):
            pass
    assert run("export", "transactions", "--as", "user:ada", "--output", "mine.csv").code == 6
    assert not Path("mine.csv").exists()


def test_an_export_is_of_one_moment(record: Record, put_settings: PutSettings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded while it is read is not in it; it comes in chunks, and each is read when it is asked for."""
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)
    put_settings(users=["ada"])
    record(*[event() for _ in range(4)])
    with transactions_export(database, ROOT) as found:
        chunks = [next(iter(found.chunks))]
        record(event(event_id="meanwhile"))
        chunks += found.chunks
    events = [row[3] for chunk in chunks for row in chunk]
    assert ([len(chunk) for chunk in chunks], len(events)) == ([2, 2, 1], 5)
    assert "meanwhile" not in events
    with transactions_export(database, ROOT) as found:
        assert "meanwhile" in [row[3] for chunk in found.chunks for row in chunk]


def test_who_reads_no_further_holds_no_snapshot(
    record: Record,
    put_settings: PutSettings,
    database_urls: DatabaseUrls,
    make_config: Callable[..., Configuration],
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL ends a session that waits for its reader longer than a statement may take, and the export ends with an error."""
    monkeypatch.setattr(exports, "CHUNK_ROWS", 1)
    put_settings(users=["ada"])
    record(event(), event())
    impatient = Database(database_urls.worker, make_config(statement_timeout_seconds=0.2))
    open_snapshots = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"

    def read_slowly() -> None:
        with transactions_export(impatient, ROOT) as found:
            next(found.chunks)
            deadline = time.monotonic() + 30
            while rows(open_snapshots):
                assert time.monotonic() < deadline
            next(found.chunks)

    with pytest.raises(StorageUnavailable):
        read_slowly()
    impatient.dispose()


@pytest.mark.usefixtures("story")
def test_parquet_goes_to_standard_output_too(run: Run) -> None:
    """Into a pipe; nothing else is on standard output."""
    assert run("export", "transactions", "--output", "file.parquet", "--format", "parquet").code == 0
    command = [sys.executable, "-m", "cli.main", "export", "transactions", "--format", "parquet"]
    done = subprocess.run(
        command, capture_output=True, timeout=60, check=False, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == Path("file.parquet").read_bytes()


@pytest.mark.parametrize("in_days", [exports._in_own_days, exports._counted_in_days])
@pytest.mark.parametrize("last", [None, date(2026, 1, 2)])
def test_an_export_of_one_mandate_reads_no_other_ones_entries(owner_database: Database, last: date | None, in_days: Callable[[str], str]) -> None:
    """Each partition is read through an index that begins with the mandate, in the order of recording where all days are wanted."""
    statement, parameters = exports._of_entries(exports._LEDGER, exports.Wanted(["acme"], last, last), in_days)
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {statement}"), parameters).scalars().all()
    assert [line for line in plan if "Seq Scan on transactions" in line] == []
    indexes = {"mandate_id_recorded_at_idx"} if last is None else {"mandate_id_recorded_at_idx", "mandate_id_local_date_account_id_idx"}
    assert all(any(index in line for line in plan) for index in indexes)
