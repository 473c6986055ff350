"""The one way in which commands show what they found or did: a JSON document for programs, text for people."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import typer

from cli.output.tables import print_fields, print_next_page, print_table
from core.json_text import json_text

Column = str | tuple[str, str | Callable[[Any], object]]


class Listing:
    """The table of a kind of rows, declared once.

    A column is its heading and the attribute or function that gives the cell; a heading alone is the attribute's name, too.
    Columns in `free` may fold. `after` tells, of the last row of a page, the options that ask for the next one.
    """

    def __init__(self, *columns: Column, free: Collection[str] = (), after: Callable[[Any], Sequence[str]] | None = None) -> None:
        named = [(column, column) if isinstance(column, str) else column for column in columns]
        self._headings = [heading for heading, _ in named]
        self._cells = [attrgetter(cell) if isinstance(cell, str) else cell for _, cell in named]
        self._free, self._after = free, after

    def cells(self, row: object) -> list[Any]:
        """The values of one row."""
        return [cell(row) for cell in self._cells]

    def print(self, rows: Sequence[object], limit: int | None = None, *, last: Sequence[Sequence[object]] = ()) -> None:
        """The rows as a table, then the cells of `last`; under a whole page of `limit` rows, what asks for the next one."""
        print_table(self._headings, [*map(self.cells, rows), *last], free=self._free)
        if limit is not None and self._after is not None:
            print_next_page(rows, limit, self._after)


def show(found: Any, *people: str | Mapping[str, object] | Callable[[], object], as_json: bool, free: Collection[str] = ()) -> None:
    """Shows one thing. People get its fields, or else each of `people` in turn: a text, other fields, or what a call prints.

    The fields in `free` may fold.
    """
    if as_json:
        typer.echo(json_text(found, indent=2))
        return
    for part in people or (found,):
        if isinstance(part, str):
            typer.echo(part)
        elif callable(part):
            part()
        else:
            print_fields(part if isinstance(part, Mapping) else asdict(part), free=free)


def show_rows(rows: Sequence[object], listing: Listing, limit: int | None = None, *, as_json: bool) -> None:
    """Shows the rows of a list: programs get every field of each."""
    show(rows, lambda: listing.print(rows, limit), as_json=as_json)
