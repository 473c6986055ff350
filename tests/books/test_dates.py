"""`make test-dates`: a moved clock goes on, is moved for the servers too, and nothing else is moved with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Misconfigured
from lab import dates
from lab.dates import INSTALL, clock, library, shared
from lab.postgres import PostgresServer
from lab.process import temporary_dir
from lab.valkey import ValkeyServer

TIME = datetime(2028, 2, 29, 23, 58, tzinfo=UTC)
WAIT = """
import datetime, threading, time
time.sleep(0.01)
threading.Event().wait(0.01)
print(datetime.datetime.now(datetime.timezone.utc).isoformat())
"""


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What this process starts begins at `TIME`."""
    try:
        with library() as path, shared() as name:
            for variable, value in clock(TIME, path, name).items():
                monkeypatch.setenv(variable, value)
            yield
    except Misconfigured as error:
        if os.environ.get("TOLLBOOK_TEST_FAKETIME") == "required":
            raise
        pytest.skip(str(error))


def is_moved(seen: datetime) -> bool:
    """Whether the clock is at `TIME`, or has gone on from there."""
    return TIME <= seen < TIME + timedelta(hours=1)


@pytest.mark.usefixtures("moved")
def test_a_moved_process_waits_as_ever() -> None:
    """Python sees the time, and what waits there neither fails nor waits until then."""
    done = subprocess.run([sys.executable, "-c", WAIT], capture_output=True, text=True, check=True)
    assert is_moved(datetime.fromisoformat(done.stdout.strip()))


@pytest.mark.usefixtures("moved")
def test_servers_see_the_time_of_who_starts_them() -> None:
    """PostgreSQL and Valkey, whoever they run as."""
    with temporary_dir() as folder:
        postgres, valkey = PostgresServer(folder / "postgres", fast=True), ValkeyServer(folder / "valkey")
        try:
            postgres.start()
            valkey.start()
            assert is_moved(dates.postgres_time(postgres))
            assert is_moved(dates.valkey_time(valkey))
        finally:
            valkey.stop()
            postgres.stop()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without libfaketime nothing runs, and the package is told; a time that is none is told too."""
    monkeypatch.setattr(dates, "_LIBRARIES", ())
    assert dates.main(["2028-02-29T23:58:00"]) == 2
    assert INSTALL in capsys.readouterr().err
    assert dates.main(["2027-02-29"]) == 2
    assert "error: " in capsys.readouterr().err
