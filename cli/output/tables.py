"""Tables for people, on standard output. Cells are plain text: markup and control characters in them mean nothing.

A table fits into the terminal: headings and free text fold, then the columns that matter least are left out and named (`--wide` shows
all), then ids fold. Amounts, times and values of closed lists are never broken. Where standard output is no terminal, nothing is folded
or left out, and no lines are drawn.
"""

import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from textwrap import fill
from typing import TypeVar

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output.fitting import Column, Fitted, fit
from cli.output.format import every_column, on_terminal
from cli.output.notes import note
from cli.output.text import printable

Row = TypeVar("Row")
_WIDTH_WITHOUT_TERMINAL = 240
_HEIGHT = 24
_PLACES_MIN = 2
_GAP = "  "


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, free: Collection[str] = (), less: Collection[str] = (), empty: str = "no rows"
) -> None:
    """One table with a line per row, or `empty` on standard error; the columns in `free` fold first, those in `less` are left out first.

    Numbers stand to the right, what is absent is a dash. Times are UTC, amounts CHF: the columns' names say so.
    """
    shown = [list(row) for row in rows]
    if not shown:
        note(empty)
        return
    made = [_column(name, [row[n] for row in shown], free=name in free) for n, name in enumerate(columns)]
    if not on_terminal():
        _print_plain(made)
        return
    fitted = fit(made, _terminal_width(), [_in_words(name) for name in less], every=every_column())
    _print_drawn(made, fitted)
    if fitted.left_out:
        told = f"left out for want of room: {', '.join(dict.fromkeys(fitted.left_out))}; --wide shows all"
        typer.echo(fill(told, _terminal_width(), break_on_hyphens=False))


def print_next_page(rows: Sequence[Row], limit: int, after: Callable[[Row], Sequence[str]]) -> None:
    """Under a page of `limit` rows, which there may be more behind, the options that ask for the next one; `after` tells them of the last row."""
    if len(rows) == limit:
        typer.echo(f"next page: {printable(shlex.join(after(rows[-1])))}")


def print_fields(fields: Mapping[str, object], *, free: Collection[str] = ()) -> None:
    """A line per field of one thing; on a terminal long values fold, those of the fields in `free` between words.

    A time's name is followed by "(UTC)", that of an amount by "CHF"; what ends in `_percent` is no amount.
    """
    texts = {_labelled(name, value): _shown(value) for name, value in fields.items()}
    width = max(map(cell_len, texts), default=0)
    if not on_terminal():
        for name, text in texts.items():
            _write(f"{_padded(name, width)}{_GAP}{text}")
        return
    terminal = _terminal_width()
    whole = width + len(_GAP) + max(map(cell_len, texts.values()), default=0)
    room = whole if every_column() else max(terminal - width - len(_GAP), 1)
    table = _drawn_table()
    table.show_header = False
    table.add_column(no_wrap=True, min_width=width)
    table.add_column(overflow="fold")
    for name, text in texts.items():
        table.add_row(Text(name), Text(text if name in free else "\n".join(_pieces(text, room))))
    _print(table, max(terminal, whole) if every_column() else terminal)


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


def places(amounts: Iterable[Decimal]) -> int:
    """As many decimal places as it takes to show each of the amounts whole, at least two."""
    return max([_PLACES_MIN, *(len(f"{amount:f}".partition(".")[2].rstrip("0")) for amount in amounts)])


def _column(heading: str, values: Sequence[object], *, free: bool) -> Column:
    amounts = [value for value in values if isinstance(value, Decimal)]
    exact = places(amounts) if amounts and on_terminal() else None
    heading = _in_words(heading) if on_terminal() else heading
    cells = [f"{value:.{exact}f}" if exact is not None and isinstance(value, Decimal) else cell(value) for value in values]
    numeric = any(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in values)
    text = any(isinstance(value, str | list | tuple | dict) and not isinstance(value, StrEnum) for value in values) and not numeric
    return Column(heading, cells, free, text, numeric)


def _in_words(heading: str) -> str:
    """A field's name as a heading that can fold."""
    return heading.replace("_", " ")


def _shown(value: object) -> str:
    """A field's value: at a terminal an amount without the zeros that say nothing."""
    return f"{value:.{places([value])}f}" if isinstance(value, Decimal) and on_terminal() else cell(value)


def _print_plain(columns: Sequence[Column]) -> None:
    widths = [column.whole for column in columns]
    for line in zip(*([column.heading, *column.cells] for column in columns), strict=True):
        padded = (_padded(text, width, right=column.numeric) for text, width, column in zip(line, widths, columns, strict=True))
        _write(_GAP.join(padded))


def _write(line: str) -> None:
    """Past typer's own stream, which takes an ASCII terminal for a mistake."""
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def _print_drawn(columns: Sequence[Column], fitted: Fitted) -> None:
    table = _drawn_table()
    for n, width in zip(fitted.columns, fitted.widths, strict=True):
        column = columns[n]
        table.add_column(Text(column.heading), justify="right" if column.numeric else "left", overflow="fold", width=width)
    for row in zip(*(columns[n].cells for n in fitted.columns), strict=True):
        table.add_row(*map(Text, row))
    _print(table, max(_terminal_width(), sum(fitted.widths) + len(_GAP) * (len(fitted.widths) - 1)))


def _drawn_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _padded(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _pieces(text: str, width: int) -> list[str]:
    """The text in pieces of at most this width, broken anywhere."""
    pieces, piece = [], ""
    for letter in text:
        if cell_len(piece + letter) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def _labelled(name: str, value: object) -> str:
    match value:
        case datetime():
            return f"{name} (UTC)"
        case Decimal() if not name.endswith("_percent"):
            return f"{name} CHF"
        case _:
            return name


def _terminal_width() -> int:
    return shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, _HEIGHT)).columns


def _print(table: Table, width: int) -> None:
    # Without a height a dumb terminal is taken for one of 80 columns.
    Console(markup=False, highlight=False, emoji=False, width=width, height=_HEIGHT).print(table)
