"""`tollbook import books`: what it prints and how it ends; the documented files; a killed process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.importing.files import COLUMNS
from tests.conftest import DatabaseUrls, Rows
from tests.scene import Breaches

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/import.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, str] = dict(re.findall(r"`(\w+\.\w+)`:\n\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL))
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(database_urls: DatabaseUrls, tmp_path: Path) -> tuple[list[str], dict[str, Any]]:
    """The command line of an import of the folder `books`, and what to start it with."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
    environment = foreign | {"DATABASE_URL": database_urls.worker, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return [sys.executable, "-m", "cli.main", "import", "books", "books", "--by", "olga"], {"env": environment, "cwd": tmp_path}


Run = Callable[..., Ended]


@pytest.fixture
def run(command: tuple[list[str], dict[str, Any]], tmp_path: Path) -> Run:
    """Imports these files (name to content) in a process of its own."""

    def call(files: dict[str, str], *options: str) -> Ended:
        written(tmp_path / "books", files)
        done = subprocess.run([*command[0], *options], **command[1], capture_output=True, text=True, timeout=60, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


def written(folder: Path, files: dict[str, str]) -> None:
    """The folder has these files and no others."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_documented_files_are_imported(run: Run, rows: Rows, balances: Balances, breaches: Breaches, suffix: str) -> None:
    """The examples of either kind give the same books, and an import of the other kind finds everything there."""
    files = {name: text for name, text in EXAMPLES.items() if name.endswith(suffix)}
    assert len(files) == 3
    first = run(files)
    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines()[-1] == "imported, new ones: settings 2 of 2, accounts 4 of 4, transactions 4 of 4"
    assert balances() == {
        ("acme", "ada"): Decimal("12.5"),
        ("acme", "bob"): Decimal("-1.25"),
        ("harbour", None): Decimal("-640.75"),
        ("harbour", "cy"): Decimal(0),
    }
    assert rows("SELECT DISTINCT changed_by FROM billing_settings_history") == [{"changed_by": "olga"}]
    second = run({name: text for name, text in EXAMPLES.items() if not name.endswith(suffix)})
    assert (second.code, second.out.splitlines()[-1]) == (0, "nothing changed: all of it was in the books already")
    assert breaches() == {}


def test_every_column_is_documented() -> None:
    """The document names each column of each file in that file's table."""
    sections = dict(zip(COLUMNS, re.split(r"^### .*$", DOCUMENT, flags=re.MULTILINE)[1:], strict=True))
    assert [(kind, name) for kind, columns in COLUMNS.items() for name in columns.values if f"`{name}`" not in sections[kind].split("```")[0]] == []


def test_a_dry_run_prints_the_totals_and_writes_nothing(run: Run, rows: Rows) -> None:
    """Files and books stand side by side, exact, as they would be; for programs as one JSON document."""
    files = {name: text for name, text in EXAMPLES.items() if name.endswith("csv")}
    done = run(files, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"\nacme +2 +2 +11\.250000000 +11\.250000000 +3 +3 +12\.500000000 +12\.500000000 +yes\n", done.out)
    assert re.search(r"\ntotal +4 +4 +-629\.500000000 +-629\.500000000 +4 +4 +-628\.250000000 +-628\.250000000 +yes\n", done.out)
    assert done.out.splitlines()[-1] == "dry run, nothing is written; new would be: settings 2 of 2, accounts 4 of 4, transactions 4 of 4"
    found = json.loads(run(files, "--dry-run", "--json").out)
    assert (found["ok"], found["written"], found["dry_run"]) == (True, False, True)
    assert found["imported"]["accounts"] == {"given": 4, "new": 4}
    assert found["imported"]["totals"][0]["balance_in_books"] == "11.250000000"
    assert rows("SELECT * FROM billing_settings") == rows("SELECT * FROM transactions") == []


def test_wrong_lines_end_with_1(run: Run, rows: Rows) -> None:
    """The first hundred are named on standard error, the rest is counted, and nothing is written."""
    lines = "".join(f"acme,user-{n},x\n" for n in range(120))
    done = run({"settings.jsonl": EXAMPLES["settings.jsonl"], "accounts.csv": f"mandate_id,user_id,balance\n{lines}"})
    assert (done.code, done.out) == (1, "nothing is written: 120 lines wrong\n")
    named = done.err.splitlines()
    assert named[0] == "wrong: accounts.csv:2: balance: 'x' is not a plain decimal number"
    assert (len(named), named[-1]) == (101, "wrong: 20 further lines")
    assert rows("SELECT * FROM billing_settings") == []


def test_many_mandates_are_summed_up(run: Run) -> None:
    """A table of more than a hundred mandates shows the first ones, and the others as one line."""
    numbers = [f"m{n:03}" for n in range(103)]
    settings = "".join(f'{{"mandate_id": "{m}", "billing_model": "PREPAY_MANDATE"}}\n' for m in numbers)
    done = run({"settings.jsonl": settings, "accounts.csv": "mandate_id,user_id,balance\n" + "".join(f"{m},,1\n" for m in numbers)})
    assert done.code == 0
    assert re.search(r"\nand 3 more +3 +3 +3\.000000000 ", done.out)
    assert re.search(r"\ntotal +103 +103 +103\.000000000 ", done.out)


def test_a_folder_without_books_is_an_error(run: Run, command: tuple[list[str], dict[str, Any]]) -> None:
    """An empty folder ends with 1 and says what belongs there; none at all is wrong usage."""
    done = run({})
    assert (done.code, done.err) == (1, "error: 'books' has none of settings, accounts, transactions, each .csv or .jsonl\n")
    absent = subprocess.run([*command[0][:-3], "nowhere"], **command[1], capture_output=True, text=True, timeout=60, check=False)
    assert absent.returncode == 2


def test_a_killed_import_leaves_nothing(
    command: tuple[list[str], dict[str, Any]], run: Run, rows: Rows, balances: Balances, breaches: Breaches, tmp_path: Path
) -> None:
    """A kill -9 in the middle of the history: not a row is there, and the same command again does it all."""
    entry = "{},,acme,ada,DEBIT,WORKFLOW,0.001,2025-02-05T23:30:00Z,,,,"
    header = EXAMPLES["transactions.csv"].splitlines()[0]
    files = {
        "settings.csv": EXAMPLES["settings.csv"],
        "accounts.csv": EXAMPLES["accounts.csv"],
        "transactions.csv": "\n".join([header, *[entry.format(n) for n in range(20_000)]]),
    }
    written(tmp_path / "books", files)
    process = subprocess.Popen(command[0], **command[1])
    try:
        held = """SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE datname = current_database() AND relation = 'transactions'::regclass AND mode = 'RowExclusiveLock'"""
        deadline = time.monotonic() + 30
        while not rows(held):
            assert process.poll() is None
            assert time.monotonic() < deadline
    finally:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while rows(held):
        assert time.monotonic() < deadline
    for table in ("billing_settings", "accounts", "transactions", "event_keys", "operation_keys", "batches"):
        assert rows(f"SELECT * FROM {table}") == []
    assert run(files).code == 0
    assert balances()["acme", "ada"] == Decimal("12.5")
    assert rows("SELECT count(*) AS n, sum(amount) AS total FROM transactions WHERE balance_account_id IS NULL") == [
        {"n": 20_000, "total": Decimal(20)}
    ]
    assert breaches() == {}
