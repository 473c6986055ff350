"""The files that exports make: there whole or not at all, in bounded memory, and what is told where one can't be made."""

import os
import signal
import subprocess
import sys
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from cli.output.csv_out import write_csv
from cli.output.new_file import new_file
from cli.output.parquet_out import write_parquet
from core.database.database import Database
from core.errors import RequestRefused
from core.reports.columns import Column, Kind, Row
from tests.cli.test_cli import Run, run
from tests.conftest import DatabaseUrls, Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]

ROOT = Path(__file__).parents[2]
PEAK = "import re\nfrom pathlib import Path\nprint(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])"
MORE_MEMORY_MAX = 32 * 1024  # KiB; 100,000 rows as Python objects would take hundreds of MiB
COLUMNS = (Column("a", Kind.TEXT), Column("b", Kind.INTEGER))
Write = Callable[[RawIOBase, Any, Any], None]


@pytest.fixture
def put_transactions(rows: Rows, put_settings: PutSettings) -> Callable[[int], None]:
    """Fills the ledger with so many further entries of acme, beside the operations."""
    put_settings(users=["ada"])

    def put(count: int) -> None:
        rows(
            """
            INSERT INTO transactions (mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                      provider, model, feature_code, input_tokens, occurred_at, local_date, settings_version)
            SELECT 'acme', md5(n::text), 1, 1, 'DEBIT', n * 0.000000001, 'WORKFLOW', 'AI Usage ' || n, 'p', 'm' || n % 10, 'f', n,
                   now() - n * interval '1 second', (now() - n * interval '1 second')::date, 1
              FROM generate_series(1, :count) AS n
            """,
            count=count,
        )

    return put


def peak_of_export(urls: DatabaseUrls, *arguments: str) -> int:
    """The most memory (KiB) that a process of its own ever held while it exported."""
    script = f"from cli.main import main\ntry:\n    main({['export', *arguments]!r})\nexcept SystemExit as end:\n    assert not end.code\n{PEAK}"
    environment = {**os.environ, "DATABASE_URL": urls.worker}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return int(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a process's peak")
@pytest.mark.parametrize(("kind", "columns"), [("csv", "books"), ("parquet", "focus")])
@pytest.mark.parametrize(("few", "many"), [(50_000, 150_000), pytest.param(200_000, 1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_memory_does_not_grow_with_the_books(
    put_transactions: Callable[[int], None], database_urls: DatabaseUrls, tmp_path: Path, kind: str, columns: str, few: int, many: int
) -> None:
    """Many times as many rows take as much memory, within a few MiB."""
    peaks = []
    for count in (few, many - few):
        put_transactions(count)
        file = tmp_path / f"{count}"
        peaks.append(peak_of_export(database_urls, "transactions", "--format", kind, "--columns", columns, "--output", str(file)))
    assert peaks[1] - peaks[0] < MORE_MEMORY_MAX
    if kind == "csv":
        assert file.read_bytes().count(b"\n") == many + 1
    else:
        written = pq.ParquetFile(file).metadata
        assert (written.num_rows, written.num_row_groups) == (many, many // 50_000)


def test_an_interrupted_export_leaves_nothing(
    owner_database: Database, database_urls: DatabaseUrls, rows: Rows, record: Record, put_settings: PutSettings, tmp_path: Path
) -> None:
    """Ctrl-C while the database is at work: exit code 130, and neither the file nor a part of it is there."""
    put_settings(users=["ada"])
    record(event())
    command = [sys.executable, "-m", "cli.main", "export", "transactions", "--output", str(tmp_path / "export.csv")]
    with owner_database.transaction() as connection:
        connection.execute(text("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE"))
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": database_urls.worker}, stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 30
            while not rows("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"):
                assert process.poll() is None
                assert time.monotonic() < deadline
            assert len(list(tmp_path.iterdir())) == 1
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_failure_in_the_middle_leaves_what_was_there(write: Write, tmp_path: Path) -> None:
    """An export that ends before its last row, whatever the reason, changes no file, nor does one that would take the place of another."""
    (target := tmp_path / "export").write_text("earlier")

    def chunks() -> Iterator[list[Row]]:
        yield [("text", 1)] * 60_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_file(target, force=True) as file:
        write(file, COLUMNS, chunks())
    with pytest.raises(RequestRefused, match="is there already"), new_file(target, force=False):
        pytest.fail("it must not come to this")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("export", "earlier")]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Of two exports into one file the second to end is refused, and what the first wrote stays."""

    def chunks() -> Iterator[list[Row]]:
        yield [("second", 1)]
        (tmp_path / "export").write_text("earlier")

    with pytest.raises(RequestRefused, match="is there already"), new_file(tmp_path / "export", force=False) as file:
        write_csv(file, COLUMNS, chunks())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("export", "earlier")]


def test_a_file_is_made_once(run: Run, put_settings: PutSettings, record: Record) -> None:
    """What is there is not overwritten but with --force; the summary tells rows, moment and file."""
    put_settings(users=["ada"])
    record(event())
    assert run("export", "transactions", "--output", "a.csv").out.startswith("2 rows as of ")
    again = run("export", "transactions", "--output", "a.csv")
    assert (again.code, again.err) == (1, "error: output: 'a.csv' is there already: name another file, or --force\n")
    told = run("export", "transactions", "--output", "a.csv", "--force", "--json").json
    assert (told["rows"], told["file"], told["format"], told["bytes"]) == (2, "a.csv", "csv", Path("a.csv").stat().st_size)
    assert run("export", "transactions", "--output", "nowhere/a.csv").code == 1
    assert [path.name for path in Path().iterdir()] == ["a.csv"]


def test_a_file_is_the_operators_alone_and_opens_in_excel(run: Run, put_settings: PutSettings, record: Record) -> None:
    """Nobody else on the machine may read what was exported, whatever the umask; umlauts come out of a file as they went in."""
    put_settings(users=["ada"])
    record(event(description="für Zürich"))
    umask = os.umask(0)
    try:
        run("export", "transactions", "--output", "a.csv")
        run("statement", "acme", f"{datetime.now(UTC):%Y-%m}", "--output", "statement.html")
    finally:
        os.umask(umask)
    assert {path.name: path.stat().st_mode & 0o777 for path in Path().iterdir()} == {"a.csv": 0o600, "statement.html": 0o600}
    assert Path("a.csv").read_bytes().startswith(BOM_UTF8 + b"id,")
    assert "für Zürich" in Path("a.csv").read_text("utf-8-sig")


def test_without_pyarrow_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is an error in one line that says what is missing; CSV needs nothing of it."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    ended = run("export", "transactions", "--format", "parquet", "--output", "a.parquet")
    assert (ended.code, ended.out, list(Path().iterdir())) == (78, "", [])
    assert "the extra `parquet`" in ended.err
    assert run("export", "transactions").code == 0
