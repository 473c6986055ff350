"""`tollbook demo`, once, for real, with a small trace."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from lab.demo.directory import MANDATES
from lab.process import temporary_dir, wait_until

ROOT = Path(__file__).resolve().parents[2]
CALLS = 1500


def _write_trace(path: Path) -> None:
    """Three hours of a November day, at irregular distances; times carry seven digits and no zone, as such traces do."""
    start = datetime(2023, 11, 16, 18, 17, 3, tzinfo=UTC)
    rows = [
        f"{start + timedelta(seconds=n * 7, microseconds=n * 137 % 1_000_000):%Y-%m-%d %H:%M:%S.%f}0,{3 + n * 37 % 7000},{1 + n * 11 % 900}"
        for n in range(CALLS)
    ]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))


def _processes_in(folder: Path) -> list[str]:
    """The command lines of live processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in text for text in [*process.cmdline(), process.cwd()]):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(240)
def test_the_demo_accounts_for_every_franc_and_leaves_nothing_behind() -> None:
    """A replayed trace is recorded exactly once in spite of a SIGKILL, the totals agree, `verify` is ok, and nothing goes on running."""
    with temporary_dir() as folder:
        trace = folder / "trace.csv"
        _write_trace(trace)
        foreign = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "demo", "--trace", str(trace)],
            env=foreign | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        left = _processes_in(folder)
        entries = [entry.name for entry in folder.iterdir()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert not left
    assert entries == ["trace.csv"]
    assert "killed demo-2 (SIGKILL)" in done.stderr
    lines = done.stdout.splitlines()
    (total,) = [line for line in lines if line.startswith("total: ")]
    in_books, sent = total.removeprefix("total: ").split(" CHF in the books, ")
    assert sent == f"{in_books} CHF by adding up what was sent"
    assert any(line.startswith("verify: ok (") for line in lines)
    assert any(line.startswith(f"outcomes: recorded {CALLS:,}, duplicate ") for line in lines)
    assert all(any(line.startswith(f"{mandate.id} ") and mandate.billing_model in line for line in lines) for mandate in MANDATES)


@pytest.mark.timeout(60)
def test_a_trace_that_is_none_starts_nothing() -> None:
    """A row that is no call is named with its line before any server starts, and the exit code is 1."""
    with temporary_dir() as folder:
        trace = folder / "trace.csv"
        trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,12,3\n2023-11-16 18:17:04,many,3\n")
        command = [sys.executable, "-m", "cli.main", "demo", "--trace", str(trace)]
        environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
        assert [entry.name for entry in folder.iterdir()] == ["trace.csv"]
    assert done.returncode == 1
    assert done.stderr == f"error: {trace}:3: is no call: 'many' is not a number of tokens\n"
    assert wait_until(lambda: not _processes_in(folder), 5.0)
