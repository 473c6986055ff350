"""The one way in which commands show what they found or did: a JSON document for programs, text for people."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import typer

from cli.output.csv_out import print_records
from cli.output.format import Format, chosen, narrowed
from cli.output.tables import print_fields, print_next_page, print_table
from core.json_text import json_text

Column = str | tuple[str, str | Callable[[Any], object]]


class Listing:
    """The table of a kind of rows, declared once.

    A column is its heading and the attribute or function that gives the cell; a heading alone is the attribute's name, too.
    Columns in `free` fold; where a terminal has no room, those in `less` are left out, in this order. `after` tells, of the last row of
    a page, the options that ask for the next one. `hint` says why there may be no rows. `of` is the kind of the rows, whose fields are
    the columns of the CSV.
    """

    def __init__(
        self,
        *columns: Column,
        of: type | None = None,
        free: Collection[str] = (),
        less: Collection[str] = (),
        after: Callable[[Any], Sequence[str]] | None = None,
        hint: str | None = None,
    ) -> None:
        named = [(column, column) if isinstance(column, str) else column for column in columns]
        self.headings = [heading for heading, _ in named]
        self._cells = [attrgetter(cell) if isinstance(cell, str) else cell for _, cell in named]
        self.free, self.less, self.of, self._after, self._hint = free, less, of, after, hint
        unknown = {*free, *less} - {*self.headings}
        if unknown:
            raise ValueError(f"no such column: {', '.join(sorted(unknown))}")

    def cells(self, row: object) -> list[Any]:
        """The values of one row."""
        return [cell(row) for cell in self._cells]

    def _why_empty(self, empty: Callable[[], str] | None) -> str:
        told = narrowed()
        if told and {"--before", "--after", "--offset"} & set(told):
            return "no further rows"
        if told:
            return f"no rows: nothing matches {', '.join(told)}"
        return "no rows" if self._hint is None and empty is None else f"no rows: {self._hint if empty is None else empty()}"

    def print(
        self, rows: Sequence[object], limit: int | None = None, *, last: Sequence[Sequence[object]] = (), empty: Callable[[], str] | None = None
    ) -> None:
        """The rows as a table, then the cells of `last`; under a whole page of `limit` rows, what asks for the next one.

        Without rows it is what `empty` tells about why there are none.
        """
        shown = [*map(self.cells, rows), *last]
        why = "" if shown else self._why_empty(empty)
        print_table(self.headings, shown, free=self.free, less=self.less, empty=why)
        if limit is not None and self._after is not None:
            print_next_page(rows, limit, self._after)


def show(
    found: Any,
    *people: str | Mapping[str, object] | Callable[[], object],
    as_json: bool,
    free: Collection[str] = (),
    rows: Sequence[object] | None = None,
    of: type | None = None,
) -> None:
    """Shows one thing. People get its fields, or else each of `people` in turn: a text, other fields, or what a call prints.

    The fields in `free` fold between words. As CSV (`-o csv`) it is a line per item of `rows`, else of what was found where that is a
    list, else one line of its fields; `of` is the kind of the items, of which the header is where there are none.
    """
    if as_json or chosen() is Format.JSON:
        typer.echo(json_text(found, indent=2))
    elif chosen() is Format.CSV:
        print_records(rows if rows is not None else found if isinstance(found, list) else [found], of)
    else:
        for part in people or (found,):
            if isinstance(part, str):
                typer.echo(part)
            elif callable(part):
                part()
            else:
                print_fields(part if isinstance(part, Mapping) else asdict(part), free=free)


def show_rows(rows: Sequence[object], listing: Listing, limit: int | None = None, *, as_json: bool, empty: Callable[[], str] | None = None) -> None:
    """Shows the rows of a list: programs get every field of each. `empty` tells people why there are none."""
    show(rows, lambda: listing.print(rows, limit, empty=empty), as_json=as_json, rows=rows, of=listing.of)
