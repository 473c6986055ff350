"""Records out of JSONL or CSV, one after the other, whatever the size of the file; amounts stay the text that was written."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO

from core.errors import RequestRefused
from core.json_exact import repetition
from core.printable import shown

LINE_BYTES_MAX = 1024 * 1024  # as a message
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})

Fields = dict[str, Any]
Wanted = Callable[[bytes], bool]


class FileFormat(StrEnum):
    """How records stand in a file: a JSON object per line, or a CSV row under a header of field names."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One record, or why the line is none; `position` is how many bytes of the file have been read.

    Of JSONL `raw` is the line; of a record that was wanted as it stands `fields` is empty.
    """

    number: int
    position: int
    fields: Fields | None
    problem: str = ""
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a CSV file may have, each with what makes a value of its cells, and those that it must have."""

    what: str  # what a column is a field of, for the error about one that is none
    values: Mapping[str, Callable[[str], object]]
    required: Sequence[str]
    inside: Mapping[str, str] = field(default_factory=dict)  # column -> the object that it is a field of
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> str:
        """For people: what a header may have."""
        aliases = f", and the aliases {', '.join(sorted(self.aliases))}" if self.aliases else ""
        return f"accepted are {', '.join(sorted(self.values))}{aliases}"


class Fault(ValueError):
    """What is wrong with one record: in which field of it (none: as a whole), with which value (None: it isn't shown)."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field} {reason}".lstrip() + ("" if value is None else f" (got {shown(value)})"))
        self.field, self.value, self.reason = field, value, reason


class Lines:
    """The lines of a file with their number and position; one that is too long is given as nothing, with `overlong` set."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number, self.position, self.overlong = 0, 0, False

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(LINE_BYTES_MAX + 1):
            self.number += 1
            self.position += len(line)
            self.overlong = self.overlong or len(line) > LINE_BYTES_MAX
            if len(line) > LINE_BYTES_MAX:
                while line and not line.endswith(b"\n"):
                    line = self._file.readline(LINE_BYTES_MAX)
                    self.position += len(line)
                line = b"\n"
            yield line.removeprefix(_BYTE_ORDER_MARK) if self.number == 1 else line


def read_records(file: BinaryIO, kind: FileFormat, columns: Columns, *, as_it_stands: Wanted = lambda _: False) -> Iterator[RecordLine]:
    """Each line that isn't blank, as a record or with what is wrong with it; memory is bounded by the longest line.

    Args:
        file: where they stand.
        kind: how.
        columns: of CSV.
        as_it_stands: whether a line of JSONL needn't be taken apart.

    Raises:
        RequestRefused: a CSV header with an unknown, repeated or missing column.
        OSError: the file can't be read.
    """
    lines = Lines(file)
    return _csv_records(lines, columns) if kind is FileFormat.CSV else _jsonl_records(lines, as_it_stands)


def csv_rows(lines: Iterable[str]) -> tuple[list[str], Iterator[tuple[int, dict[str, str] | Fault | None]]]:
    """The header of a CSV file (empty: there is none), and each row under it with the line that it begins on; None: a blank line.

    Raises:
        RequestRefused: the header is not CSV.
    """
    reader = csv.reader(lines)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise RequestRefused(f"the header is not CSV: {shown(str(error))}") from None
    return header, _rows(reader, header)


def text(cell: str) -> str:
    """The cell as it stands."""
    return cell


def whole_number(cell: str) -> int:
    """The number that the digits of the cell make.

    Raises:
        ValueError: it is anything else.
    """
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 20):
        raise ValueError("is not a whole number")
    return int(cell)


def yes_or_no(cell: str) -> bool:
    """Whether the cell says true, 1 or yes, in any case.

    Raises:
        ValueError: it says neither that nor false, 0 or no.
    """
    if cell.lower() not in _TRUE | _FALSE:
        raise ValueError("is not true, false, 1, 0, yes or no")
    return cell.lower() in _TRUE


def listed(cell: str) -> list[str]:
    """What stands in the cell between semicolons, without the blanks around it."""
    return [item.strip() for item in cell.split(";") if item.strip()]


def _rows(reader: Any, header: list[str]) -> Iterator[tuple[int, dict[str, str] | Fault | None]]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, Fault("", None, f"is not CSV: {error}")
            continue
        if cells and len(cells) != len(header):
            yield line, Fault("", ",".join(cells), f"has {len(cells)} fields, the header {len(header)}")
        else:
            yield line, dict(zip(header, cells, strict=True)) if cells else None


def _jsonl_records(lines: Lines, as_it_stands: Wanted) -> Iterator[RecordLine]:
    for line in lines:
        if as_it_stands(line):
            yield RecordLine(lines.number, lines.position, {}, raw=line.strip())
            continue
        try:
            _check_length(lines)
            if not line.strip():
                continue
            fields = _json_object(line)
        except Fault as fault:
            yield RecordLine(lines.number, lines.position, None, str(fault))
        else:
            yield RecordLine(lines.number, lines.position, fields, raw=line.strip())


def _json_object(line: bytes) -> Fields:
    line = line.strip()
    try:
        value = _DECODER.decode(line.decode())
    except RecursionError:
        raise Fault("", line, "is nested too deep") from None
    except Fault as fault:
        raise Fault("", line, fault.reason) from None
    except UnicodeDecodeError as error:
        raise Fault("", line, f"is not UTF-8: {error.reason}") from None
    except ValueError as error:
        raise Fault("", line, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Fault("", line, "is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    if twice := repetition(pairs):
        raise Fault("", None, f"is no single record: {twice}")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise Fault("", None, f"is not JSON: {name} is no JSON number")


# A number with a fraction or an exponent becomes the text that stands there: no amount ever passes a float.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_unique)


def _csv_records(lines: Lines, columns: Columns) -> Iterator[RecordLine]:
    header, rows = csv_rows(line.decode("utf-8", "surrogateescape") for line in lines)
    _check_header(header, columns)
    for number, row in rows:
        try:
            _check_length(lines)
            if isinstance(row, Fault):
                raise row
            if row is not None:
                yield RecordLine(number, lines.position, _fields(row, columns))
        except Fault as fault:
            yield RecordLine(number, lines.position, None, str(fault))


def _check_header(header: list[str], columns: Columns) -> None:
    canonical = [columns.aliases.get(name, name) for name in header]
    for name, column in zip(canonical, header, strict=True):
        if name not in columns.values:
            raise RequestRefused(f"the header has {shown(column)}, which is not a field of {columns.what}: {columns.accepted}")
        if canonical.count(name) > 1:
            raise RequestRefused(f"the header has {name} twice: {columns.accepted}")
    if missing := [name for name in columns.required if name not in canonical]:
        raise RequestRefused(f"the header lacks {', '.join(missing)}: {columns.accepted}")


def _fields(row: Mapping[str, str], columns: Columns) -> Fields:
    """The record of a row: empty cells are absent, and fields of an object are in it."""
    fields: Fields = {}
    for column, cell in row.items():
        if cell:
            name = columns.aliases.get(column, column)
            inside = columns.inside.get(name)
            (fields if inside is None else fields.setdefault(inside, {}))[name] = _value(name, cell, columns.values[name])
    return fields


def _value(name: str, cell: str, value_of: Callable[[str], object]) -> object:
    if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
        raise Fault(name, cell, "is not UTF-8")
    try:
        return value_of(cell)
    except ValueError as error:
        raise Fault(name, cell, str(error)) from None


def _check_length(lines: Lines) -> None:
    if lines.overlong:
        lines.overlong = False
        raise Fault("", None, f"has more than {LINE_BYTES_MAX} bytes")
