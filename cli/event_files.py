"""Usage events out of JSONL or CSV, one after the other, whatever the size of the file; prices stay the text that was written."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO

from core.domain.contract import EventContract, TokenCounts
from core.domain.parsing import ALIASES
from core.domain.rejection import shown
from core.errors import RequestRefused

LINE_BYTES_MAX = 1024 * 1024  # as a message
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOKENS = frozenset(TokenCounts.model_fields)
_FIELDS = frozenset(EventContract.model_fields) - {"usage"}
_REQUIRED = [name for name, field in EventContract.model_fields.items() if field.is_required()]
_WHOLE_NUMBERS = _TOKENS | {"schema_version"}
_ACCEPTED = f"accepted are {', '.join(sorted(_FIELDS | _TOKENS))}, and the aliases {', '.join(sorted(ALIASES))}"

Fields = dict[str, Any]


class EventFormat(StrEnum):
    """How events stand in a file: a JSON object per line, or a CSV row under a header of the contract's field names."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event, or why the line is none; `position` is how many bytes of the file have been read."""

    number: int
    position: int
    fields: Fields | None
    problem: str = ""


class _Fault(ValueError):
    """What is wrong with one line."""


class _Lines:
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


def read_events(file: BinaryIO, kind: EventFormat) -> Iterator[EventLine]:
    """Each line that isn't blank, as an event or with what is wrong with it; memory is bounded by the longest line.

    Raises:
        RequestRefused: a CSV header with an unknown, repeated or missing column.
        OSError: the file can't be read.
    """
    lines = _Lines(file)
    return _csv_events(lines) if kind is EventFormat.CSV else _jsonl_events(lines)


def _jsonl_events(lines: _Lines) -> Iterator[EventLine]:
    for line in lines:
        try:
            _check_length(lines)
            if not line.strip():
                continue
            fields = _json_object(line)
        except _Fault as fault:
            yield EventLine(lines.number, lines.position, None, str(fault))
        else:
            yield EventLine(lines.number, lines.position, fields)


def _json_object(line: bytes) -> Fields:
    line = line.strip()
    try:
        value = _DECODER.decode(line.decode())
    except RecursionError:
        raise _Fault(f"is nested too deep (got {shown(line)})") from None
    except _Fault as fault:
        raise _Fault(f"{fault} (got {shown(line)})") from None
    except UnicodeDecodeError as error:
        raise _Fault(f"is not UTF-8: {error.reason} (got {shown(line)})") from None
    except ValueError as error:
        raise _Fault(f"is not JSON: {error} (got {shown(line)})") from None
    if not isinstance(value, dict):
        raise _Fault(f"is not a JSON object (got {shown(line)})")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Fault("has a key twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise _Fault(f"is not JSON: {name} is no JSON number")


# A number with a fraction or an exponent becomes the text that stands there: no price ever passes a float.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_unique)


def _csv_events(lines: _Lines) -> Iterator[EventLine]:
    rows = csv.reader(line.decode("utf-8", "surrogateescape") for line in lines)
    header = _header(rows)
    while True:
        number = lines.number + 1
        try:
            cells = next(rows)
            _check_length(lines)
            if cells:
                yield EventLine(number, lines.position, _fields(header, cells))
        except StopIteration:
            return
        except csv.Error as error:
            yield EventLine(number, lines.position, None, f"is not CSV: {shown(str(error))}")
        except _Fault as fault:
            yield EventLine(number, lines.position, None, str(fault))


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise RequestRefused(f"the header is not CSV: {shown(str(error))}") from None
    canonical = [ALIASES.get(name, name) for name in header]
    for name, column in zip(canonical, header, strict=True):
        if name not in _FIELDS | _TOKENS:
            raise RequestRefused(f"the header has {shown(column)}, which is not a field of the contract: {_ACCEPTED}")
        if canonical.count(name) > 1:
            raise RequestRefused(f"the header has {name} twice: {_ACCEPTED}")
    if missing := [name for name in _REQUIRED if name not in canonical]:
        raise RequestRefused(f"the header lacks {', '.join(missing)}: {_ACCEPTED}")
    return canonical


def _fields(header: Sequence[str], cells: Sequence[str]) -> Fields:
    """The event of a row: empty cells are absent, token counts are in `usage`."""
    if len(cells) != len(header):
        raise _Fault(f"has {len(cells)} fields, the header {len(header)} (got {shown(','.join(cells))})")
    given = {name: _value(name, cell) for name, cell in zip(header, cells, strict=True) if cell}
    fields = {name: value for name, value in given.items() if name not in _TOKENS}
    usage = {name: value for name, value in given.items() if name in _TOKENS}
    return {**fields, "usage": usage} if usage else fields


def _value(name: str, cell: str) -> str | int:
    if any("\ud800" <= character <= "\udfff" for character in cell):
        raise _Fault(f"{name} is not UTF-8 (got {shown(cell)})")
    if name not in _WHOLE_NUMBERS:
        return cell
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 20):
        raise _Fault(f"{name} is not a whole number (got {shown(cell)})")
    return int(cell)


def _check_length(lines: _Lines) -> None:
    if lines.overlong:
        lines.overlong = False
        raise _Fault(f"has more than {LINE_BYTES_MAX} bytes")
