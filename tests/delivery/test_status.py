"""`tollbook status` and the doctor's look at workers, before real brokers, workers and a real terminal."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

import pytest

from core.schema.revision import head
from core.version import __version__
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually
from tests.sample_events import event

COMMAND = [sys.executable, "-m", "cli.main"]
WATCH = [*COMMAND, "status", "--watch", "0.1"]
SCREEN, NO_SCREEN, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def run(environment: dict[str, str], *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended."""
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, env=environment | changes, text=True, capture_output=True, check=False, timeout=60)


@both_brokers
@pytest.mark.usefixtures("acme")
def test_a_worker_and_its_work_are_seen(
    broker: Broker, environment: dict[str, str], start_worker: StartWorker, counts: Callable[[], dict[str, int]]
) -> None:
    """Who answers, of which release, what waits and what came of it; the doctor finds the same workers; with -o it is JSON as well."""
    start_worker(name="seen").ready()
    broker.put("usage.json", json.dumps(event()).encode(), b"{", json.dumps(event(mandate_id="nobody")).encode())
    eventually(lambda: sum(counts().values()) == 3, "all are settled")
    done = eventually(lambda: (asked := run(environment, "status", "-o", "json")).returncode == 0 and asked, "nothing is away")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    (worker,) = found["workers"]["workers"]
    assert (worker["name"], worker["version"], worker["revision"]) == ("seen@test", __version__, head())
    assert set(worker["states"]) <= {"running", "idle"}
    assert found["workers"]["beats"] == []
    assert found["backlog"]["usage"] == found["backlog"]["usage.json"] == 0
    assert found["books"]["recent"]["recorded"] == 1
    assert [one["reason"] for one in found["books"]["open_letters"]] == ["malformed_json"]
    assert found["books"]["parked_events"] == 1
    assert found["away"] == {}
    told = [one for one in json.loads(run(environment, "doctor", "--json").stdout)["findings"] if one["look"] == "workers"]
    assert [one["severity"] for one in told] == ["ok", "warning"]
    assert "no beat answers" in told[1]["what"]


def test_what_is_away_is_told_in_its_place(environment: dict[str, str]) -> None:
    """Without workers, without the broker, without the database: the rest is shown, and the exit code is 1 where something is away."""
    alone = run(environment, "status")
    assert alone.returncode == 0
    assert "none answers" in alone.stdout
    no_broker = run(environment, "status", CELERY_BROKER_URL="redis://:hunter2@127.0.0.1:1/0")
    assert no_broker.returncode == 1
    assert "! broker" in no_broker.stdout
    assert "  letters" in no_broker.stdout
    no_books = run(environment, "status", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d")
    assert no_books.returncode == 1
    assert "! books" in no_books.stdout
    assert "  queues" in no_books.stdout
    assert "hunter2" not in no_broker.stdout + no_broker.stderr + no_books.stdout + no_books.stderr
    assert run(environment, "status", "--as", "user:ada").returncode == 6
    assert run(environment, "status", "5").returncode == 2


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watching_gives_the_terminal_back(environment: dict[str, str], ending: signal.Signals, code: int) -> None:
    """Ctrl-C ends it with 130, SIGTERM with 143: the screen and the cursor are as before, and the last state stays."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.set_blocking(ours, False)
    watching = subprocess.Popen(WATCH, cwd=ROOT, env=environment | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    eventually(lambda: _read(ours, shown).count(b"letters") > 1, "it was shown twice")
    watching.send_signal(ending)
    eventually(lambda: _read(ours, shown) and watching.poll() is not None, "it has ended")
    _read(ours, shown)
    os.close(ours)
    assert watching.returncode == code
    assert (shown.count(SCREEN), shown.count(NO_SCREEN)) == (1, 1)
    assert shown.rindex(CURSOR) > shown.rindex(SCREEN)
    assert b"letters" in shown[shown.rindex(NO_SCREEN) :]
    assert b"Traceback" not in shown


def test_watching_without_a_terminal_is_plain_text(environment: dict[str, str]) -> None:
    """One state after the other, without a control character, until it is interrupted (130)."""
    with subprocess.Popen(WATCH, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as piped:
        assert piped.stdout is not None
        lines = iter(piped.stdout.readline, "")
        for _ in range(2):
            assert "\x1b" not in next(line for line in lines if "letters" in line)
        piped.send_signal(signal.SIGINT)
        assert piped.wait(30) == 130


def _read(terminal: int, into: bytearray) -> bytearray:
    """All that was shown so far."""
    try:
        while found := os.read(terminal, 65536):
            into += found
    except OSError:  # nothing more now, or nobody is there any more
        pass
    return into
