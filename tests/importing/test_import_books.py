"""Existing books are taken over whole or not at all: balances once, history without moving anything."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.missing import DueGrant
from core.errors import Conflict, RequestRefused
from core.events.outcome import BatchResult, Outcome
from core.importing import work as importing_work
from core.importing.files import find_book_files
from core.importing.import_books import ImportedBooks, import_books
from core.importing.sql.accounts import begin_import
from core.ledger.grant import make_due_grants
from core.money import AMOUNT_MAX
from core.movements.top_up import TopUp, top_up
from core.movements.update_settings import update_settings
from core.settings.sql.settings import load_settings
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings
from tests.verifying.test_verify import ROLL_UP

Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
TABLES = ("billing_settings", "billing_settings_history", "accounts", "transactions", "operation_keys", "event_keys", "batches", "rollup_pending",
          "balance_alerts")  # fmt: skip
SETTINGS = """mandate_id,billing_model,default_user_credit,time_zone,notification_emails,city,block_on_zero_balance
acme,PREPAY_USER,5,Pacific/Auckland,a@acme.example; b@acme.example,Bern,no
harbour,CREDIT_POSTPAY,,,,,
ganga,UNLIMITED,,,,,
"""
ACCOUNTS = """mandate_id,user_id,balance,credit_limit,warning_threshold,enabled
acme,ada,12.5,,,
acme,bob,-1.25,,,no
acme,eve,3,,4,
harbour,,-950,1000,,
harbour,cy,0,,,
ganga,gil,0.000000001,,,
"""
TRANSACTIONS = """id,event_id,mandate_id,user_id,transaction_type,reference_type,amount,occurred_at,description,provider,model,input_tokens
1,,acme,ada,CREDIT,SYSTEM,20,2024-01-01T00:00:00Z,Initial credit,,,
2,e-1,acme,ada,DEBIT,WORKFLOW,7.5000000001,2024-01-02T23:30:00+01:00,,anthropic,claude,100
3,,acme,ada,DEBIT,WORKFLOW,0,2024-01-02T23:30:00Z,,,,
4,,harbour,,ADJUSTMENT,ADJUSTMENT,-950,2023-12-31T00:00:00Z,Debt of 2023,,,
"""
AGAIN = {"event_id": "e-1", "price_chf": "7.5", "occurred_at": "2024-01-02T22:30:00Z", "provider": "anthropic", "model": "claude"}
IN_2024 = partial(datetime, 2024, 2, 1, tzinfo=UTC)  # a clock
RESENT = event(mandate_id="acme", user_id="ada", usage={"input_tokens": 100}, **AGAIN)


class Take(Protocol):
    """What the fixture `take` gives."""

    def __call__(self, files: Mapping[str, str] = ..., *, database: Database = ..., **options: Any) -> ImportedBooks:
        """Imports these files (name to content), by olga."""


@pytest.fixture
def take(database: Database, config: Configuration, tmp_path: Path) -> Take:
    """Imports old books; without files named, those above."""

    def call(
        files: Mapping[str, str] = {"settings.csv": SETTINGS, "accounts.csv": ACCOUNTS, "transactions.csv": TRANSACTIONS},
        *,
        database: Database = database,
        **options: Any,
    ) -> ImportedBooks:
        for old in tmp_path.iterdir():
            old.unlink()
        for name, content in files.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        return import_books(database, ROOT, find_book_files(tmp_path), config=config, **{"by": "olga", "worker": "test", **options})

    return call


def lines(*records: Mapping[str, object]) -> str:
    """The records as JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


def settings(mandate_id: str = "acme", model: str = "PREPAY_USER", **fields: object) -> str:
    """One mandate's line of settings.jsonl."""
    return lines({"mandate_id": mandate_id, "billing_model": model, **fields})


def usage(**fields: object) -> dict[str, object]:
    """An old usage entry of ada in acme."""
    kind = {"transaction_type": "DEBIT", "reference_type": "WORKFLOW", "amount": "0.25", "occurred_at": "2024-05-05T10:00:00Z"}
    return {"id": "1", "mandate_id": "acme", "user_id": "ada", **kind, **fields}


@pytest.fixture
def contents(rows: Rows) -> Callable[[], dict[str, list[dict[str, Any]]]]:
    """Reads every table that an import writes."""
    return lambda: {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2" if table != "rollup_pending" else "TABLE rollup_pending") for table in TABLES}


def test_books_are_taken_over(take: Take, rows: Rows, balances: Balances, breaches: Breaches) -> None:
    """Settings and accounts stand as given, each balance is explained by one entry, and no grant was made."""
    done = take()
    assert (done.good, done.settings.new, done.accounts.new, done.transactions.new) == (True, 3, 6, 4)
    assert balances() == {
        ("acme", "ada"): Decimal("12.5"),
        ("acme", "bob"): Decimal("-1.25"),
        ("acme", "eve"): Decimal(3),
        ("harbour", None): Decimal(-950),
        ("harbour", "cy"): Decimal(0),
        ("ganga", "gil"): Decimal("0.000000001"),
    }
    found = rows("SELECT user_id, warning_threshold AS warns, credit_limit, enabled, grant_due FROM accounts ORDER BY mandate_id, user_id")
    assert [tuple(row.values()) for row in found] == [
        ("ada", Decimal("1.25"), None, True, False),
        ("bob", Decimal(0), None, False, False),
        ("eve", Decimal(4), None, True, False),
        ("gil", Decimal(0), None, True, False),
        ("cy", Decimal(0), None, True, False),
        (None, Decimal(0), Decimal(1000), True, False),
    ]
    openings = rows("SELECT * FROM transactions WHERE balance_account_id IS NOT NULL ORDER BY id")
    assert [t["operation_key"] for t in openings] == ["opening:acme:ada", "opening:acme:bob", "opening:acme:eve", "opening:harbour",
                                                      "opening:ganga:gil"]  # fmt: skip
    assert {(t["transaction_type"], t["reference_type"], t["created_by_user_id"]) for t in openings} == {("ADJUSTMENT", "ADJUSTMENT", "olga")}
    (acme,) = rows("SELECT * FROM billing_settings JOIN billing_settings_history USING (mandate_id, version) WHERE mandate_id = 'acme'")
    assert (acme["changed_by"], acme["notification_emails"], acme["billing_address"]) == (
        "olga", ["a@acme.example", "b@acme.example"], {"city": "Bern"},
    )  # fmt: skip
    assert (acme["time_zone"], acme["block_on_zero_balance"], acme["default_user_credit"]) == ("Pacific/Auckland", False, Decimal(5))
    assert breaches() == {}


def test_history_moves_nothing_and_counts_as_usage(take: Take, rows: Rows, breaches: Breaches) -> None:
    """Old entries stand in the order of the file, before the opening, in their own local day, for the rollup to see, and pay from no balance."""
    take()
    history = rows("SELECT * FROM transactions WHERE batch_id IS NOT NULL ORDER BY id")
    assert [(t["event_id"], t["operation_key"], t["amount"], t["local_date"]) for t in history] == [
        (None, "history:1", Decimal(20), date(2024, 1, 1)),
        ("e-1", None, Decimal("7.5"), date(2024, 1, 3)),
        ("history:3", None, Decimal(0), date(2024, 1, 3)),
        (None, "history:4", Decimal(-950), date(2023, 12, 31)),
    ]
    assert {t["balance_account_id"] for t in history} == {None}
    assert history[1]["input_tokens"] == 100
    assert history[-1]["id"] < rows("SELECT min(id) AS first FROM transactions WHERE batch_id IS NULL")[0]["first"]
    (batch,) = rows("SELECT * FROM batches")
    assert (batch["kind"], batch["recorded"], batch["first_transaction_id"], batch["last_transaction_id"]) == (
        "import", 0, history[0]["id"], history[-1]["id"],
    )  # fmt: skip
    assert rows("SELECT batch_id FROM rollup_pending") == [{"batch_id": batch["id"]}]
    assert breaches() == {}


def test_the_totals_are_those_of_the_books(take: Take) -> None:
    """Per mandate, accounts, balances, entries and their signed sum are counted in the files, and read back from the books."""
    totals = {t.mandate_id: t for t in take().totals}
    acme, harbour = totals["acme"], totals["harbour"]
    assert (acme.accounts, acme.accounts_in_books, acme.balance, acme.balance_in_books) == (3, 3, Decimal("14.25"), Decimal("14.25"))
    assert (acme.transactions, acme.transactions_in_books, acme.amount, acme.amount_in_books) == (3, 3, Decimal("12.5"), Decimal("12.5"))
    assert (harbour.balance_in_books, harbour.amount_in_books, harbour.equal) == (Decimal(-950), Decimal(-950), True)
    assert sorted(totals) == ["acme", "ganga", "harbour"]


def test_a_second_import_changes_nothing(take: Take, record: Record, contents: Callable[[], Any], put_mandate: PutMandate, rows: Rows) -> None:
    """Whatever moved in between, a repeated import finds everything there, and the totals still agree."""
    take()
    put_mandate("acme", users=["ada"])
    record(event(price_chf="2"))
    rows("UPDATE accounts SET enabled = true, credit_limit = 500")
    before = contents()
    again = take()
    assert (again.good, again.settings.new, again.accounts.new, again.transactions.new) == (True, 0, 0, 0)
    assert all(t.equal for t in again.totals)
    assert contents() == before


def test_a_dry_run_writes_nothing_and_tells_the_same(take: Take, contents: Callable[[], Any]) -> None:
    """The dry run has the counts and totals of the import, and leaves every table as it was."""
    dry = take(dry_run=True)
    assert all(not found for found in contents().values())
    assert take() == dry


def test_an_imported_account_gets_no_grant(
    take: Take, record: Record, rows: Rows, balances: Balances, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """A member's first usage here moves the balance that he brought along; a member who brought none gets his grant."""
    take()
    put_mandate("acme", users=["ada", "new"])
    record(event(user_id="ada", price_chf="2.5"), event(user_id="new", price_chf="1"))
    assert balances()["acme", "ada"] == Decimal(10)
    assert balances()["acme", "new"] == Decimal(4)
    assert rows("SELECT account_id FROM transactions WHERE reference_type = 'SYSTEM' AND balance_account_id IS NOT NULL") == rows(
        "SELECT id AS account_id FROM accounts WHERE user_id = 'new'"
    )
    assert breaches() == {}


def test_a_producer_sending_an_old_event_again_pays_nothing(take: Take, record: Record, balances: Balances, breaches: Breaches) -> None:
    """The event of an old usage is a duplicate, with other content a conflict; the balance that was taken over stays."""
    take()
    assert record(RESENT, {**RESENT, "price_chf": "8"}).outcomes == [Outcome.DUPLICATE, Outcome.CONFLICT]
    assert balances()["acme", "ada"] == Decimal("12.5")
    assert breaches() == {}


def test_a_parked_event_of_the_history_is_not_billed(
    take: Take, record: Record, release: Callable[[], BatchResult], balances: Balances, breaches: Breaches
) -> None:
    """What waited for its mandate is a duplicate of the history once it is released; what isn't in it is recorded."""
    other = event(price_chf="2", occurred_at=AGAIN["occurred_at"])
    assert set(record(RESENT, other, clock=IN_2024).outcomes) == {Outcome.PARKED}
    take()
    assert sorted(release().outcomes) == [Outcome.DUPLICATE, Outcome.RECORDED]
    assert balances()["acme", "ada"] == Decimal("10.5")
    assert breaches() == {}


def test_an_event_that_was_recorded_here_is_named(take: Take, record: Record, put_settings: PutSettings, contents: Callable[[], Any]) -> None:
    """Usage that these books have billed already would be paid twice: its line is wrong, and nothing is imported."""
    put_settings("acme")
    record(RESENT, clock=IN_2024)
    before = contents()
    entry = usage(event_id="e-1", amount="7.5", occurred_at=AGAIN["occurred_at"], provider="anthropic", model="claude", usage={"input_tokens": 100})
    done = take({"transactions.jsonl": lines(entry)})
    assert "transactions.jsonl:1: event_id: 'e-1' was delivered to these books, and is transaction" in str(done.problems[0])
    assert contents() == before


def test_only_beginning_beyond_a_line_is_an_alert(take: Take, record: Record, rows: Rows, database: Database, breaches: Breaches) -> None:
    """An account taken over in order reports nothing; one in debt and a pool near its limit do, once; later crossings follow."""
    take()
    alerts = "SELECT user_id, kind, recovered FROM balance_alerts JOIN accounts a ON a.id = account_id ORDER BY balance_alerts.id"
    assert [tuple(row.values()) for row in rows(alerts)] == [("bob", "ZERO", False), (None, "WARNING", False)]
    record(event(price_chf="12"))
    (bob,) = rows("SELECT id FROM accounts WHERE user_id = 'bob'")
    top_up(database, ROOT, TopUp.read({"mandate_id": "acme", "account_id": bob["id"], "amount": "5", "key": "k", "by": "olga"}))
    assert [tuple(row.values()) for row in rows(alerts)][2:] == [("ada", "WARNING", False), ("bob", "WARNING", True), ("bob", "ZERO", True)]
    assert breaches() == {}


def test_accounts_that_usage_opened_first_keep_their_usage(
    take: Take, record: Record, rows: Rows, balances: Balances, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """What was used here stays on top of the opening balance; the grant that was made counts as part of it, one that is due is none."""
    put_mandate("acme", users=["ada"])
    record(event(user_id="ada", price_chf="3"), event(user_id="stranger", price_chf="1"))
    files = {"accounts.jsonl": lines(*({"mandate_id": "acme", "user_id": user, "balance": "50"} for user in ("ada", "stranger")))}
    done = take(files)
    assert [(t.balance_in_books, t.equal) for t in done.totals] == [(Decimal(100), True)]
    assert balances() == {("acme", "ada"): Decimal(47), ("acme", "stranger"): Decimal(49)}
    assert rows("SELECT amount FROM transactions WHERE reference_type = 'ADJUSTMENT' ORDER BY amount") == [
        {"amount": Decimal(40)},
        {"amount": Decimal(50)},
    ]
    assert {row["grant_due"] for row in rows("SELECT grant_due FROM accounts")} == {False}
    assert take(files).accounts.new == 0
    assert breaches() == {}


def test_settings_that_are_there_are_compared(take: Take, database: Database, config: Configuration, put_settings: PutSettings) -> None:
    """Equal ones are kept, also those that were equal once; others are named with both values."""
    put_settings("acme", BillingModel.PREPAY_MANDATE, time_zone="Europe/Zurich")
    same = {"settings.jsonl": settings(model="PREPAY_MANDATE", time_zone="Europe/Zurich", default_user_credit=10)}
    assert take(same).settings.new == 0
    update_settings(database, ROOT, "acme", {"default_user_credit": "7", "time_zone": "UTC"}, changed_by="olga", config=config)
    assert take(same).good
    (wrong,) = take({"settings.jsonl": settings(model="UNLIMITED")}).problems
    assert str(wrong).startswith("settings.jsonl:1: billing_model: 'UNLIMITED' is 'PREPAY_MANDATE' in the books; mandate 'acme' has settings already")


def test_time_zones_come_from_the_directory_where_none_is_given(take: Take, rows: Rows, put_mandate: PutMandate) -> None:
    """The file's zone counts, then the directory's, then the configured one; no directory is needed."""
    put_mandate("known", time_zone="Asia/Tokyo")
    put_mandate("given", time_zone="Asia/Tokyo")
    take({"settings.jsonl": settings("known") + settings("given", time_zone="Europe/Zurich") + settings("unknown")})
    found = rows("SELECT mandate_id, time_zone FROM billing_settings ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [("given", "Europe/Zurich"), ("known", "Asia/Tokyo"), ("unknown", "UTC")]


WRONG = {
    "settings.jsonl": (
        settings("acme")
        + settings("acme", "UNLIMITED")
        + settings("x" * 129, "PREPAY", default_user_credit="-1", colour="red")
        + settings("zoned", time_zone="Mars/Olympus", billing_address={"city": "a\nb"}, notify_on_warning="yes")
        + '{"mandate_id": "half"}\n[1]\n{"mandate_id": NaN}\n'
    ),
    "accounts.csv": (
        "mandate_id,user_id,balance,credit_limit,warning_threshold,enabled\n"
        "acme,ada,1,,,\nacme,ada,1,,,\nacme,bob,1e400,,,\nacme,,0.0000000001,,,\nacme,eve,1,5,-1,\nacme,fay,1,5,,\nelsewhere,ada,1,,,\n"
        "acme,gus,1,,,maybe\nacme,hal\nacme,ada,2,,,\n,,,,,\n"
    ),
    "transactions.jsonl": lines(
        usage(),
        usage(),
        usage(amount="0.5"),
        usage(id=None),
        usage(id="2", user_id=None),
        usage(id="3", user_id="nobody"),
        usage(id="4", transaction_type="CREDIT"),
        usage(id="5", amount="-1", usage={"input_tokens": -1}, price_chf="1"),
        usage(id="6", amount="-1", occurred_at="2024-05-05"),
        usage(id="7", occurred_at="2999-01-01T00:00:00Z"),
        usage(id="8", occurred_at="0001-01-01T00:00:00Z"),
        usage(id="9", created_by_user_id="bob"),
        usage(id="10", user_id=None, transaction_type="CREDIT", reference_type="PAYMENT"),
        usage(id="11", transaction_type="CREDIT", reference_type="SWITCH", amount=1.5),
        usage(id="12", transaction_type="CREDIT", reference_type="PAYMENT", amount="-1"),
        usage(id="13", transaction_type="DEBET", reference_type="PAYMENT", provider="x", amount="0.1234567891"),
        usage(id="1", transaction_type="CREDIT", reference_type="PAYMENT"),
        usage(id="1", transaction_type="CREDIT", reference_type="PAYMENT"),
    ),
}  # fmt: skip


def test_every_wrong_line_is_named_and_nothing_is_written(take: Take, contents: Callable[[], Any]) -> None:
    """Each with its file, line, field and value, whatever was wrong before it; not one right line is imported."""
    done = take(WRONG)
    assert not done.good
    problems = [str(problem) for problem in done.problems]
    assert done.problem_count == len(problems)
    assert all(problem.isascii() and problem.isprintable() for problem in problems)
    expected = {
        "settings.jsonl:2": "mandate_id: 'acme' stands in line 1 already",
        "settings.jsonl:3": "default_user_credit: '-1' is not between 0 and 10000000000 CHF; colour: is not a field of billing settings",
        "settings.jsonl:4": "time_zone: 'Mars/Olympus' is not an IANA time zone",
        "settings.jsonl:5": "billing_model: is missing",
        "settings.jsonl:6": "is not a JSON object (got b'[1]')",
        "settings.jsonl:7": "NaN is no JSON number",
        "accounts.csv:3": "user_id: account of 'ada' stands in an earlier line",
        "accounts.csv:4": "balance: '1e400' is not between",
        "accounts.csv:5": "balance: '0.0000000001' has more than nine decimal places",
        "accounts.csv:6": "warning_threshold: '-1' is negative",
        "accounts.csv:7": "credit_limit: '5.000000000' is given for user 'fay': only a pool has one",
        "accounts.csv:8": "mandate_id: 'elsewhere' has billing settings neither in the files nor in the books",
        "accounts.csv:9": "enabled is not true, false, 1, 0, yes or no (got 'maybe')",
        "accounts.csv:10": "has 2 fields, the header 6 (got 'acme,hal')",
        "accounts.csv:11": "user_id: account of 'ada' stands in an earlier line",
        "accounts.csv:12": "mandate_id: is missing; balance: is missing",
        "transactions.jsonl:2": "event_id: 'history:1' stands in line 1 already",
        "transactions.jsonl:3": "event_id: 'history:1' stands in line 1 already",
        "transactions.jsonl:4": "id: is missing",
        "transactions.jsonl:5": "user_id is missing",
        "transactions.jsonl:6": "user_id: the account of 'nobody' in mandate 'acme' is neither in the accounts to be imported nor in the books",
        "transactions.jsonl:7": "transaction_type: 'CREDIT' is not DEBIT, which usage (WORKFLOW) always is",
        "transactions.jsonl:8": "price_chf: is not a field of an entry; its price is the amount",
        "transactions.jsonl:9": "amount is negative (got '-1'); occurred_at is not an RFC 3339 time",
        "transactions.jsonl:10": "occurred_at: '2999-01-01T00:00:00+00:00' is not between 1970 and now",
        "transactions.jsonl:11": "occurred_at: '0001-01-01T00:00:00+00:00' is not between 1970 and now",
        "transactions.jsonl:12": "created_by_user_id: 'bob' is not the entry's user",
        "transactions.jsonl:13": "user_id: is missing, and the pool of mandate 'acme' is neither",
        "transactions.jsonl:14": "reference_type: 'SWITCH' refers to other entries",
        "transactions.jsonl:15": "amount: '-1.000000000' is negative, which only an ADJUSTMENT may be",
        "transactions.jsonl:16": "transaction_type: 'DEBET' is none of 'CREDIT', 'DEBIT' or 'ADJUSTMENT'; amount: '0.1234567891' has more than nine",
        "transactions.jsonl:18": "id: '1' stands in line 17 already",
    }
    named = {":".join(problem.split(":")[:2]): problem for problem in problems}
    assert {place: problem for place, problem in expected.items() if problem not in named.get(place, "")} == {}
    assert named.keys() == expected.keys()
    assert all(not found for found in contents().values())


def test_a_wrong_header_does_not_stop_the_other_files(take: Take) -> None:
    """It is the first line's problem, and the lines of the other files are checked all the same."""
    done = take({"settings.csv": "mandate_id,colour\n", "accounts.csv": "mandate_id,balance\na,1\n", "transactions.jsonl": "{}\n"})
    problems = [str(problem) for problem in done.problems]
    assert problems[0].startswith("settings.csv:1: the header has 'colour', which is not a field of billing settings: accepted are billing_model, ")
    assert problems[1].startswith("accounts.csv:1: the header lacks user_id: accepted are ")
    assert problems[2].startswith("transactions.jsonl:1: id: is missing; mandate_id: is missing; ")
    assert len(problems) == done.problem_count == 3


def test_other_content_under_a_known_key_is_refused(take: Take, contents: Callable[[], Any]) -> None:
    """What was imported once can't be imported otherwise later: each such line is named, and the books stay as they are."""
    take()
    before = contents()
    changed = TRANSACTIONS.replace("SYSTEM,20", "SYSTEM,21").replace("WORKFLOW,7.5", "WORKFLOW,8.5").replace("-950", "-951")
    done = take({"accounts.csv": ACCOUNTS.replace("12.5", "13.5"), "transactions.csv": changed})
    assert [str(p).split(",")[0] for p in done.problems] == [
        "transactions.csv:3: event_id: 'e-1' is in the books with other content",
        "transactions.csv:2: id: '1' is in the books with other content",
        "transactions.csv:5: id: '4' is in the books with other content",
        f"accounts.csv:2: user_id: account of 'ada' was imported on {before['operation_keys'][0]['recorded_at']:%Y-%m-%d}",
    ]
    assert contents() == before


def test_chunks_are_invisible(take: Take, monkeypatch: pytest.MonkeyPatch, contents: Callable[[], Any], breaches: Breaches) -> None:
    """Two lines at a time give the same books; a line that comes again in a later chunk is named, and so is a new mandate's."""
    monkeypatch.setattr(importing_work, "CHUNK_LINES", 2)
    doubled = TRANSACTIONS + TRANSACTIONS.splitlines()[2] + "\n" + TRANSACTIONS.splitlines()[1] + "\n"
    done = take({"settings.csv": SETTINGS, "accounts.csv": ACCOUNTS + "acme,ada,12.5,,,\n", "transactions.csv": doubled})
    assert {str(p) for p in done.problems} == {
        "transactions.csv:6: event_id: 'e-1' stands in an earlier line",
        "transactions.csv:7: id: '1' stands in an earlier line",
        "accounts.csv:8: user_id: account of 'ada' stands in an earlier line",
    }
    assert all(not found for found in contents().values())
    assert take().good
    assert len(contents()["batches"]) == 2
    assert breaches() == {}


def test_an_interrupted_import_leaves_nothing_and_its_repetition_completes_it(
    take: Take, contents: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, breaches: Breaches
) -> None:
    """Wherever it breaks off, not a row is left; the same import then does all of it."""
    monkeypatch.setattr(importing_work, "CHUNK_LINES", 1)
    steps: list[int] = []
    take(dry_run=True, progress=steps.append)
    for last in range(1, len(steps)):
        calls = iter(range(last))

        def breaking(_: int, calls: Any = calls) -> None:
            if next(calls, None) is None:
                raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            take(progress=breaking)
        assert all(not found for found in contents().values())
    assert take().good
    assert breaches() == {}


def test_one_import_at_a_time(take: Take, connect: Callable[[], Database]) -> None:
    """A second import is told to wait for the first, and changes nothing."""
    with connect().transaction() as connection:
        assert begin_import(connection) is not None
        with pytest.raises(Conflict, match="another import of books is under way"):
            take()
    assert take().good


def test_usage_recorded_meanwhile_is_neither_lost_nor_doubled(
    take: Take, record: Record, connect: Callable[[], Database], put_mandate: PutMandate, balances: Balances, breaches: Breaches, rows: Rows
) -> None:
    """Workers that record for the mandate while its books come: every franc of both is there afterwards, and no grant on top."""
    put_mandate("acme", users=["ada"])
    accounts = lines({"mandate_id": "acme", "user_id": "ada", "balance": "100"})
    batches = [[event(price_chf="0.5") for _ in range(20)] for _ in range(3)]
    imports = partial(take, {"accounts.jsonl": accounts, "settings.jsonl": settings()})
    work: list[Callable[[], object]] = [partial(record, *batch, database=connect()) for batch in batches]
    at_once(imports, *work)
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": 60}]
    assert balances() == {("acme", "ada"): Decimal(70)}
    assert breaches() == {}


def test_a_due_grant_is_judged_by_the_balance_that_was_read(database: Database, record: Record, put_mandate: PutMandate, rows: Rows) -> None:
    """What has lifted the balance to the bound meanwhile holds up neither this grant nor those of the same page."""
    put_mandate("acme")
    record(event(user_id="ada", price_chf="0"), event(user_id="bob", price_chf="0"))
    due = [DueGrant(row["id"], "acme", Decimal(0)) for row in rows("SELECT id FROM accounts WHERE grant_due ORDER BY id")]
    rows(f"UPDATE accounts SET balance = {AMOUNT_MAX} WHERE user_id = 'ada'")
    with database.transaction() as connection:
        assert make_due_grants(connection, due, {"acme": load_settings(connection, ["acme"])[0]["acme"]}) == (2, [])
    assert rows("SELECT balance - 10 AS before FROM accounts ORDER BY id") == [{"before": AMOUNT_MAX}, {"before": 0}]


def test_a_grant_made_at_the_same_moment_is_no_extra(
    take: Take, record: Record, connect: Callable[[], Database], put_mandate: PutMandate, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """An import waits for whoever is just making an account's grant, and counts it in; once it is through, nobody can make one."""
    put_mandate("acme")
    record(event(user_id="ada", price_chf="0"), event(user_id="bob", price_chf="0"))
    ids = {row["user_id"]: row["id"] for row in rows("SELECT user_id, id FROM accounts WHERE grant_due")}
    accounts = lines(*({"mandate_id": "acme", "user_id": user, "balance": "50"} for user in ids))
    other = connect()
    with ThreadPoolExecutor(1) as threads:
        with other.transaction() as connection:
            own = load_settings(connection, ["acme"])[0]["acme"]
            assert make_due_grants(connection, [DueGrant(ids["ada"], "acme", Decimal(0))], {"acme": own}) == (1, [])
            waiting = threads.submit(take, {"accounts.jsonl": accounts})
            deadline = time.monotonic() + 10
            while not rows("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"):
                assert time.monotonic() < deadline
        assert waiting.result(10).good
    with other.transaction() as connection:
        due = [DueGrant(account_id, "acme", Decimal(0)) for account_id in sorted(ids.values())]
        assert make_due_grants(connection, due, {"acme": own}) == (0, [])
    assert balances() == {("acme", "ada"): Decimal(50), ("acme", "bob"): Decimal(50)}
    assert breaches() == {}


def test_a_balance_beyond_the_books_is_refused(take: Take, record: Record, put_mandate: PutMandate, contents: Callable[[], Any]) -> None:
    """Where usage here and the opening balance together are more than the books can hold, the line is named, and nothing is imported."""
    put_mandate("acme")
    record(event(price_chf="1"))
    before = contents()
    (problem,) = take({"accounts.jsonl": lines({"mandate_id": "acme", "user_id": "ada", "balance": "-10000000000"})}).problems
    assert (problem.file, problem.line) == ("accounts.jsonl", 1)
    assert problem.problem.startswith("balance: would take account ")
    assert "from -1.000000000 to -10000000001.000000000 CHF, beyond what the books can hold" in problem.problem
    assert contents() == before


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "has none of settings, accounts, transactions, each .csv or .jsonl"),
        (["settings.csv", "settings.jsonl"], "settings.csv and settings.jsonl are both there: leave one"),
        (["settings.csv", "transaction.csv"], "'transaction.csv' is none of settings, accounts, transactions"),
    ],
)
def test_a_folder_that_can_not_be_meant_is_refused(take: Take, names: list[str], problem: str) -> None:
    """A file that would silently be left out, or one thing twice, is an error before anything is read."""
    with pytest.raises(RequestRefused, match=problem):
        take(dict.fromkeys([*names, "README.md"], ""))


def test_who_imports_is_checked(take: Take) -> None:
    """A name with control characters is refused."""
    with pytest.raises(RequestRefused, match="has a control character"):
        take(by="ol\x1bga")


def test_old_usage_is_in_the_statistics_as_unbilled(take: Take, rows: Rows, breaches: Breaches) -> None:
    """What a rollup makes of the history is its cost and its tokens, and a billed cost of 0."""
    take()
    rows("DELETE FROM rollup_pending")
    for period in ("DAY", "MONTH", "YEAR"):
        rows(ROLL_UP, period=period)
    assert breaches() == {}
    found = rows("SELECT provider, event_count, cost, billed_cost, input_tokens FROM usage_statistics WHERE period_type = 'YEAR' ORDER BY provider")
    assert [tuple(row.values()) for row in found] == [
        ("anthropic", 1, Decimal("7.5"), Decimal(0), 100),
        ("unknown", 1, Decimal(0), Decimal(0), 0),
    ]


GRANT_ON_TOP = """
    WITH lifted AS (UPDATE accounts SET balance = balance + 5 WHERE user_id = 'ada' RETURNING *)
    INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              occurred_at, local_date, settings_version)
    SELECT mandate_id, id, id, 'CREDIT', 5, 'SYSTEM', 'Grant', now(), (now() AT TIME ZONE 'Pacific/Auckland')::date, 1 FROM lifted
"""


@pytest.mark.parametrize(
    ("invariant", "tampering"),
    [
        ("I14", GRANT_ON_TOP),
        ("I14", "UPDATE accounts SET grant_due = true WHERE user_id = 'ada'"),
        ("I14", "DELETE FROM operation_keys WHERE operation = 'grant'"),
        ("I13", "UPDATE transactions SET balance_account_id = account_id WHERE event_id = 'e-1'"),
        ("I13", "UPDATE batches SET kind = 'usage'"),
        ("I15", "DELETE FROM balance_alerts WHERE kind = 'ZERO'"),
        ("I3", "DELETE FROM transactions WHERE operation_key = 'opening:acme:ada'"),
        ("I1", "DELETE FROM event_keys WHERE event_id = 'history:3'"),
    ],
)
def test_what_breaks_imported_books_is_reported(take: Take, rows: Rows, breaches: Breaches, invariant: str, tampering: str) -> None:
    """A grant on top of an opening, history that paid, and entries without their keys each show under their number."""
    take()
    rows(tampering)
    assert invariant in breaches()


def test_books_that_differ_are_not_committed(take: Take, rows: Rows, contents: Callable[[], Any]) -> None:
    """Where the books don't hold what the files say, here since somebody took an opening entry away, the import is not good."""
    take()
    rows("DELETE FROM transactions WHERE operation_key = 'opening:acme:ada'")
    before = contents()
    done = take()
    assert (done.good, done.problem_count) == (False, 0)
    assert [(t.mandate_id, t.balance_in_books - t.balance) for t in done.totals if not t.equal] == [("acme", Decimal("-12.5"))]
    assert contents() == before
