"""Tables for people, on standard output. Cells are plain text: markup and control characters in them mean nothing.

Amounts, times, ids and values of closed lists are never broken: a line gets longer than the terminal before that. Only
columns that are named as free text fold.
"""

import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output.text import printable

Row = TypeVar("Row")
FREE_WIDTH_MIN = 20  # to which free text is folded at most
_WIDTH_WITHOUT_TERMINAL = 240


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, free: Collection[str] = ()) -> None:
    """One table with a line per row, or `no rows` on standard error; the columns in `free` may fold.

    Numbers stand to the right, what is absent is a dash. Times are UTC, amounts CHF: the columns' names say so.
    """
    shown = [list(row) for row in rows]
    if not shown:
        typer.echo("no rows", err=True)
        return
    texts = [[cell(value) for value in row] for row in shown]
    table = Table()
    widths = []
    for n, column in enumerate(columns):
        numeric = any(isinstance(row[n], int | Decimal) and not isinstance(row[n], bool) for row in shown)
        longest = max(cell_len(column), *(cell_len(row[n]) for row in texts))
        folds = column in free
        widths.append(max(cell_len(column), min(longest, FREE_WIDTH_MIN)) if folds else longest)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=not folds, min_width=widths[-1])
    for row in texts:
        table.add_row(*map(Text, row))
    _print(table, widths)


def print_next_page(rows: Sequence[Row], limit: int, after: Callable[[Row], Sequence[str]]) -> None:
    """Under a page of `limit` rows, which there may be more behind, the options that ask for the next one; `after` tells them of the last row."""
    if len(rows) == limit:
        typer.echo(f"next page: {printable(shlex.join(after(rows[-1])))}")


def print_fields(fields: Mapping[str, object], *, free: Collection[str] = ()) -> None:
    """One table with a line per field of one thing; only the values of the fields in `free` may fold.

    A time's name is followed by "(UTC)", that of an amount by "CHF"; what ends in `_percent` is no amount.
    """
    texts = {_labelled(name, value): cell(value) for name, value in fields.items()}
    whole = [text for name, text in texts.items() if name not in free]
    folding = [min(cell_len(text), FREE_WIDTH_MIN) for name, text in texts.items() if name in free]
    widths = [max(map(cell_len, texts)), max(map(cell_len, whole), default=0)]
    widths[1] = max(widths[1], *folding, len("value")) if folding else max(widths[1], len("value"))
    table = Table()
    table.add_column("field", no_wrap=True, min_width=widths[0])
    table.add_column("value", overflow="fold", min_width=widths[1])
    for name, text in texts.items():
        table.add_row(Text(name), Text(text))
    _print(table, widths)


def cell(value: object) -> str:
    """`value` for people, as one line that a terminal shows as it is: amounts exact, times to the second, in UTC."""
    match value:
        case None:
            shown = "-"
        case bool():
            shown = "yes" if value else "no"
        case Decimal():
            shown = format(value, "f")
        case datetime():
            shown = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            shown = ", ".join(cell(item) for item in value) or "-"
        case dict():
            shown = ", ".join(f"{cell(name)}: {cell(item)}" for name, item in value.items()) or "-"
        case _:
            shown = printable(str(value))
    return shown


def _labelled(name: str, value: object) -> str:
    match value:
        case datetime():
            return f"{name} (UTC)"
        case Decimal() if not name.endswith("_percent"):
            return f"{name} CHF"
        case _:
            return name


def _print(table: Table, widths: Sequence[int]) -> None:
    """Prints the table as wide as its whole values need, whatever the terminal's width."""
    terminal = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns
    needed = sum(widths) + 3 * len(widths) + 1  # a blank on either side of each cell, and the lines between them
    Console(markup=False, highlight=False, emoji=False, width=max(terminal, needed)).print(table)
