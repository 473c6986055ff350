"""`python -m lab.bench.compare --base REV`: the working tree's speed against that of an earlier commit, measured by turns.

Both run on the same embedded servers, each measurement with a fresh database and an empty broker. What is asked of a checkout is
known from outside, `python -m lab.bench --json`, the command line and tasks, so that the two may be built however differently.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from rich.console import Console
from rich.table import Table

from lab.bench.asking import ASKED, answers_per_second
from lab.bench.books import fill_directory
from lab.bench.drains import HERE, ROOT, Checkout
from lab.bench.goals import (
    BATCH,
    CHECK,
    HOT,
    HOT_2,
    LATENCY,
    MANY_MANDATES,
    NEWCOMERS,
    PLAIN,
    RABBITMQ,
    ROLLUP,
    SCHEMA_FLOOR,
    SINGLE,
    SINGLE_2,
    WIDE,
    WIDEST,
)
from lab.bench.report import machine
from lab.postgres import OWNER, SUPERUSER, PostgresServer
from lab.process import temporary_dir
from lab.services import Services
from lab.valkey import ValkeyServer

AT_LEAST = 0.95  # of the base's speed
USUAL = (SCHEMA_FLOOR, SINGLE, BATCH, PLAIN, HOT, ROLLUP, *ASKED)
PATHS = (*USUAL, WIDE, WIDEST, MANY_MANDATES, NEWCOMERS, SINGLE_2, HOT_2, RABBITMQ, CHECK, LATENCY)
_CPU = ", µs of the worker's processor per event"  # tells a loss also on a machine that is busy with other things
_LOWER_IS_BETTER = (ROLLUP, CHECK, LATENCY, _CPU)  # so ends their name
_DATABASE = "compared"
_QUESTIONS = 5_000

Figures = dict[str, float]  # by name: the path, and beside it what its worker used of the processor where that is known
Measure = Callable[[Checkout, str], Figures]


@dataclass(frozen=True)
class Compared:
    """One path of both checkouts: a figure of each round."""

    path: str
    base: Sequence[float]
    new: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Of each round, how fast the new one is against the base: above 1 it is faster, whatever the figure is."""
        pairs = zip(self.base, self.new, strict=True)
        return [base / new if self.path.endswith(_LOWER_IS_BETTER) else new / base for base, new in pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.ratios)

    @property
    def is_slower(self) -> bool:
        """Whether the new one has less than 0.95 of the base's speed."""
        return self.ratio < AT_LEAST

    def as_json(self) -> dict[str, Any]:
        """Every figure."""
        return {"base": list(self.base), "new": list(self.new), "ratios": self.ratios, "ratio": self.ratio, "slower": self.is_slower}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns 0: a path that is slower is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.compare", description=__doc__)
    parser.add_argument("--base", required=True, metavar="REV", help="the commit to compare with")
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list of paths that are slower")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of base and new; a ratio is their median (default 5)")
    parser.add_argument("--scale", type=float, default=0.3, help="share of the benchmarks' usual number of events (default 0.3)")
    parser.add_argument("--only", action="append", choices=PATHS, metavar="PATH", help=f"one of: {'; '.join(PATHS)}; repeat it for several")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.scale <= 0:
        parser.error("--rounds is at least 1, and --scale above 0")
    commit = commit_of(given.base)
    if commit is None:
        parser.error(f"--base: git knows no commit {given.base}")
    console = Console(stderr=True)
    with temporary_dir() as folder, checked_out(commit, folder / "base", console.print) as base, _servers(folder) as (postgres, valkey):

        def measure(checkout: Checkout, path: str) -> Figures:
            with fresh_services(postgres, valkey) as own:
                return _measured(own, checkout, path, given.scale)

        found = alternate(base, HERE, given.only or USUAL, given.rounds, measure, console.print)
    if given.json:
        print(json.dumps(as_json(commit, given.rounds, given.scale, found)))  # noqa: T201 - the result
    else:
        Console(width=160).print(table(commit, found))
    return 0


def alternate(
    base: Checkout, new: Checkout, paths: Sequence[str], rounds: int, measure: Measure, say: Callable[[str], None] = lambda _: None
) -> list[Compared]:
    """Each path of both checkouts, by turns; who is first changes from round to round, so that a machine that grows slower does no harm."""
    figures: dict[str, dict[Checkout, list[float]]] = {}
    for number in range(1, rounds + 1):
        for path in paths:
            for one in (base, new) if number % 2 else (new, base):
                for name, value in measure(one, path).items():
                    figures.setdefault(name, {base: [], new: []})[one].append(value)
            say(f"round {number} of {rounds}: {path}: base {figures[path][base][-1]:,.2f}, new {figures[path][new][-1]:,.2f}")
    return [Compared(name, both[base], both[new]) for name, both in figures.items()]


def as_json(commit: str, rounds: int, scale: float, found: Sequence[Compared]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "machine": machine(),
        "base": commit,
        "rounds": rounds,
        "scale": scale,
        "paths": {one.path: one.as_json() for one in found},
        "slower": [one.path for one in found if one.is_slower],
    }


def table(commit: str, found: Sequence[Compared]) -> Table:
    """The same for people."""
    made = Table("path", "base, median", "new, median", "new / base", "lowest to highest", "", title=f"Against {commit[:12]} on {machine()}")
    for one in found:
        medians = (f"{statistics.median(figures):,.2f}" for figures in (one.base, one.new))
        spread = f"{min(one.ratios):.3f} to {max(one.ratios):.3f}"
        made.add_row(one.path, *medians, f"{one.ratio:.3f}", spread, f"SLOWER: below {AT_LEAST}" if one.is_slower else "")
    return made


def commit_of(revision: str) -> str | None:
    """The commit's full name; none if git knows no such one."""
    asked = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or None


@contextmanager
def checked_out(commit: str, folder: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[Checkout]:
    """The commit in a worktree of its own, gone at the end; with packages of its own only where its lock names others than ours.

    Raises:
        RuntimeError: the modules that would be measured are not the worktree's.
    """
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, commit], cwd=ROOT, check=True)
    try:
        python = HERE.python
        if not has_our_lock(folder):
            say("the base's lock is another one: its packages are installed …")
            subprocess.run(["make", "--silent", "install"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            python = folder / ".venv" / "bin" / "python"
        base = Checkout(folder, python)
        where = _output(base, {"PYTHONPATH": str(folder)}, "-c", "import core; print(core.__file__)")
        if not Path(where.strip()).is_relative_to(folder):
            raise RuntimeError(f"{python} imports {where.strip()} instead of what is in {folder}")
        yield base
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def has_our_lock(folder: Path) -> bool:
    """Whether a checkout needs the very packages that are installed here."""
    lock = "requirements-dev.lock"
    return (folder / lock).read_bytes() == (ROOT / lock).read_bytes()


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[PostgresServer, ValkeyServer]]:
    postgres, valkey = PostgresServer(folder / "postgres"), ValkeyServer(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        yield postgres, valkey
    finally:
        valkey.stop()
        postgres.stop()


@contextmanager
def fresh_services(postgres: PostgresServer, valkey: ValkeyServer) -> Iterator[Services]:
    """The servers with an empty database of its own, dropped at the end, and an emptied broker."""
    with psycopg.connect(postgres.url(SUPERUSER, "postgres"), autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        administrator.execute(f"CREATE DATABASE {_DATABASE} OWNER {OWNER}")
    with redis.Redis.from_url(valkey.url()) as client:
        client.flushall()
    yield Services(postgres.url(database=_DATABASE), postgres.url(OWNER, _DATABASE), valkey.url(), postgres.directory.parent, None, None)


def _measured(own: Services, checkout: Checkout, path: str, scale: float) -> Figures:
    environment = checkout.environment(own)
    if path in ASKED:
        _output(checkout, environment, "-m", "cli.main", "db", "upgrade")
        fill_directory(own.database_owner_url)
        return {path: answers_per_second(own, checkout, path, max(100, int(_QUESTIONS * scale)))}
    told = _output(checkout, environment, "-m", "lab.bench", "--json", "--rounds", "1", "--scale", str(scale), "--only", path)
    return figures_of(json.loads(told.splitlines()[-1]), path)


def figures_of(document: Mapping[str, Any], path: str) -> Figures:
    """The figures of the path in what `python -m lab.bench --json` prints: a rate, or what a limit is set for."""
    rates, used = document["events_per_second"].get(path), document["cpu_microseconds_per_event"].get(path)
    figure = rates[0] if rates else next(goal["measured"] for goal in document["goals"] if goal["what"] == path)
    return {path: float(figure)} | ({f"{path}{_CPU}": used["worker"]} if used else {})


def _output(checkout: Checkout, environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run([checkout.python, *arguments], cwd=checkout.root, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} in {checkout.root} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
