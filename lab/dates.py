"""The tests at other times: `python -m lab.dates [TIME …] [-- PYTEST ARGUMENTS]`, or `make test-dates`.

Each run's clock is moved (libfaketime, from the distribution's package `faketime`) to its time, and goes on from there; the
servers' clocks with it. Only the time of day is moved: what waits or measures (CLOCK_MONOTONIC) and the times of files stay.
"""

import argparse
import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import redis

from core.errors import Misconfigured
from lab.postgres import SUPERUSER, PostgresServer
from lab.process import ServerFailed, temporary_dir
from lab.rabbitmq import RabbitServer, is_installed
from lab.valkey import ValkeyServer

TIMES = {
    "2026-12-31T23:58:00": "over New Year",
    "2027-01-31T23:58:00": "over the end of a month",
    "2027-03-28T00:56:00": "over Europe's change to summer time",
    "2027-10-31T00:56:00": "over Europe's change to winter time",
    "2028-01-01T00:02:00": "where the last hour is in the last year",
    "2028-02-29T23:58:00": "over the end of a leap day",
}
INSTALL = "there is no libfaketime on this machine: install it with `apt-get install faketime` (Linux only)"
ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("lib/*/faketime", "lib*/faketime", "local/lib/faketime")
_WAITS = b"clock_nanosleep nanosleep usleep sleep alarm ppoll poll epoll_pwait epoll_wait pselect select".split()
_WITHOUT_END = 1_000_000
_SLACK = timedelta(seconds=2)
_STARTS = timedelta(minutes=3)  # what the starts of the servers may take


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs pytest at each time, after a look at what time Python and the servers see; 0 if every run passed."""
    parser = argparse.ArgumentParser(prog="python -m lab.dates", description="The tests at other times; arguments for pytest follow `--`.")
    listed = ", ".join(f"{time} ({why})" for time, why in TIMES.items())
    parser.add_argument("times", nargs="*", metavar="TIME", help=f"a time (UTC); without any: {listed}")
    parser.add_argument("--clocks", action="store_true", help=argparse.SUPPRESS)  # the look, by a process whose clock is moved
    given = list(sys.argv[1:] if arguments is None else arguments)
    split = given.index("--") if "--" in given else len(given)
    asked = parser.parse_args(given[:split])
    try:
        times = [moment(time) for time in asked.times or TIMES]
        if asked.clocks:
            return look(times[0])
        with library() as path, shared() as name:
            passed = {time: _run(time, path, name, given[split + 1 :]) for time in times}
    except (Misconfigured, ServerFailed, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for time, ok in passed.items():
        _say(f"{'passed' if ok else 'FAILED'} at {time:%Y-%m-%dT%H:%M:%S} UTC")
    return 0 if all(passed.values()) else 1


def moment(text: str) -> datetime:
    """A time as it is asked for; UTC where it names no offset.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def has_faketime() -> bool:
    """Whether there is a libfaketime on this machine."""
    return _found() is not None


def _found() -> Path | None:
    return next((path for pattern in _LIBRARIES for path in sorted(Path("/usr").glob(f"{pattern}/libfaketime.so.1"))), None)


@contextmanager
def library() -> Iterator[Path]:
    """A copy of libfaketime, readable for whoever the servers run as, that leaves waiting to the C library.

    Its own waits (version 0.9.10) show a signal's handler the machine's time, so that PostgreSQL's timeouts never come, and take a
    moment of CLOCK_MONOTONIC for one of the moved clock, so that `time.sleep` fails. What waits for a span needs no moving at all.

    Raises:
        Misconfigured: there is none on this machine.
    """
    found = _found()
    if found is None:
        raise Misconfigured(INSTALL)
    with temporary_dir("tollbook-faketime-") as folder:
        copy, content = folder / found.name, found.read_bytes()
        for name in _WAITS:  # the table of exported names is the first place; the linker finds there what it is asked for no longer
            content = content.replace(b"\0%s\0" % name, b"\0%s_\0" % name[:-1], 1)
        copy.write_bytes(content)
        copy.chmod(0o755)
        _unmoved(folder / "bin")
        yield copy


def _unmoved(folder: Path) -> None:
    """Puts programs that libfaketime lets hang before the real ones, without it: they send what they are told and ask for no time."""
    folder.mkdir(mode=0o755)
    for name in ("redis-cli",):  # its jemalloc asks for the time while it is made ready
        if (program := shutil.which(name)) is not None:
            (folder / name).write_text(f'#!/bin/sh\nexec env -u LD_PRELOAD {shlex.quote(program)} "$@"\n', encoding="utf-8")
            (folder / name).chmod(0o755)


@contextmanager
def shared() -> Iterator[str]:
    """The name of a semaphore and of memory that each process of a run may open, whoever it runs as.

    Otherwise every server makes its own and leaves it behind when it is killed, and whoever is killed while it holds the
    semaphore stops all others: this one can be taken without end.
    """
    descriptor, path = tempfile.mkstemp(prefix="tollbook-faketime-", dir="/dev/shm")  # where sem_open looks
    os.close(descriptor)
    memory = Path(path)
    semaphore = memory.with_name(f"sem.{memory.name}")
    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.sem_open.restype = ctypes.c_void_p
        if library.sem_open(f"/{memory.name}".encode(), os.O_CREAT | os.O_EXCL, 0o666, _WITHOUT_END) is None:
            raise ServerFailed(f"can't make a semaphore: {os.strerror(ctypes.get_errno())}")
        memory.write_bytes(bytes(4096))
        for made in (memory, semaphore):
            made.chmod(0o666)
        yield memory.name
    finally:
        memory.unlink()
        semaphore.unlink(missing_ok=True)


def clock(time: datetime, path: Path, name: str) -> dict[str, str]:
    """The variables that let a process which begins now begin at `time`; its children's clocks are its own."""
    moved = float(os.environ.get("FAKETIME", "0"))  # our own clock may be moved already
    return {
        "LD_PRELOAD": str(path),
        "FAKETIME": f"{(time - datetime.now(UTC)).total_seconds() + moved:+.3f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_SHARED": f"/{name} /{name}",
        "NO_FAKE_STAT": "1",
        "PATH": os.pathsep.join([str(path.parent / "bin"), os.environ["PATH"]]),
    }


def look(time: datetime) -> int:
    """Prints what time Python, PostgreSQL and the brokers see; 1 if one of them doesn't see `time`."""
    right = _see("Python", lambda: datetime.now(UTC), time)
    with temporary_dir("tollbook-clocks-") as folder:
        postgres, valkey, rabbit = PostgresServer(folder / "postgres", fast=True), ValkeyServer(folder / "valkey"), RabbitServer(folder / "rabbitmq")
        servers: list[tuple[str, PostgresServer | ValkeyServer | RabbitServer, Callable[[], datetime]]] = [
            ("PostgreSQL", postgres, partial(postgres_time, postgres)),
            ("Valkey", valkey, partial(valkey_time, valkey)),
            ("RabbitMQ", rabbit, partial(rabbit_time, rabbit)),
        ]
        for name, server, ask in servers:
            if server is rabbit and not is_installed():
                _say("  RabbitMQ    is not installed: what needs it is left out")
                continue
            server.start()
            try:
                right &= _see(name, ask, time)
            finally:
                server.stop()
    return 0 if right else 1


def _see(name: str, ask: Callable[[], datetime], time: datetime) -> bool:
    """Whether the clock is `time` or soon after it, and Python's own."""
    before = datetime.now(UTC)
    seen = ask()
    right = before - _SLACK <= seen <= datetime.now(UTC) + _SLACK and time - _SLACK <= seen <= time + _STARTS
    _say(f"  {name:<11} {seen:%Y-%m-%d %H:%M:%S} UTC{'' if right else '   WRONG'}")
    return right


def postgres_time(server: PostgresServer) -> datetime:
    """What time it is for the server."""
    with psycopg.connect(server.url(SUPERUSER, "postgres")) as connection:
        found: tuple[datetime] | None = connection.execute("SELECT clock_timestamp()").fetchone()
    assert found
    return found[0].astimezone(UTC)


def valkey_time(server: ValkeyServer) -> datetime:
    """What time it is for the server."""
    with redis.Redis.from_url(server.url()) as client:
        seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def rabbit_time(server: RabbitServer) -> datetime:
    """What time it is for the node, to the second."""
    return datetime.fromtimestamp(int(server.control("eval", "os:system_time(second).")), UTC)


def _run(time: datetime, path: Path, name: str, arguments: Sequence[str]) -> bool:
    """Looks at the clocks and runs the tests, each beginning at `time`; whether all is well."""
    _say(f"\n{time:%Y-%m-%dT%H:%M:%S} UTC: the clocks")
    for command in ([sys.executable, "-m", "lab.dates", "--clocks", time.isoformat()], [sys.executable, "-m", "pytest", *arguments]):
        if subprocess.run(command, cwd=ROOT, env=os.environ | clock(time, path, name), check=False).returncode != 0:
            return False
    return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # before what the tests write


if __name__ == "__main__":
    sys.exit(main())
