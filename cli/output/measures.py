"""What was used by class, and what it cost at the provider, for people."""

from collections.abc import Mapping
from decimal import Decimal

import typer

from cli.output.tables import print_table
from core.dialects.leaves import whole_input, whole_output
from core.dialects.model import INPUT_LEAVES, OUTPUT_LEAVES, UNITS


def print_measures(leaves: Mapping[str, int], costs: Mapping[str, Decimal]) -> None:
    """A table of the leaves with the sums of them, and a line for each currency; nothing where nothing is known."""
    if leaves:
        print_table(("used", "count", "of which"), [(name, count, "" if of is None else of) for name, count, of in leaf_lines(leaves)])
    for currency, cost in costs.items():
        typer.echo(f"provider cost: {cost:f} {currency}")


def leaf_lines(leaves: Mapping[str, int]) -> list[tuple[str, int, str | None]]:
    """A line for all input and all output with the leaves of it behind (their name last), then the units."""
    lines: list[tuple[str, int, str | None]] = []
    for whole, count, parts in (("input", whole_input(leaves), INPUT_LEAVES), ("output", whole_output(leaves), OUTPUT_LEAVES)):
        if count:
            lines += [(f"all {whole} tokens", count, None), *[("", leaves[leaf], leaf.value) for leaf in parts if leaf in leaves]]
    return lines + [(unit.value.replace("_", " "), leaves[unit], None) for unit in UNITS if unit in leaves]
