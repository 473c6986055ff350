"""A clock that jumps in one process while it runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Misconfigured
from lab.clock import JumpingClock
from tests.conftest import DatabaseUrls

TELL = """
import sys, time
from datetime import datetime, UTC
for line in sys.stdin:
    print(datetime.now(UTC).timestamp(), time.time(), time.monotonic(), flush=True)
"""
SLACK = timedelta(minutes=2)


@pytest.fixture
def ask(jumping_clock: JumpingClock) -> Iterator[Callable[[], timedelta]]:
    """Asks a process that runs all the time how far its clock is from ours; its steady clock is ours."""
    environment = os.environ | jumping_clock.environment()
    with subprocess.Popen([sys.executable, "-c", TELL], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        told, said = process.stdout, process.stdin

        def moved() -> timedelta:
            before = time.monotonic()
            said.write("?\n")
            said.flush()
            now, same, steady = map(float, told.readline().split())
            assert abs(same - now) < 1
            assert before <= steady <= time.monotonic()
            return datetime.fromtimestamp(now, UTC) - datetime.now(UTC)

        yield moved
        said.close()


def test_a_running_process_sees_each_jump_at_once(jumping_clock: JumpingClock, ask: Callable[[], timedelta]) -> None:
    """An hour back, a day on from there, and right again: the process's next look sees it, and nothing that waits is moved."""
    assert abs(ask()) < SLACK
    jumping_clock.jump(-3600)
    assert abs(ask() + timedelta(hours=1)) < SLACK
    jumping_clock.jump(86400)
    assert abs(ask() - timedelta(hours=23)) < SLACK
    assert jumping_clock.seconds == 82800
    jumping_clock.heal()
    assert abs(ask()) < SLACK


def test_two_processes_have_two_clocks(jumping_clock: JumpingClock, ask: Callable[[], timedelta]) -> None:
    """A process of another clock, and we ourselves, stay where we are."""
    with JumpingClock() as other:
        other.jump(10 * 86400)
        environment = os.environ | other.environment()
        code = "import time; print(time.time())"
        seen = float(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout)
        assert abs(seen - time.time() - 10 * 86400) < SLACK.total_seconds()
    assert abs(ask()) < SLACK


def test_the_servers_clock_is_its_own(jumping_clock: JumpingClock, database_urls: DatabaseUrls) -> None:
    """A client whose clock is a day ahead asks PostgreSQL what time it is, and gets the right one."""
    jumping_clock.jump(86400)
    code = "import sys, time, psycopg; print(psycopg.connect(sys.argv[1]).execute('SELECT extract(epoch FROM now())').fetchone()[0], time.time())"
    command = [sys.executable, "-c", code, database_urls.worker]
    done = subprocess.run(command, env=os.environ | jumping_clock.environment(), capture_output=True, text=True, check=True)
    servers, own = map(float, done.stdout.split())
    assert abs(own - servers - 86400) < SLACK.total_seconds()


def test_a_clock_that_is_moved_already_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `make test-dates` there is no second clock."""
    monkeypatch.setenv("FAKETIME", "+1")
    with pytest.raises(Misconfigured, match="is moved"):
        JumpingClock().__enter__()
