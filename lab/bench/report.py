"""What a run of the benchmarks prints: tables for people, one JSON line for programs."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.bench.cpu import Cpu
from lab.bench.goals import Verdict


def machine() -> str:
    """The machine in words: processors, memory, kind, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def print_json(
    rates: Mapping[str, Sequence[float]],
    cpu: Mapping[str, Cpu],
    found: Sequence[Verdict],
    commands: Mapping[str, str],
    relations: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """One line: every figure, the command that makes it, the bytes per event of each relation, and `goals_missed`."""
    document = {
        "machine": machine(),
        "events_per_second": {name: [round(value) for value in values] for name, values in rates.items()},
        "cpu_microseconds_per_event": {name: {k: round(v, 2) for k, v in vars(used).items()} for name, used in cpu.items()},
        "bytes_per_event": {name: round(value, 1) for name, value in relations.items()},
        "goals": [vars(verdict) for verdict in found],
        "commands": dict(commands),
        "goals_missed": [verdict.what for verdict in found if not verdict.met],
    }
    print(json.dumps(document))  # noqa: T201 - the result


def print_tables(rates: Mapping[str, Sequence[float]], cpu: Mapping[str, Cpu], found: Sequence[Verdict], commands: Mapping[str, str]) -> None:
    """Rates with what they cost, then goals."""
    console = Console(width=160)
    table = Table(
        "path", "events/s, median", "lowest to highest", "CPU µs per event: worker, PostgreSQL, broker", "command", title=f"Rates on {machine()}"
    )
    for name, values in rates.items():
        used = cpu.get(name)
        cost = f"{used.worker:.1f}, {used.postgres:.1f}, {used.broker:.1f}" if used else "-"
        table.add_row(name, f"{statistics.median(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}", cost, commands[name])
    goals = Table("goal", "measured", "lowest to highest", "should be", "met", title="Goals: the median ratio of the rounds")
    for v in found:
        digits = 0 if v.measured >= 100 else 2
        unit = f" {v.unit}" if v.unit else ""
        goals.add_row(
            v.what, f"{v.measured:,.{digits}f}{unit}", f"{v.lowest:,.{digits}f} to {v.highest:,.{digits}f}", v.goal, "yes" if v.met else "no"
        )
    console.print(table)
    console.print(goals)


def rates_in_markdown(measured: Mapping[str, Any]) -> str:
    """The rates of a run's `--json` as a table of Markdown."""
    lines = [
        f"Measured on {measured['machine']}.",
        "",
        "| path | events/s, median | lowest to highest | CPU µs per event: worker, PostgreSQL, broker | command |",
        "|---|---:|---:|---:|---|",
    ]
    for name, values in measured["events_per_second"].items():
        used = measured["cpu_microseconds_per_event"].get(name)
        cost = ", ".join(f"{used[kind]:.1f}" for kind in ("worker", "postgres", "broker")) if used else ""
        spread = f"{min(values):,} to {max(values):,}"
        lines.append(f"| {name} | {statistics.median(values):,.0f} | {spread} | {cost} | `{measured['commands'][name]}` |")
    return "\n".join(lines)


def goals_in_markdown(goals: Sequence[Mapping[str, Any]]) -> str:
    """Goals of runs' `--json` as a table of Markdown."""
    lines = ["| goal | measured | lowest to highest | should be | met |", "|---|---:|---:|---|---|"]
    for goal in goals:
        digits = 0 if goal["measured"] >= 100 else 2
        measured, lowest, highest = (f"{goal[name]:,.{digits}f}" for name in ("measured", "lowest", "highest"))
        unit = f" {goal['unit']}" if goal["unit"] else ""
        lines.append(f"| {goal['what']} | {measured}{unit} | {lowest} to {highest} | {goal['goal']} | {'yes' if goal['met'] else '**no**'} |")
    return "\n".join(lines)


def profile_in_markdown(measured: Mapping[str, Any]) -> str:
    """The steps of a batch as a table of Markdown."""
    lines = [f"Batches of {measured['batch']:,} events on {measured['machine']}.", "", "| step | µs per event |", "|---|---:|"]
    for title, kind in (("Python, processor time", "python"), ("PostgreSQL, until it has answered", "database")):
        steps = measured[kind]
        lines += [f"| **{title}** | **{sum(steps.values()):.1f}** |", *[f"| {name} | {value:.2f} |" for name, value in steps.items()]]
    return "\n".join(lines)
