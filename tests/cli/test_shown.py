"""How answers are shown: tables that fit, plain ones in a pipe, JSON and CSV, and what is told on standard error."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len

from cli.main import main
from cli.output import exits
from cli.output.fitting import Column, fit
from cli.output.show import Listing
from cli.output.tables import places, print_table
from cli.output.text import age_text
from tests.cli.test_cli import Run, run
from tests.cli.test_every_command import MODULES, listings
from tests.conftest import DatabaseUrls, Record
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings

__all__ = ["run"]
ROOT = Path(__file__).parents[2]
LONG = "a1b2c3d4-e5f6-7890-abcd-ef0123456789-a1b2c3d4-e5f6-7890-abcd-ef0123456789"
Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def at_terminal(database_urls: DatabaseUrls) -> Shell:
    """Runs a command at a terminal of so many columns, at which something is typed; its exit code and what stood there."""

    def call(*arguments: str, columns: int = 80, typed: str = "") -> tuple[int, str]:
        owner, member = pty.openpty()
        termios.tcsetwinsize(member, (40, columns))
        variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        urls = {"DATABASE_URL": database_urls.worker, "DATABASE_OWNER_URL": database_urls.owner, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
        command = [sys.executable, "-m", "cli.main", *arguments]
        with subprocess.Popen(command, cwd=ROOT, env=variables | urls | {"TERM": "dumb"}, stdin=member, stdout=member, stderr=member) as process:
            os.close(member)
            os.write(owner, typed.encode())
            shown = b""
            with suppress(OSError):  # the terminal's end, once nobody holds it any more
                while part := os.read(owner, 65536):
                    shown += part
            code = process.wait(60)
        os.close(owner)
        return code, shown.decode().replace("\r\n", "\n")

    return call


@pytest.fixture
def usage(record: Record, put_settings: PutSettings) -> None:
    """An event of a user, and one of a description without end."""
    put_settings(users=["ada"])
    record(event(price_chf="0.5"), event(price_chf="0.25", event_id=LONG, description="many words " * 20))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_terminal(at_terminal: Shell, usage: None, columns: int) -> None:
    """No line is wider than the terminal; what had no room is named, and `--wide` has it."""
    code, shown = at_terminal("transactions", columns=columns)
    assert code == 0
    assert max(map(cell_len, shown.splitlines())) <= columns
    assert "0.50\n" in shown or " 0.50 " in shown
    assert "left out for want of room: occurred (UTC)" in " ".join(shown.split())
    code, wide = at_terminal("transactions", "--wide", columns=columns)
    assert LONG in wide
    assert "left out" not in wide
    assert "occurred (UTC)" in wide


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(("name", "listing"), [(f"{module.__name__}.{name}", one) for module in MODULES for name, one in listings(module).items()])
def test_every_table_fits(name: str, listing: Listing, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With ids of 73 characters, amounts of nine places and times in every column that may have them, a table keeps within the terminal."""
    monkeypatch.setattr("cli.output.tables.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(listing.headings, [[_widest(heading) for heading in listing.headings]] * 2, free=listing.free, less=listing.less)
    shown = capsys.readouterr().out
    assert max(map(cell_len, shown.splitlines())) <= columns, shown


def _widest(heading: str) -> object:
    if "UTC" in heading:
        return datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    if "CHF" in heading:
        return Decimal("-1234567.123456789")
    return 1234567890 if heading in ("id", "events", "bytes", "version") else LONG


def test_columns_go_in_their_order() -> None:
    """First headings and free text fold, then what matters least goes, then ids fold; amounts never."""
    columns = [
        Column("id", ["1"], free=False, text=False, numeric=True),
        Column("mandate", ["m" * 30], free=False, text=True, numeric=False),
        Column("balance CHF", ["-123.456789123"], free=False, text=False, numeric=True),
        Column("words", ["w " * 40], free=True, text=True, numeric=False),
    ]
    assert fit(columns, 200).left_out == []
    assert fit(columns, 80).widths[3] < 80
    assert fit(columns, 70, ("words",)).left_out == ["words"]
    narrow = fit(columns, 34, ("words",))
    assert (narrow.left_out, narrow.widths[1:]) == (["words"], [14, 14])
    assert fit(columns, 5, ("words",)).columns == [0]
    assert fit(columns, 5, every=True).widths == [2, 30, 14, 80]


def test_amounts_have_the_places_that_they_need() -> None:
    """At a terminal zeros that say nothing are left away, at least two places stay, and the amount is exact."""
    assert places([Decimal("1.500000000"), Decimal(3)]) == 2
    assert places([Decimal("1.123456789"), Decimal(3)]) == 9
    assert places([]) == 2


def test_a_pipe_gets_no_lines(run: Run, usage: None) -> None:
    """Where nobody looks, nothing is drawn, folded or left out, however narrow the terminal was: a line per row, aligned."""
    header, *rows = run("transactions", "--limit", "5").out.splitlines()
    assert header.split("  ")[0] == "id"
    assert len(rows) == 3
    assert not re.search("[\u2500-\u257f]", header + "".join(rows))
    assert any("many words " * 19 in row for row in rows)
    assert {len(row[: header.index("mandate")]) for row in rows} == {header.index("mandate")}


def test_csv_has_the_fields_of_the_json(run: Run, usage: None) -> None:
    """`-o csv` prints a line per item under the names that JSON has, and a header where there is none."""
    lines = list(csv.DictReader(io.StringIO(run("transactions", "-o", "csv").out)))
    items = run("transactions", "-o", "json").json
    assert [set(line) for line in lines] == [set(item) for item in items]
    assert [line["id"] for line in lines] == [str(item["id"]) for item in items]
    assert [line["amount"] for line in lines] == [item["amount"] for item in items]
    assert [line["recorded_at"] for line in lines] == [item["recorded_at"] for item in items]
    assert run("caps", "list", "-o", "csv").out.startswith("id,mandate_id,")
    assert run("caps", "list", "-o", "csv").err == ""
    account = list(csv.DictReader(io.StringIO(run("accounts", "show", "--mandate", "acme", "--user", "ada", "-o", "csv").out)))
    assert (len(account), account[0]["user_id"], account[0]["enabled"]) == (1, "ada", "true")
    assert {line["invariant"] for line in csv.DictReader(io.StringIO(run("verify", "-o", "csv").out))} >= {"I1", "I3"}


def test_one_format_at_a_time(run: Run) -> None:
    """Two that contradict each other are a mistake of the command line; the same one twice isn't."""
    for wrong in ("--json -o csv", "-o table --json", "-o xml"):
        ended = run("batches", *wrong.split())
        assert ended.code == 2, wrong
    assert run("batches", "--json", "-o", "json").json == []
    assert run("batches", "-ojson").json == []
    assert run("batches", "--output-format=json").json == []


@pytest.mark.parametrize(
    ("command", "kind", "code", "field"),
    [
        ("accounts show 4711", "not_found", 4, None),
        ("nonsense", "usage", 2, None),
        ("batches --limit 0", "usage", 2, "--limit"),
        ("alerts --from someday", "usage", 2, "--from"),
        ("topup acme -5 --key k", "refused", 1, "amount"),
        ("topup acme 5 --key=", "refused", 1, "key"),
        ("verify --as user:ada", "forbidden", 6, None),
        ("topup acme 7 --user ada --key used", "conflict", 5, "key"),
        ("publish no-such-file.jsonl", "usage", 2, "FILE"),
    ],
)
def test_errors_are_json_for_programs(
    run: Run, put_settings: PutSettings, put_account: PutAccount, command: str, kind: str, code: int, field: str | None
) -> None:
    """Under `--json` the last line on standard error is one object: kind, message, and which field had which value."""
    put_settings(users=["ada"])
    put_account("ada")
    run("topup", "acme", "5", "--user", "ada", "--key", "used")
    ended = run(*command.split(), "--json")
    error = json.loads(ended.err.splitlines()[-1])["error"]
    assert (ended.code, ended.out, error["kind"]) == (code, "", kind)
    assert error["message"]
    assert error.get("field") == field
    people = run(*command.split())
    assert (people.code, people.out) == (code, "")
    assert people.err.splitlines()[-1].lower().startswith("error: ")


def test_a_database_that_is_away_has_a_code_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command may succeed later, which a mistake never does."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/none")
    assert run("batches").code == exits.AWAY
    monkeypatch.setenv("DATABASE_URL", "mysql://nobody@127.0.0.1/none")
    assert run("batches").code == exits.MISCONFIGURED


def test_warnings_are_objects_for_programs(run: Run, put_settings: PutSettings) -> None:
    """A line on standard error is an object, too, with what it is as its key."""
    put_settings(users=["ada"])
    ended = run("caps", "set", "acme", "--limit", "5", "--period", "day", "--user", "adda", "--json")
    assert json.loads(ended.err) == {"warning": {"message": "user 'adda' is not known yet"}}
    assert json.loads(ended.out)["cap"]["user_id"] == "adda"
    assert run("caps", "set", "acme", "--limit", "5", "--period", "day", "--user", "ada", "--json").err == ""


def test_every_exit_code_is_documented() -> None:
    """The table of docs/operations.md is that of the program."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for ending in exits.ENDINGS:
        kind = f"`{ending.kind}`" if ending.kind else "-"
        assert f"| {ending.code} | {kind} | {ending.meaning} |" in text


def test_ages_are_told_in_two_units() -> None:
    """Nobody reads 11,520 seconds."""
    told = [age_text(seconds) for seconds in (-1, 0, 45.4, 725, 3600, 11520, 90000)]
    assert told == ["0 s", "0 s", "45 s", "12 min 5 s", "1 h", "3 h 12 min", "1 d 1 h"]


def test_a_terminal_is_asked_before_a_switch(at_terminal: Shell, usage: None, run: Run) -> None:
    """What it comes to stands there; `n` changes nothing, `y` or `--yes` does it, and where no terminal is nobody is asked."""
    code, shown = at_terminal("switch", "acme", "PREPAY_MANDATE", typed="n\n")
    assert (code, "switch acme to PREPAY_MANDATE, and move its balances so? [y/N]" in " ".join(shown.split())) == (1, True)
    assert "gets" in shown
    assert run("settings", "show", "acme", "--json").json["billing_model"] == "PREPAY_USER"
    assert at_terminal("switch", "acme", "PREPAY_MANDATE", typed="y\n")[0] == 0
    assert run("settings", "show", "acme", "--json").json["billing_model"] == "PREPAY_MANDATE"
    code, shown = at_terminal("switch", "acme", "PREPAY_USER", "--yes")
    assert (code, "[y/N]" in shown) == (0, False)
    assert run("switch", "acme", "PREPAY_MANDATE").code == 0


def test_low_balances_are_listed(run: Run, put_settings: PutSettings, put_account: PutAccount, record: Record) -> None:
    """Accounts that fell to their warning threshold or below zero, and no others; who pays nothing isn't among them."""
    put_settings(users=["ada", "bob", "cy"])
    for name, price in (("ada", "9.5"), ("bob", "12"), ("cy", "1")):
        put_account(name)
        run("topup", "acme", "10", "--user", name, "--key", name)
        record(event(user_id=name, price_chf=price, event_id=f"e-{name}"))
    low = run("balances", "--low", "--json").json
    assert [(one["user_id"], one["balance"], one["beyond"]) for one in low] == [
        ("ada", "0.500000000", ["WARNING"]),
        ("bob", "-2.000000000", ["WARNING", "ZERO"]),
    ]
    after = str(low[0]["account_id"])
    assert [one["user_id"] for one in run("balances", "--low", "--after", after, "--json").json] == ["bob"]
    assert run("balances", "--low", "--as", "administrator:globex", "--json").json == []
    assert "bob" in run("balances", "--low", "--mandate", "acme").out
    run("switch", "acme", "UNLIMITED")
    assert run("balances", "--low").err == "no rows: no account that pays warns\n"
    assert run("balances").code == 2


@pytest.mark.parametrize(("words", "number", "found"), [("tollbook balanc", 1, "balances"), ("tollbook holds ", 2, "expired"),
                                                         ("tollbook caps set --per", 3, "--period"), ("tollbook batches -o ", 3, "csv")])  # fmt: skip
def test_shells_complete(words: str, number: int, found: str) -> None:
    """Commands, options and values of closed lists are completed; the script asks the program with these variables."""
    variables = {"_TOLLBOOK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main([])"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert found in done.stdout.split(), done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each names the program and the variable that it is asked with."""
    with pytest.raises(SystemExit) as caught:
        main(["completion", shell])
    out = capsys.readouterr().out
    assert not caught.value.code
    assert f"_TOLLBOOK_COMPLETE=complete_{shell}" in out


def test_completing_a_command_loads_no_library() -> None:
    """Names of commands come without the database library: a shell that waits is worse than one that completes nothing."""
    script = "import sys\nfrom cli.main import main\ntry:\n    main([])\nfinally:\n    print(sorted({'sqlalchemy', 'celery'} & set(sys.modules)))"
    variables = {"_TOLLBOOK_COMPLETE": "complete_bash", "COMP_WORDS": "tollbook ", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.endswith("[]\n")
    assert "transactions" in done.stdout


def test_an_empty_list_says_what_it_was_asked_for(run: Run, put_mandate: PutMandate) -> None:
    """Filters that match nothing are named; of nothing at all the listing tells why there may be none."""
    put_mandate()
    assert run("alerts", "--mandate", "acme", "--from", "today").err == "no rows: nothing matches --mandate, --from\n"
    assert run("jobs").err == "no rows: no scheduled job was run yet; beat starts them\n"
    assert run("holds", "list", "--limit", "5").err == "no rows\n"
