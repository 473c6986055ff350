"""CSV for spreadsheets and programs: UTF-8, a header, then one line per row; a value that is absent is an empty cell."""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from io import RawIOBase
from pathlib import PurePath

from core.json_text import json_text
from core.reports.columns import Column, Kind, Row

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTED = re.compile(r'[",\r\n]')
_SPECIAL = re.compile(r'\A[=+\-@\t]|[",\r\n]')  # a formula, or to be quoted


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints the rows; a text that a spreadsheet would run as a formula has an apostrophe before it, decimals are exact.

    Times are ISO 8601 as in JSON, yes and no are `true` and `false`, and what has parts is one JSON text.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)


def write_csv(file: RawIOBase, columns: Sequence[Column], chunks: Iterable[Sequence[Row]]) -> None:
    """Writes the rows as `print_csv` prints them, but tells an empty text, which is quoted, from an absent one.

    Times are UTC and look alike in all lines of a column.
    """
    cells = [_CELLS[column.kind] for column in columns]
    file.write((",".join(column.name for column in columns) + "\n").encode())
    for chunk in chunks:
        lines = [",".join(["" if value is None else told(value) for told, value in zip(cells, row, strict=True)]) + "\n" for row in chunk]
        file.write("".join(lines).encode())


def print_records(records: Sequence[object], kind: type | None = None) -> None:
    """Prints a line per record: its fields under their names, as in JSON. Without records it is the header of `kind`."""
    named = [named_fields(record) for record in records]
    columns = list(named[0]) if named else [field.name for field in fields(kind)] if kind is not None else []
    if columns:
        print_csv(columns, ([one.get(column) for column in columns] for one in named))


def named_fields(record: object) -> Mapping[str, object]:
    """The fields of a record by name; of what has none, itself under the name `value`."""
    if isinstance(record, Mapping):
        return record
    if is_dataclass(record) and not isinstance(record, type):
        return {field.name: getattr(record, field.name) for field in fields(record)}
    names = getattr(record, "_fields", None)
    return {"value": record} if names is None else dict(zip(names, record, strict=True))  # type: ignore[call-overload]


def cell(value: object) -> object:
    """What stands in a cell, as `print_csv` has it."""
    match value:
        case None | int() | float() if not isinstance(value, bool):
            shown: object = value
        case str() | PurePath():
            shown = _guarded(str(value))
        case Decimal():
            shown = format(value, "f")
        case date():
            shown = value.isoformat()
        case _:
            shown = json_text(value)
    return shown


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(text: str) -> str:
    """As the standard library's writer quotes, but a carriage return too, which Python before 3.13 leaves bare."""
    if text and not _SPECIAL.search(text):
        return text
    guarded = _guarded(text)
    return '"' + guarded.replace('"', '""') + '"' if not text or _QUOTED.search(text) else guarded


def _decimal(value: Decimal) -> str:
    return format(value, "f")


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _bound(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"


_CELLS: Mapping[Kind, Callable[..., str]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: str,
    Kind.AMOUNT: _decimal,
    Kind.TOTAL: _decimal,
    Kind.COST: _decimal,
    Kind.COUNT: _decimal,
    Kind.TIME: _time,
    Kind.BOUND: _bound,
    Kind.DAY: date.isoformat,
}
