"""`python -m lab.bench`: events per second of each path, as ratios measured in one run on this machine."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Console

from core.config import Configuration
from core.prices.model import Mode
from lab.bench.backfill import backfill_rates
from lab.bench.books import benchmark_services
from lab.bench.checks import CHECKS
from lab.bench.cpu import Cpu
from lab.bench.drains import Drained, drain, drain_naive, latency_p99_seconds
from lab.bench.floors import schema_floor, sql_floor
from lab.bench.goals import (
    ACCOUNTS,
    AUTHORISE_HOT,
    BACKFILL,
    BACKFILL_FLOOR,
    BATCH,
    CPU_POSTGRES,
    CPU_WORKER,
    DISK,
    DISK_V2,
    FEW_MANDATES,
    HOT,
    HOT_2,
    LATENCY,
    MANY_MANDATES,
    MEMORY,
    NAIVE,
    NEWCOMERS,
    PLAIN,
    PUBLISH,
    RABBITMQ,
    RABBITMQ_2,
    ROLLUP,
    SCHEMA_FLOOR,
    SINGLE,
    SINGLE_2,
    SQL_FLOOR,
    V2_CAPPED,
    V2_COMPUTED,
    V2_GIVEN,
    V2_HELD,
    V2_SHADOW,
    WAL,
    WAL_V2,
    WAL_WIDE,
    recorder,
    verdicts,
)
from lab.bench.held import recording_paths
from lab.bench.holds import AUTHORISATIONS, hot_authorisations_per_second, make_crowd
from lab.bench.priced import open_price_book, priced_events
from lab.bench.publish import publish_rate
from lab.bench.rabbit import drain_rabbitmq
from lab.bench.report import print_json, print_tables
from lab.bench.rollup import rollup_ratios
from lab.bench.size import size_per_event
from lab.bench.traffic import events, hot_members
from lab.bench.wide import newcomers_per_second, peak_memory_mib, wide_paths
from lab.rabbitmq import INSTALL, is_installed
from lab.services import Services

Measure = Callable[[], Drained]


@dataclass
class Run:
    """What is to be measured, how often and how largely, and what was: rates in events/s, other figures, processor time, bytes by relation."""

    only: frozenset[str]  # nothing: everything
    rounds: int
    scale: float
    say: Callable[[str], None]
    rates: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    figures: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[Cpu]] = field(default_factory=lambda: defaultdict(list))
    relations: dict[str, float] = field(default_factory=dict)

    def wants(self, *names: str) -> bool:
        """Whether one of these is to be measured; says so if it is."""
        wanted = not self.only or not self.only.isdisjoint(names)
        if wanted:
            self.say(f"{names[0]} …")
        return wanted

    def measure(self, paths: Mapping[str, Measure]) -> None:
        """Those of the paths that are wanted, round by round."""
        chosen = {name: measure for name, measure in paths.items() if not self.only or name in self.only}
        for number in range(1, self.rounds + 1):
            for name, measure in chosen.items():
                drained = measure()
                self.rates[name].append(drained.rate)
                if drained.cpu:
                    self.cpu[name].append(drained.cpu)
                self.say(f"round {number} of {self.rounds}: {name}: {drained.rate:,.0f} events/s")


def _messages(own: Services, run: Run) -> None:
    """What workers record out of queues and what they answer, beside the floors."""
    config = Configuration(database_url=own.database_url)
    n = int(100_000 * run.scale)
    if run.wants(V2_SHADOW, V2_COMPUTED):
        open_price_book(own)
    paths: dict[str, Measure] = {
        SQL_FLOOR: lambda: Drained(sql_floor(own.database_owner_url, n)),
        SCHEMA_FLOOR: lambda: Drained(schema_floor(config, n)),
        NAIVE: lambda: drain_naive(own, int(3_000 * run.scale)),
        SINGLE: lambda: drain(own, "single", n, 1),
        SINGLE_2: lambda: drain(own, "single", n, 2),
        BATCH: lambda: drain(own, "batch", 2 * n, 1),
        PLAIN: lambda: drain(own, "plain", n, 1),
        V2_SHADOW: lambda: drain(own, "single", n, 2, source=priced_events(n, Mode.SHADOW)),
        V2_COMPUTED: lambda: drain(own, "single", n, 2, source=priced_events(n, Mode.COMPUTED)),
        HOT: lambda: drain(own, "single", n, 1, source=events(n, members=hot_members())),
        HOT_2: lambda: drain(own, "single", n, 2, source=events(n, members=hot_members())),
        NEWCOMERS: lambda: Drained(newcomers_per_second(own, n)),
        PUBLISH: lambda: Drained(publish_rate(own, 5 * n)),
    }
    if is_installed():
        paths |= {RABBITMQ: lambda: drain_rabbitmq(own, n, 1), RABBITMQ_2: lambda: drain_rabbitmq(own, n, 2)}
    run.measure(paths)
    if used := run.cpu.get(SINGLE_2):
        run.figures[CPU_WORKER], run.figures[CPU_POSTGRES] = [one.worker for one in used], [one.postgres for one in used]
    if run.wants(LATENCY):
        run.figures[LATENCY] = [latency_p99_seconds(own, 1000, max(2, int(10 * run.scale))) * 1000]
    for name, p99_seconds in CHECKS.items():
        if run.wants(name):
            run.figures[name] = [p99_seconds(own, max(200, int(2000 * run.scale))) * 1000]


def _accounts(own: Services, run: Run) -> None:
    """The recorder over many accounts and mandates."""
    run.measure(wide_paths(own, run.scale))
    if run.wants(MEMORY):
        run.figures[MEMORY] = [peak_memory_mib(own, ACCOUNTS[-1], run.scale)]


def _holds(own: Services, run: Run) -> None:
    """How fast holds are authorised, and what they and caps cost those who record."""
    make_crowd(own)
    for name, p99_seconds in AUTHORISATIONS.items():
        if run.wants(name):
            run.figures[name] = [p99_seconds(own, max(200, int(2000 * run.scale))) * 1000 for _ in range(run.rounds)]
    run.measure({AUTHORISE_HOT: lambda: Drained(hot_authorisations_per_second(own, int(10_000 * run.scale)))})
    if run.wants(V2_GIVEN, V2_HELD, V2_CAPPED):
        run.measure(recording_paths(own, int(50_000 * run.scale)))


def _jobs(own: Services, run: Run) -> None:
    """What is done to all of the books at once."""
    million = int(1_000_000 * run.scale)
    if run.wants(ROLLUP):
        run.figures[ROLLUP] = rollup_ratios(own, million, run.rounds)
    if run.wants(BACKFILL, BACKFILL_FLOOR):  # the last one: it empties the books
        run.rates |= backfill_rates(own, million, run.rounds)


def _size(own: Services, run: Run) -> None:
    """What an event takes of the disk."""
    run.say(f"{DISK} …")
    size = size_per_event(own, int(200_000 * run.scale))
    run.figures |= {DISK: [size.disk], WAL: [size.wal[1_000]], WAL_WIDE: [size.wal[100_000]]}
    run.figures |= {DISK_V2: [size.times_v1], WAL_V2: [size.wal_times_v1]}
    run.relations = size.relations


_OVER_ACCOUNTS = (*[recorder(n, zipf=zipf) for zipf in (False, True) for n in ACCOUNTS], FEW_MANDATES, MANY_MANDATES, MEMORY)
# What is measured on the same servers, which are fresh and empty at its beginning.
PARTS: dict[Callable[[Services, Run], None], tuple[str, ...]] = {
    _messages: (
        SQL_FLOOR,
        SCHEMA_FLOOR,
        NAIVE,
        SINGLE,
        SINGLE_2,
        V2_SHADOW,
        V2_COMPUTED,
        BATCH,
        PLAIN,
        HOT,
        HOT_2,
        NEWCOMERS,
        PUBLISH,
        RABBITMQ,
        RABBITMQ_2,
        LATENCY,
        *CHECKS,
    ),
    _accounts: _OVER_ACCOUNTS,
    _holds: (*AUTHORISATIONS, AUTHORISE_HOT, V2_GIVEN, V2_HELD, V2_CAPPED),
    _jobs: (ROLLUP, BACKFILL, BACKFILL_FLOOR),
    _size: (DISK, WAL, WAL_WIDE, DISK_V2, WAL_V2),
}


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    names = [name for part in PARTS.values() for name in part]
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; a figure is their median (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of events (default 1)")
    parser.add_argument("--only", action="append", metavar="PATH", help="measure this path alone; repeat it for several")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    if unknown := {*(arguments.only or ())} - {*names}:
        parser.error(f"no path is called {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    if not is_installed():
        console.print(f"RabbitMQ is left out: {INSTALL}")
    run = Run(frozenset(arguments.only or ()), arguments.rounds, arguments.scale, console.print)
    for measure, part in PARTS.items():
        if not run.only or not run.only.isdisjoint(part):
            with benchmark_services() as own:
                measure(own, run)
    rounds = run.rates | run.figures
    commands = {name: f'python -m lab.bench --only "{SINGLE_2 if name in (CPU_WORKER, CPU_POSTGRES) else name}"' for name in rounds}
    cpu = {name: Cpu.median(used) for name, used in run.cpu.items()}
    if arguments.json:
        print_json(run.rates, cpu, verdicts(rounds), commands, run.relations)
    else:
        print_tables(run.rates, cpu, verdicts(rounds), commands)
    return 0


if __name__ == "__main__":
    sys.exit(main())
