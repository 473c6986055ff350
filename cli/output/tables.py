"""Tables for people, on standard output. Cells are plain text: markup and control characters in them mean nothing."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output.text import printable


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One table with a line per row; numbers stand to the right, what is absent is a dash."""
    shown = [list(row) for row in rows]
    table = Table()
    for n, column in enumerate(columns):
        numeric = any(isinstance(row[n], int | Decimal) and not isinstance(row[n], bool) for row in shown)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell(value)) for value in row))
    _console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """One table with a line per field of one thing."""
    print_table(("field", "value"), [(name, cell(value)) for name, value in fields.items()])


def cell(value: object) -> str:
    """`value` for people, as one line that a terminal shows as it is: amounts exact, times in seconds with their offset."""
    match value:
        case None:
            shown = "-"
        case bool():
            shown = "yes" if value else "no"
        case Decimal():
            shown = format(value, "f")
        case datetime():
            shown = value.isoformat(sep=" ", timespec="seconds")
        case list():
            shown = ", ".join(cell(item) for item in value) or "-"
        case dict():
            shown = ", ".join(f"{cell(name)}: {cell(item)}" for name, item in value.items()) or "-"
        case _:
            shown = printable(str(value))
    return shown


def _console() -> Console:
    # Without a terminal rich assumes 80 columns and would fold ids apart.
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 240)
