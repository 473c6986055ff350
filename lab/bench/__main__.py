"""`python -m lab.bench`: events per second of each path, as ratios measured in one run on this machine."""

import argparse
import sys
from collections.abc import Callable, Mapping

from rich.console import Console

from core.config import Configuration
from lab.bench.backfill import backfill_rates
from lab.bench.books import benchmark_services
from lab.bench.checks import CHECKS
from lab.bench.cpu import Cpu
from lab.bench.drains import Drained, drain, drain_naive, latency_p99_seconds
from lab.bench.floors import schema_floor, sql_floor, wide_floor
from lab.bench.goals import (
    BACKFILL,
    BACKFILL_FLOOR,
    BATCH,
    HOT,
    HOT_2,
    LATENCY,
    NAIVE,
    PLAIN,
    RABBITMQ,
    RABBITMQ_2,
    ROLLUP,
    SCHEMA_FLOOR,
    SINGLE,
    SINGLE_2,
    SQL_FLOOR,
    WIDE,
    verdicts,
)
from lab.bench.rabbit import drain_rabbitmq
from lab.bench.report import print_json, print_tables
from lab.bench.rollup import rollup_ratios
from lab.rabbitmq import INSTALL, is_installed
from lab.services import Services

Measure = Callable[[], Drained]


def paths(own: Services, scale: float) -> dict[str, Measure]:
    """Each path by name, as a function that measures it once."""
    config = Configuration(database_url=own.database_url)
    n = int(100_000 * scale)
    return {
        SQL_FLOOR: lambda: Drained(sql_floor(own.database_owner_url, n)),
        SCHEMA_FLOOR: lambda: Drained(schema_floor(config, n)),
        WIDE: lambda: Drained(wide_floor(config, own.database_owner_url, n)),
        NAIVE: lambda: drain_naive(own, int(3_000 * scale)),
        SINGLE: lambda: drain(own, "single", n, 1),
        SINGLE_2: lambda: drain(own, "single", n, 2),
        BATCH: lambda: drain(own, "batch", 2 * n, 1),
        PLAIN: lambda: drain(own, "plain", n, 1),
        HOT: lambda: drain(own, "single", n, 1, hot=True),
        HOT_2: lambda: drain(own, "single", n, 2, hot=True),
    } | ({RABBITMQ: lambda: drain_rabbitmq(own, n, 1), RABBITMQ_2: lambda: drain_rabbitmq(own, n, 2)} if is_installed() else {})


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; a figure is their median (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of events (default 1)")
    parser.add_argument("--only", action="append", metavar="PATH", help="measure this path alone; repeat it for several")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    if not is_installed():
        console.print(f"RabbitMQ is left out: {INSTALL}")
    with benchmark_services() as own:
        chosen = paths(own, arguments.scale)
        if arguments.only:
            names = [*chosen, LATENCY, *CHECKS, ROLLUP, BACKFILL, BACKFILL_FLOOR]
            if unknown := set(arguments.only) - {*names}:
                parser.error(f"no path is called {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
            chosen = {name: measure for name, measure in chosen.items() if name in arguments.only}
        rates, cpu = _rounds(chosen, arguments.rounds, console)
        figures = dict(rates)
        if not arguments.only or LATENCY in arguments.only:
            console.print(f"{LATENCY} …")
            figures[LATENCY] = [latency_p99_seconds(own, 1000, max(2, int(10 * arguments.scale))) * 1000]
        for name, p99_seconds in CHECKS.items():
            if not arguments.only or name in arguments.only:
                console.print(f"{name} …")
                figures[name] = [p99_seconds(own, max(200, int(2000 * arguments.scale))) * 1000]
        if not arguments.only or ROLLUP in arguments.only:
            console.print(f"{ROLLUP} …")
            figures[ROLLUP] = rollup_ratios(own, int(1_000_000 * arguments.scale), arguments.rounds)
        if not arguments.only or {BACKFILL, BACKFILL_FLOOR} & {*arguments.only}:  # the last one: it empties the books
            console.print(f"{BACKFILL} …")
            rates |= backfill_rates(own, int(1_000_000 * arguments.scale), arguments.rounds)
    show = print_json if arguments.json else print_tables
    show(rates, cpu, verdicts(rates | figures), {name: f'python -m lab.bench --only "{name}"' for name in rates | figures})
    return 0


def _rounds(chosen: Mapping[str, Measure], rounds: int, console: Console) -> tuple[dict[str, list[float]], dict[str, Cpu]]:
    rates: dict[str, list[float]] = {name: [] for name in chosen}
    cpu: dict[str, Cpu] = {}
    for number in range(1, rounds + 1):
        for name, measure in chosen.items():
            drained = measure()
            rates[name].append(drained.rate)
            if drained.cpu:
                cpu[name] = drained.cpu
            console.print(f"round {number} of {rounds}: {name}: {drained.rate:,.0f} events/s")
    return rates, cpu


if __name__ == "__main__":
    sys.exit(main())
