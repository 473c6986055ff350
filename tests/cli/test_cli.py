"""The commands: what they print for people and for programs, and how they end."""

import base64
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cli.main import COMMANDS, main
from core.billing import BillingModel
from core.config import configuration
from core.database.database import Database
from core.directory.sql.mirror import User, put_users
from core.schema.revision import head
from lab import services
from lab.postgres import PostgresServer
from tests.conftest import DatabaseUrls, Record, Rows, own_database
from tests.directory.source import ApplicationDatabase
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as the one JSON document that it is."""
        assert all("log" in json.loads(line) for line in self.err.splitlines())
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Runs a command in this process, on the test's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_urls.worker)
    monkeypatch.setenv("DATABASE_OWNER_URL", database_urls.owner)
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("COLUMNS", "240")

    def call(*arguments: str) -> Ended:
        configuration.cache_clear()
        capsys.readouterr()  # what the scene's own work has logged is none of the command's
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(int(caught.value.code or 0), captured.out, captured.err)

    configuration.cache_clear()
    yield call
    configuration.cache_clear()


def test_help_names_every_command_without_loading_them() -> None:
    """`tollbook --help` imports neither the database library nor pydantic, and lists every command."""
    script = (
        "import sys\nfrom cli.main import main\ntry:\n    main(['--help'])\nfinally:\n"
        "    print(sorted({'sqlalchemy', 'pydantic', 'celery'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0
    assert done.stdout.endswith("[]\n")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    "command",
    [
        "services", "db", "db upgrade", "db check", "settings show", "settings list", "settings update", "settings history",
        "settings create", "settings get-or-create", "check", "accounts list", "accounts show", "balance", "transactions",
        "deadletters list", "deadletters show", "deadletters replay", "deadletters discard", "deadletters accept", "parked list",
        "parked release", "alerts", "alerts withhold", "amend", "batches", "directory import", "import books", "verify",
        "directory sync", "backfill settings", "backfill accounts", "jobs", "reconcile", "findings", "repair",
        "twins", "topup", "adjust", "refund", "switch", "stats", "balances user", "balances mandates", "balances users",
        "rollup run", "rollup rebuild", "rollup status", "export transactions", "export statistics",
        "accounts open", "accounts enable", "accounts disable", "accounts credit-limit", "erase", "db adopt",
    ],
)  # fmt: skip
def test_every_command_has_help(run: Run, command: str) -> None:
    """Help tells what the command does; every command of the books has an example."""
    ended = run(*command.split(), "--help")
    assert ended.code == 0
    assert f"Usage: tollbook {command}" in ended.out
    assert "Example: tollbook " in ended.out or command in ("services", "db")


@pytest.mark.parametrize(
    "command",
    [
        "nonsense", "settings update acme", "transactions --movements", "balance acme --as nobody",
        "transactions --account 1 --mandate acme", "batches --limit 0", "directory import",
        "import books",
        "transactions --mandate acme --before yesterday", "transactions --mandate acme --before 2026-01-01T00:00:00,1", "accounts show ada",
        "deadletters list --reason nonsense", "deadletters discard", "deadletters accept", "amend", "amend --key k", "alerts --since now",
        "parked list --mandate acme --per-mandate", "directory import --users /nowhere/users.csv",
        "topup acme 5", "adjust acme -5 --key k", "adjust acme -5 --key k --reason r --colour red", "refund acme last --key k", "switch acme",
        "switch acme FREE", "accounts disable acme", "accounts credit-limit acme --key k", "balance acme --at someday",
        "balance acme --at 2026-01-01T12:00:00", "repair", "repair --key k", "repair --reason r", "findings --limit 0",
        "export transactions --format xls", "export transactions --json",
        "export transactions --from someday", "export statistics --by week", "export statistics --columns theirs",
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(run: Run, command: str) -> None:
    """What can't be understood ends with exit code 2 and says why on standard error."""
    ended = run(*command.split())
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err or json.loads(ended.err)["error"]["kind"] == "usage"


def test_an_error_is_one_line_on_standard_error(run: Run) -> None:
    """A failure ends with the exit code of its kind, one line, and no control character of whatever was asked for."""
    ended = run("balance", "ac\x1b[2Jme\nx")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "error: mandate 'ac\\x1b[2Jme\\nx' has no billing settings, and the directory does not know it\n"


def test_an_interrupted_command_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no failure of the program's own."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("core.schema.migrate.check", interrupted)
    assert run("db", "check").code == 130


def test_without_a_database_the_error_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No URL and no embedded server: the line names the variable and the command that helps."""
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(services, "running", lambda _: None)
    ended = run("batches")
    assert ended.code == 78
    assert ended.err.startswith("error: DATABASE_URL is not set")
    assert "tollbook services up" in ended.err


def test_running_embedded_servers_are_found(run: Run, monkeypatch: pytest.MonkeyPatch, database_urls: DatabaseUrls) -> None:
    """Where the environment names no database, that of the embedded servers is used and put into the environment."""
    found = services.Services(database_urls.worker, database_urls.owner, "redis://127.0.0.1:1/0", Path("/nowhere"), None, None)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(services, "running", lambda _: found)
    assert run("batches", "--json").json == []


def test_the_tables_are_upgraded_and_checked(run: Run, monkeypatch: pytest.MonkeyPatch, empty_database_urls: DatabaseUrls) -> None:
    """`db check` fails on an empty database, `db upgrade` makes the tables, again without harm, and then the check is content."""
    monkeypatch.setenv("DATABASE_URL", empty_database_urls.worker)
    monkeypatch.setenv("DATABASE_OWNER_URL", empty_database_urls.owner)
    assert run("db", "check").code == 1
    assert run("batches").err == f"error: the database is at revision none, this program needs {head()}: run `tollbook db upgrade`\n"
    assert run("db", "upgrade").out == f"upgraded: empty database -> {head()}\n"
    assert run("db", "upgrade").out == f"up to date: revision {head()}\n"
    assert run("db", "check", "--json").json == {"ok": True, "differences": []}


def test_settings_are_shown_and_changed(run: Run, put_mandate: PutMandate) -> None:
    """`settings update` makes the defaults where there are none, changes them, and refuses by field and value."""
    put_mandate()
    changed = run(
        "settings", "update", "acme", "--default-user-credit", "2.5", "--no-notify-on-warning", "--city", "Bern", "--by", "ops", "--json"
    ).json
    assert (changed["default_user_credit"], changed["notify_on_warning"], changed["billing_address"]) == ("2.500000000", False, {"city": "Bern"})
    assert changed["version"] == 2
    assert run("settings", "update", "acme", "--city", "", "--json").json["billing_address"] == {}
    assert "Europe/Zurich" in run("settings", "update", "acme", "--time-zone", "Europe/Zurich").out
    assert run("settings", "show", "acme", "--json").json["version"] == 4
    assert [s["mandate_id"] for s in run("settings", "list", "--json").json] == ["acme"]
    assert "acme's name" in run("settings", "list").out
    assert (
        "expected_version: mandate 'acme' has settings version 4, not 1"
        in run("settings", "update", "acme", "--country", "CH", "--expected-version", "1").err
    )


def test_wrong_settings_are_told_by_option(run: Run, put_settings: PutSettings) -> None:
    """The refusal names each option, its value and what it should have been, in one line."""
    put_settings()
    refused = run("settings", "update", "acme", "--default-user-credit", "abc", "--city", "a\x07", "--notification-email", "nobody", "--by", "x\ny")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "error: --default-user-credit: 'abc' is not an amount in CHF with at most nine decimal places;"
        " --notification-email: 'nobody' is not an e-mail address of at most 254 characters;"
        " --city: 'a\\x07' is not a line of at most 128 characters without control characters;"
        " --by: 'x\\ny' is not a name of at most 128 characters without control characters\n"
    )
    assert run("settings", "show", "acme", "--json").json["version"] == 1


def test_a_list_of_addresses_can_be_emptied(run: Run, put_settings: PutSettings) -> None:
    """`--notification-email ''` leaves nobody, and a billing model is understood in any case of letters."""
    put_settings()
    named = run("settings", "update", "acme", "--notification-email", "a@b.example", "--notification-email", "c@d.example", "--json")
    assert named.json["notification_emails"] == ["a@b.example", "c@d.example"]
    emptied = run("settings", "update", "acme", "--notification-email", "", "--billing-model", "unlimited", "--json").json
    assert (emptied["notification_emails"], emptied["billing_model"]) == ([], "UNLIMITED")


def test_help_tells_what_new_settings_are_and_what_nothing_acts_on(run: Run) -> None:
    """An operator sees the defaults."""
    text = " ".join(run("settings", "update", "--help").out.split())
    assert "New settings: PREPAY_USER." in text
    assert "nothing acts on it yet" not in text


@pytest.mark.parametrize("columns", ["80", "120", "240"])
def test_values_are_never_broken_over_lines(
    run: Run, monkeypatch: pytest.MonkeyPatch, record: Record, put_settings: PutSettings, put_account: PutAccount, columns: str
) -> None:
    """Amounts, times, ids and values of closed lists stand in one piece whatever the terminal's width; times are UTC, amounts CHF."""
    monkeypatch.setenv("COLUMNS", columns)
    mandate, user, event_id = "mandate-" + "m" * 50, "user-" + "u" * 50, "event-" + "e" * 100
    put_settings(mandate, users=[user])
    account = put_account(user, "1234567890.123456789", mandate_id=mandate)
    given = event(mandate_id=mandate, user_id=user, event_id=event_id, occurred_at="2026-01-31T12:00:00.123456+01:00", description="word " * 40)
    clock = partial(datetime.fromisoformat, "2026-01-31T12:00:00Z")
    record(given, {**given, "price_chf": "7"}, event(mandate_id="strange", event_id=event_id, occurred_at=given["occurred_at"]), clock=clock)
    listed = run("transactions", "--mandate", mandate).out
    for value in ("recorded (UTC)", "amount CHF", mandate, user, event_id, "2026-01-31 11:00:00 ", "WORKFLOW", "0.250000000"):
        assert value in listed
    assert "+00:00" not in listed
    for command in (("accounts", "list", mandate), ("accounts", "show", str(account)), ("balance", mandate, user)):
        assert {mandate, user} & set(run(*command).out.split())
        assert "1234567889.873456789" in run(*command).out
    assert "balance CHF" in run("balance", mandate).out
    letters = run("deadletters", "list").out
    assert event_id in letters
    assert "conflict" in letters
    (letter,) = run("deadletters", "list", "--json").json
    assert event_id in run("deadletters", "show", str(letter["id"])).out
    assert event_id in run("parked", "list").out
    assert mandate in run("settings", "list").out
    assert mandate in run("settings", "show", mandate).out


def test_free_text_folds(run: Run, monkeypatch: pytest.MonkeyPatch, record: Record, put_settings: PutSettings) -> None:
    """On a narrow terminal a long description takes several lines instead of one long one."""
    monkeypatch.setattr("cli.output.tables.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    put_settings()
    record(event(description="word " * 60))
    assert max(map(len, run("transactions", "--mandate", "acme").out.splitlines())) <= 80


def test_nothing_found_is_said(run: Run, put_mandate: PutMandate) -> None:
    """An empty table is `no rows` on standard error, and why; in JSON it is an empty list."""
    put_mandate()
    commands = ("batches", "parked list", "deadletters list", "settings list", "accounts list acme")
    for command in (*commands, "transactions --mandate acme"):
        ended = run(*command.split())
        assert (ended.code, ended.out, ended.err.startswith("no rows")) == (0, "", True)
        assert run(*command.split(), "--json").json == []
    unknown = run("parked", "list", "--mandate", "nobody")
    assert unknown.err == "warning: mandate 'nobody' is not known yet\nno rows: nothing matches --mandate\n"
    assert run("transactions", "--mandate", "acme", "--month", "2026-01").err == "no rows: nothing matches --mandate, --month\n"
    assert run("batches", "--before", "1").err == "no further rows\n"


@pytest.mark.parametrize("command", ["accounts list nobody", "transactions --mandate nobody", "transactions --account 4711", "accounts show 4711"])
def test_what_does_not_exist_is_an_error(run: Run, command: str) -> None:
    """A mandate or account that isn't there ends with 4 and is named, instead of an empty list."""
    ended = run(*command.split())
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith("error: there is no ")


def test_the_version_is_printed(run: Run) -> None:
    """`--version` tells the installed version."""
    assert run("--version").out == f"tollbook {version('tollbook')}\n"


def test_a_dead_letter_is_shown_to_people(run: Run, record: Record, put_settings: PutSettings) -> None:
    """The difference reads as recorded and sent, a long body is cut and says so, and reasons are understood in any case of letters."""
    put_settings()
    first = event(price_chf="1.5")
    record(first, {**first, "price_chf": "1.6"}, b"x" * 300_000)
    (conflict,) = run("deadletters", "list", "--mandate", "acme", "--reason", "CONFLICT", "--status", "open", "--json").json
    shown = run("deadletters", "show", str(conflict["id"])).out
    assert "price_chf: recorded 1.500000000, sent 1.600000000\n" in shown
    assert f"body ({conflict['body_length']} bytes):\n{{" in shown
    (long,) = [d for d in run("deadletters", "list", "--json").json if d["id"] != conflict["id"]]
    shown = run("deadletters", "show", str(long["id"])).out
    assert "body (first 262144 of 300000 bytes; only its first 4000 characters are shown" in shown
    assert shown.count("x" * 4000) == 1
    assert shown.splitlines()[-1] == "x" * 4000
    whole = run("deadletters", "show", str(long["id"]), "--json").json
    assert (whole["body_truncated"], whole["body_sha256"]) == (True, hashlib.sha256(b"x" * 300_000).hexdigest())
    assert len(base64.b64decode(whole["body"])) == 262_144


def test_balances_accounts_and_transactions_are_shown(run: Run, record: Record, put_settings: PutSettings) -> None:
    """Amounts are exact, decimals are strings in JSON, and a page ends with where the next one begins."""
    put_settings(users=["ada"])
    record(event(price_chf="0.000000001"), event(price_chf="3"))
    assert run("balance", "acme", "ada", "--json").json["balance"] == "6.999999999"
    assert "6.999999999" in run("balance", "acme").out
    (account,) = run("accounts", "list", "acme", "--json").json
    assert account == run("accounts", "show", str(account["id"]), "--json").json
    assert "6.999999999" in run("accounts", "list", "acme").out + run("accounts", "show", str(account["id"])).out
    everything = run("transactions", "--mandate", "acme", "--json").json
    assert len(everything) == 3
    assert run("transactions", "--account", str(account["id"]), "--json").json == everything
    assert run("transactions", "--user", "ada", "--json").json == everything
    page = run("transactions", "--mandate", "acme", "--limit", "2").out
    cursor = page.splitlines()[-1].removeprefix("next page: --before ")
    assert run("transactions", "--mandate", "acme", "--before", cursor, "--json").json == everything[2:]


def test_balances_are_moved(run: Run, record: Record, put_settings: PutSettings) -> None:
    """Payments, adjustments either way and refunds, each once per key; people see the entry, programs every field."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    ada = ("--user", "ada")
    assert run("topup", "acme", "20.5", *ada, "--key", "p", "--json").json["balance"] == "27.500000000"
    adjusted = ("adjust", "acme", "-2.25", *ada, "--reason", "agreed", "--key", "t", "--by", "olga")
    assert "25.250000000" in run(*adjusted).out
    again = run(*adjusted, "--json").json
    assert (again["amount"], again["balance"], again["repeated"]) == ("-2.250000000", "25.250000000", True)
    usage = next(t for t in run("transactions", "--mandate", "acme", "--json").json if t["reference_type"] == "WORKFLOW")
    assert f" {usage['id']} " in run("transactions", "--mandate", "acme").out
    part = run("refund", "acme", str(usage["id"]), "--amount", "1", "--key", "r", "--json").json
    assert (part["amount"], part["balance"], part["refundable"]) == ("1.000000000", "26.250000000", "2.000000000")
    assert run("refund", "acme", str(usage["id"]), "--key", "whole", "--json").json["amount"] == "2.000000000"
    refused = run("refund", "acme", str(usage["id"]), "--key", "more")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"error: amount: nothing is left to refund of transaction {usage['id']}, 3.000000000 of 3.000000000 CHF are refunded\n"
    assert run("adjust", "acme", "1", "--reason", "r", "--key", "k").err.startswith("error: mandate 'acme' has no pool yet: `tollbook backfill")
    assert run("adjust", "acme", "0", *ada, "--reason", "r", "--key", "k").err == "error: amount: '0' is 0, which moves nothing\n"
    assert "refund" in run("batches").out


def test_accounts_are_disabled_and_limited(run: Run, record: Record, put_settings: PutSettings) -> None:
    """A user's account by its user, the pool without one; a limit in CHF or `none`."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    record(event(price_chf="3"))
    assert run("accounts", "disable", "acme", "--user", "ada", "--key", "a", "--json").json["enabled"] is False
    assert run("accounts", "disable", "acme", "--key", "b", "--json").json["changed"] is True
    assert [a["enabled"] for a in run("accounts", "list", "acme", "--json").json] == [False, False]
    assert "enabled" in run("accounts", "enable", "acme", "--key", "c").out
    assert [a["enabled"] for a in run("accounts", "list", "acme", "--json").json] == [True, False]
    limited = run("accounts", "credit-limit", "acme", "2.5", "--key", "l", "--json").json
    assert (limited["old_credit_limit"], limited["credit_limit"], limited["balance"]) == (None, "2.500000000", "-3.000000000")
    assert run("accounts", "credit-limit", "acme", "none", "--key", "m", "--json").json["credit_limit"] is None
    assert run("accounts", "credit-limit", "acme", "much", "--key", "n").err == "error: credit_limit: 'much' is not a plain decimal number\n"
    assert run("accounts", "disable", "acme", "--user", "eve", "--key", "d").err.startswith("error: mandate 'acme' has no account of user 'eve': ")


def test_a_billing_model_is_switched(run: Run, record: Record, put_settings: PutSettings) -> None:
    """A dry run shows who would get what; the switch does it; to the same model, or under its key again, nothing happens."""
    put_settings(users=["ada", "bob"])
    record(event(price_chf="3"))
    planned = run("switch", "acme", "prepay_mandate", "--dry-run")
    for text in ("new", "the pool", "ada", "-7.000000000", "7.000000000", "dry run: nothing was changed"):
        assert text in planned.out
    legs = run("switch", "acme", "PREPAY_MANDATE", "--dry-run", "--json").json["legs"]
    assert [(leg["user_id"], leg["amount"]) for leg in legs] == [("ada", "-7.000000000"), (None, "7.000000000")]
    assert run("settings", "show", "acme", "--json").json["version"] == 1
    first = run("switch", "acme", "PREPAY_MANDATE", "--json").json
    assert (first["migrated_amount"], first["leg_count"], first["repeated"]) == ("7.000000000", 2, False)
    assert run("switch", "acme", "PREPAY_MANDATE", "--json").json["leg_count"] == 0
    assert run("switch", "acme", "PREPAY_MANDATE", "--expected-version", "1", "--json").json == {**first, "repeated": True}
    assert "POOL_NOT_POSITIVE" not in run("switch", "acme", "UNLIMITED").out
    stale = run("switch", "acme", "PREPAY_USER", "--expected-version", "2")
    assert stale.err == "error: expected_version: mandate 'acme' has settings version 3, not 2: read them again\n"
    assert run("switch", "acme", "PREPAY_USER", "--key", "k", "--json").json["migrated_amount"] == "7.000000000"
    assert "the directory does not know it" in run("switch", "nobody", "UNLIMITED").err


def test_an_earlier_balance_is_shown(run: Run, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """As of the end of a day, or of a moment, with the model of that time."""
    put_settings(users=["ada"])
    rows("UPDATE billing_settings_history SET changed_at = '2026-01-01T00:00:00Z'")
    record(event(price_chf="3"))
    rows("UPDATE transactions SET recorded_at = '2026-01-31T23:00:00Z' WHERE reference_type = 'SYSTEM'")
    assert run("balance", "acme", "ada", "--at", "2026-01-31", "--json").json == {
        "mandate_id": "acme",
        "user_id": "ada",
        "billing_model": "PREPAY_USER",
        "account_id": 1,
        "balance": "10.000000000",
        "moment": "2026-02-01T00:00:00+00:00",
    }
    assert "0.000000000" in run("balance", "acme", "ada", "--at", "2026-01-31T23:00:00+00:00").out
    assert run("balance", "acme", "--at", "9999-12-31").err == "error: at: 9999-12-31 is too far ahead\n"
    assert run("balance", "acme", "--at", "2025-12-31").err == "error: mandate 'acme' had no billing settings yet at 2025-12-31\n"


def test_batches_and_parked_events_are_shown(run: Run, record: Record) -> None:
    """What recording committed, and what waits for its mandate."""
    record(event(mandate_id="strange"))
    (batch,) = run("batches", "--json").json
    assert (batch["parked"], batch["worker"]) == (1, "test")
    assert "test" in run("batches").out
    assert run("parked", "list", "--per-mandate", "--json").json[0]["events"] == 1
    assert [p["mandate_id"] for p in run("parked", "list", "--json").json] == ["strange"]
    assert "unknown_mandate" in run("parked", "list").out
    assert "strange" in run("parked", "list", "--per-mandate").out


def test_hostile_text_can_not_reach_the_terminal(run: Run, record: Record, owner_database: Database, put_settings: PutSettings) -> None:
    """Names and bytes that carry control sequences, bidirectional marks or markup are shown as what they are."""
    put_settings(users=["ada"])
    with owner_database.transaction() as connection:
        put_users(connection, [User("ada", None, "[red]A\x1b]0;owned\x07\u202eda\x9b31m")])
    body = b'{"a": "\x1b[2J\xff\xc2\x9b[bold]x"}'
    record(event(), body)
    shown = run("accounts", "list", "acme").out + run("transactions", "--mandate", "acme").out
    (letter,) = run("deadletters", "list", "--json").json
    shown += run("deadletters", "list").out + run("deadletters", "show", str(letter["id"])).out
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)
    assert "[red]A\\x1b]0;owned\\x07\\u202eda\\x9b31m" in shown
    assert '{"a": "\\x1b[2J\\xff\\x9b[bold]x"}\n' in shown
    whole = run("deadletters", "show", str(letter["id"]), "--json")
    assert base64.b64decode(whole.json["body"]) == body
    assert whole.out.isascii()
    assert run("deadletters", "list", "--status", "DISCARDED", "--json").json == []


def test_an_import_records_what_was_parked(run: Run, record: Record, rows: Rows, tmp_path: Path) -> None:
    """Good rows are imported and release their parked events, bad ones are named and make the exit code 1."""
    record(event(), event())
    (tmp_path / "mandates.csv").write_text("id,name,label,time_zone\nacme,Acme,,UTC\n")
    (tmp_path / "memberships.csv").write_text("user_id,mandate_id,enabled\nada,acme,yes\nbob,acme,perhaps\n")
    (tmp_path / "users.csv").write_text("id,username,display_name\nada,ada.l,Ada\n")
    ended = run("directory", "import", "--mandates", "mandates.csv", "--memberships", "memberships.csv", "--users", "users.csv")
    assert ended.code == 1
    assert ended.err == "refused: memberships.csv:3: enabled is not true, false, 1, 0, yes or no (got 'perhaps')\n"
    assert ended.out == "imported: 1 mandate, 1 membership, 1 user; refused: 1 row\nparked events: recorded 2\n"
    assert rows("SELECT balance::text FROM accounts") == [{"balance": "9.500000000"}]
    again = run("directory", "import", "--users", "users.csv", "--json")
    assert again.code == 0
    assert again.json["imported"] == {"mandates": 0, "memberships": 0, "users": 1}
    assert again.json["released"]["recorded"] == 0
    (tmp_path / "wrong.csv").write_text("id,colour\n")
    assert "unknown column 'colour'" in run("directory", "import", "--users", "wrong.csv").err


def test_a_file_may_come_by_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, rows: Rows, tmp_path: Path) -> None:
    """`-` is what standard input has, for one file of a command, which is told where a row of it is wrong; nothing of it stays on the disk."""
    (tmp_path / "users.csv").write_text("id,username,display_name\nada,ada.l,Ada\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def given(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    given("id,name,label,time_zone,enabled\nacme,Zürich AG,,UTC,\nbad,Bad,,UTC,perhaps\n")
    ended = run("directory", "import", "--mandates", "-", "--users", "users.csv")
    assert (ended.code, ended.out.splitlines()[0]) == (1, "imported: 1 mandate, 0 memberships, 1 user; refused: 1 row")
    assert "standard-input:3: enabled is not true" in ended.err
    assert rows("SELECT name FROM directory_mandates") == [{"name": "Zürich AG"}]
    given("date,currency,rate\n2026-01-05,USD,0.8\n")
    assert run("prices", "fx", "import", "-").code == 0
    given("id\n")
    twice = run("directory", "import", "--mandates", "-", "--users", "-")
    assert (twice.code, "name it once" in twice.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["users.csv"]


def test_verify_tells_whether_the_books_are_in_order(run: Run, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """In order: `verify: ok` and exit code 0; tampered with: the invariant, what breaks it, and exit code 1."""
    put_settings(model=BillingModel.PREPAY_MANDATE)
    record(event())
    assert run("verify").out.endswith("verify: ok\n")
    rows("UPDATE accounts SET balance = 5 WHERE user_id IS NULL")
    ended = run("verify", "--json")
    assert ended.code == 1
    assert not ended.json["ok"]
    assert [v["invariant"] for v in ended.json["invariants"] if v["violations"]] == ["I3", "I15"]
    people = run("verify")
    assert people.code == 1
    assert "I3: account " in people.out
    assert people.out.endswith("verify: 2 violations\n")


def test_a_check_ends_with_its_answer(run: Run, put_mandate: PutMandate) -> None:
    """Exit code 0 where the call may be made, 3 where it may not, 1 for a wrong question; the answer is printed either way."""
    put_mandate(users=["ada"])
    allowed, refused = run("check", "acme", "ada", "--cost", "10", "--json"), run("check", "acme", "ada", "--cost", "10.01", "--json")
    assert (allowed.code, allowed.json["allowed"], allowed.json["reason"]) == (0, True, None)
    assert (refused.code, refused.json["allowed"], refused.json["reason"]) == (3, False, "INSUFFICIENT_BALANCE")
    assert refused.json["current_balance"] == "10.000000000"
    assert "INSUFFICIENT_BALANCE" in run("check", "acme", "ada", "--cost", "11").out
    wrong = run("check", "acme", "ada", "--cost", "-1")
    assert (wrong.code, wrong.err) == (1, "error: estimated_cost: '-1' is negative\n")


def test_settings_are_created_and_looked_back_at(run: Run, put_mandate: PutMandate) -> None:
    """`settings create` refuses a second time, `get-or-create` shows them, `history` tells who changed what."""
    put_mandate()
    made = run("settings", "create", "acme", "--billing-model", "UNLIMITED", "--city", "Bern", "--by", "olga", "--json").json
    assert (made["billing_model"], made["billing_address"], made["version"]) == ("UNLIMITED", {"city": "Bern"}, 1)
    assert "has billing settings already, version 1: update them" in run("settings", "create", "acme").err
    assert run("settings", "get-or-create", "acme", "--billing-model", "PREPAY_USER", "--json").json == made
    run("settings", "update", "acme", "--city", "Basel", "--by", "oleg")
    newest, first = run("settings", "history", "acme", "--json").json
    assert (newest["changed_by"], newest["changes"]) == ("oleg", {"billing_address.city": ["Bern", "Basel"]})
    assert first["changes"]["billing_address.city"] == [None, "Bern"]
    table = run("settings", "history", "acme").out
    assert all(word in table for word in ("oleg", "olga", "billing_address.city", "Bern", "Basel"))


def test_directory_sync_backfills_and_their_runs(run: Run, record: Record, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`directory sync` takes over the application's database and records what was parked; `jobs` shows its runs and the backfills'."""
    ended = run("directory", "sync")
    assert (ended.code, ended.err) == (78, "error: DIRECTORY_URL is not set: name the application's database, or use `tollbook directory import`\n")
    with own_database(postgres, "template1") as urls:
        monkeypatch.setenv("DIRECTORY_URL", urls.owner)
        source = ApplicationDatabase(urls.owner)
        source.put_mandate("acme", users=[f"user-{n}" for n in range(20)])
        record(event(user_id="user-1"))
        ended = run("directory", "sync")
        assert (ended.code, "memberships_changed" in ended.out, ended.out.splitlines()[-1]) == (0, True, "parked events: recorded 1")
        source.put_mandate("beta")
        assert run("directory", "sync", "--json").json["synchronised"]["mandates_changed"] == 1
        source.run("DELETE FROM user_mandates")
        refused = run("directory", "sync")
        assert refused.code == 1
        assert "would disable 20 of 20 enabled memberships" in refused.err
        assert run("directory", "sync", "--confirm", "--json").json["synchronised"]["memberships_disabled"] == 20
    assert run("backfill", "settings", "--json").json == {"settings": 1}
    assert "grants_due" in run("backfill", "accounts").out
    runs = run("jobs", "--json").json
    assert [one["job"] for one in runs] == ["accounts.backfill", "settings.backfill"] + ["directory.sync"] * 4
    assert [one["error"] is None for one in runs] == [True, True, True, False, True, True]
    assert len(run("jobs", "--job", "directory.sync", "--limit", "2", "--json").json) == 2
    assert "20 of 20" in run("jobs").out


def test_erasing_a_person_counts_first(run: Run, record: Record, put_mandate: PutMandate) -> None:
    """A dry run shows the numbers and changes nothing; whoever is unknown is an error."""
    put_mandate(users=["ada"])
    record(event(), event(event_id="described", description="a letter to Ada"))
    asked = ("erase", "ada", "--reason", "asked for", "--json")
    assert run(*asked, "--dry-run").json["descriptions"] == 1
    assert run(*asked).json == {"user_id": "ada", "dry_run": False, "names": 0, "descriptions": 1, "letters": 0} | dict.fromkeys(
        ("open_letters_left", "parked_events_left"), 0
    )
    assert "descriptions" in run("erase", "ada", "--reason", "again").out
    assert run("erase", "nobody", "--reason", "x").err == "error: user_id: nothing is known of 'nobody'\n"
