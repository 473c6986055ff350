"""`tollbook demo`, once, for real, with a small trace."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialects import all as dialects
from core.dialects.model import Call, UsageDialect
from lab.demo.directory import MANDATES
from lab.demo.usage import DIALECTS, used
from lab.process import temporary_dir, wait_until

ROOT = Path(__file__).resolve().parents[2]
CALLS, HELD_AND_CAPPED = 1500, 33 + 5


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
    """A replayed trace is recorded exactly once in spite of a SIGKILL, totals agree, nothing goes on running.

    Half of the events have no price: the books compute it, as a second rater does. Who has none waits for it. Of 50 callers at once as many
    are allowed as there is money for, and a cap refuses.
    """
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
    assert any(line.startswith(f"outcomes: recorded {CALLS + HELD_AND_CAPPED:,}, duplicate ") for line in lines)
    _assert_prices(lines, done.stderr)
    assert "holds: 33 of 50 callers at once were allowed; 0.66 CHF were taken by their events, 0.33 CHF given back" in lines
    assert "expired: 1 hold of 0.5 CHF, whose caller died: authorised, never billed" in lines
    (cap,) = [line for line in lines if line.startswith("cap: ")]
    assert re.fullmatch(r"cap: CAP_EXCEEDED at 0.5 CHF of a day, until \S+ \d\d:00 UTC; told at 50, 80, 100 %", cap)
    assert all(any(line.startswith(f"{mandate.id} ") and mandate.billing_model in line for line in lines) for mandate in MANDATES)


def _assert_prices(lines: list[str], notes: str) -> None:
    """Of each 4 calls 2 have no price and 1 has both; of each 80 the tenth (19 of 1,500) is by an unlisted model."""
    assert "accepted price version 1: genai-prices " in notes
    assert "exchange rates of the demo's own, 1 USD = 0.80 CHF" in notes
    assert "accepted price version 2 with a price of openai/ft:gpt-6.1-terra:harbour" in notes
    assert "events that wait for it: unpriced_model 19\n" in notes
    totals = r"(\S+) CHF in the books, (\S+) CHF by a second rater \((\S+) USD at the providers\)"
    told = re.compile(rf"computed: (\S+) events without a price: {totals}")
    (computed,) = filter(None, map(told.fullmatch, lines))
    events, in_books, again, at_providers = computed.groups()
    assert events == "750"
    assert in_books == again
    assert Decimal("0.80") < Decimal(in_books) / Decimal(at_providers) < Decimal("0.88")  # by no markup, and by 10 %
    assert "suspense: 19 events waited for a price of their model, and were recorded when it was accepted" in lines
    (shadow,) = [line.split() for line in lines if line.startswith("shadow: ")]
    billed, as_computed, difference = Decimal(shadow[3]), Decimal(shadow[7]), Decimal(shadow[11])
    assert shadow[1] == "375"
    assert difference == as_computed - billed < 0  # the producer's price knows of no cache


@pytest.mark.parametrize("provider", DIALECTS)
@given(number=st.integers(0, 10_000), context=st.integers(0, 10**12), generated=st.integers(0, 10**12))
def test_usage_objects_of_the_demo_say_what_was_used(provider: str, number: int, context: int, generated: int) -> None:
    """Each dialect reads off the demo's objects the very tokens that the second rater is given."""
    call = used(number, provider, context, generated)
    dialect, answered = DIALECTS[provider]
    reading = dialects.DIALECTS[UsageDialect(dialect)].read(answered(call), Call())
    assert not reading.unmapped
    told = {leaf.value: count for leaf, count in reading.leaves.items() if count}
    assert told == {leaf: count for leaf, count in call.leaves() if count}
    assert (call.context, call.generated) == (context, generated)


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
