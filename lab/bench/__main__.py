"""`python -m lab.bench`: events per second of each path, as ratios measured in one run on this machine."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from rich.console import Console
from rich.table import Table

from core.config import Configuration
from core.storage.migrate import upgrade
from lab import services
from lab.bench.drains import drain, drain_naive, latency_p99_seconds
from lab.bench.floors import schema_floor, sql_floor
from lab.bench.traffic import HOT_MANDATE, MANDATES, USERS
from lab.process import temporary_dir
from lab.services import Services

_DIRECTORY = f"""
    INSERT INTO directory_mandates (id, name) SELECT 'm' || g, 'Mandate ' || g FROM generate_series(0, {MANDATES - 1}) g;
    INSERT INTO directory_mandates (id, name) VALUES ('{HOT_MANDATE}', 'Hot');
    INSERT INTO directory_memberships (mandate_id, user_id) SELECT m.id, 'u' || u FROM directory_mandates m, generate_series(0, {USERS - 1}) u;
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    VALUES ('{HOT_MANDATE}', 'PREPAY_MANDATE', 10, 10, true, true, 'UTC');
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                          notify_on_warning, time_zone, changed_by)
    VALUES ('{HOT_MANDATE}', 1, 'PREPAY_MANDATE', 10, 10, true, true, 'UTC', 'bench');
"""


@dataclass(frozen=True)
class Goal:
    """A ratio of two measured rates and what it should be at least."""

    what: str
    rate: str
    against: str
    at_least: float


GOALS = [
    Goal("schema floor / SQL floor", "schema floor", "SQL floor", 0.6),
    Goal("batch messages / schema floor", "batch messages", "schema floor", 0.8),
    Goal("plain JSON / schema floor", "plain JSON", "schema floor", 0.8),
    Goal("single messages, 2 processes / schema floor", "single messages, 2 processes", "schema floor", 0.6),
    Goal("single messages, 2 processes / naive worker", "single messages, 2 processes", "naive worker", 40),
    Goal("hot pool, 1 process / spread, 1 process", "hot pool, 1 process", "single messages, 1 process", 1.0),
]
LATENCY_P99_MAX_SECONDS = 0.1


def measurements(own: Services, scale: float) -> dict[str, Callable[[], float]]:
    """Each path by name, as a function that measures it once, in events/s."""
    config = Configuration(database_url=own.database_url)
    n = int(60_000 * scale)
    return {
        "SQL floor": lambda: sql_floor(own.database_owner_url, n),
        "schema floor": lambda: schema_floor(config, n),
        "naive worker": lambda: drain_naive(own, int(3_000 * scale)),
        "single messages, 1 process": lambda: drain(own, "single", n, 1),
        "single messages, 2 processes": lambda: drain(own, "single", n, 2),
        "batch messages": lambda: drain(own, "batch", n, 1),
        "plain JSON": lambda: drain(own, "plain", n, 1),
        "hot pool, 1 process": lambda: drain(own, "single", n, 1, hot=True),
    }


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; a figure is their median (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of events (default 1)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    with temporary_dir() as folder:
        own = services.up(folder)
        try:
            upgrade(own.database_owner_url, own.database_url)
            with psycopg.connect(own.database_owner_url) as connection:
                connection.execute(_DIRECTORY)
            rates = _rounds(measurements(own, arguments.scale), arguments.rounds, console)
            console.print("latency at 1,000 events/s …")
            p99 = latency_p99_seconds(own, 1000, max(2, int(10 * arguments.scale)))
        finally:
            services.down(folder, delete=True)
    _print(rates, p99, as_json=arguments.json)
    return 0


def _rounds(paths: dict[str, Callable[[], float]], rounds: int, console: Console) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(1, rounds + 1):
        for name, measure in paths.items():
            rates[name].append(measure())
            console.print(f"round {number} of {rounds}: {name}: {rates[name][-1]:,.0f} events/s")
    return rates


def _print(rates: dict[str, list[float]], p99: float, *, as_json: bool) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {goal.what: medians[goal.rate] / medians[goal.against] for goal in GOALS}
    missed = [goal.what for goal in GOALS if ratios[goal.what] < goal.at_least] + (["latency p99"] if p99 > LATENCY_P99_MAX_SECONDS else [])
    if as_json:
        print(json.dumps({"events_per_second": rates, "ratios": ratios, "latency_p99_seconds": p99, "goals_missed": missed}))  # noqa: T201 - the result
        return
    table = Table("path", "events/s (median)", "lowest to highest", title="Rates of this run")
    for name, values in rates.items():
        table.add_row(name, f"{medians[name]:,.0f}", f"{min(values):,.0f} to {max(values):,.0f}")
    goals = Table("ratio", "measured", "goal", "met", title="Goals")
    for goal in GOALS:
        goals.add_row(goal.what, f"{ratios[goal.what]:.2f}", f"at least {goal.at_least:g}", "no" if goal.what in missed else "yes")
    goals.add_row(
        "publish to committed debit at 1,000 events/s, p99", f"{p99 * 1000:.0f} ms", "at most 100 ms", "no" if "latency p99" in missed else "yes"
    )
    console = Console()
    console.print(table)
    console.print(goals)


if __name__ == "__main__":
    sys.exit(main())
