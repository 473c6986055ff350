"""The directory out of CSV files: one for mandates, one for memberships, one for users.

A file is UTF-8 (a byte order mark is accepted) with a header line; its columns are the fields of the dataclasses in
`mirror.py`, in any order. An empty cell clears what was there; an empty or absent `enabled` keeps it. A row that can't be
used is reported and skipped, never the rest.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from core.domain.rejection import shown
from core.domain.time_zones import is_time_zone
from core.domain.usage_event import ID_LENGTH_MAX
from core.errors import RequestRefused
from core.storage.directory.mirror import Mandate, Membership, User

NAME_LENGTH_MAX = 256
_NOT_TEXT = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(f"{chr(p * 65536 + 65534)}{chr(p * 65536 + 65535)}" for p in range(17)) + "]"
)
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
_OPTIONAL = frozenset({"enabled"})

Entry = TypeVar("Entry", Mandate, Membership, User)
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was skipped: where it stands, and what is wrong with which value. Plain ASCII."""

    file: str
    line: int
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field} {self.reason} (got {self.value})"


Refuse = Callable[[RefusedRow], None]


class _Fault(ValueError):
    """What is wrong with one row."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(reason)
        self.field, self.value, self.reason = field, value, reason


def read_mandates(path: Path, refuse: Refuse) -> Iterator[tuple[int, Mandate]]:
    """The mandates in the file, each with its line, read as they are asked for; `refuse` is told meanwhile what can't be used.

    Raises:
        RequestRefused: at once, if the file has no header or one with an unknown or missing column.
        OSError: the file can't be read.
    """
    _check_header(path, Mandate)
    return _read(path, refuse, _mandate)


def read_memberships(path: Path, refuse: Refuse) -> Iterator[tuple[int, Membership]]:
    """As `read_mandates`, for memberships."""
    _check_header(path, Membership)
    return _read(path, refuse, _membership)


def read_users(path: Path, refuse: Refuse) -> Iterator[tuple[int, User]]:
    """As `read_mandates`, for users."""
    _check_header(path, User)
    return _read(path, refuse, _user)


def contradiction(path: Path, line: int, key: tuple[str, ...]) -> RefusedRow:
    """What is wrong with a row that has the key of an earlier one in the file, and says something else."""
    return RefusedRow(_shown(path), line, "row", shown(",".join(key)), "has the id of an earlier row and other content")


def _mandate(row: Row) -> Mandate:
    return Mandate(_id(row, "id"), _name(row, "name") or "", _name(row, "label"), _enabled(row), _time_zone(row))


def _membership(row: Row) -> Membership:
    return Membership(_id(row, "user_id"), _id(row, "mandate_id"), _enabled(row))


def _user(row: Row) -> User:
    return User(_id(row, "id"), _name(row, "username"), _name(row, "display_name"))


def _read(path: Path, refuse: Refuse, entry_of: Callable[[Row], Entry]) -> Iterator[tuple[int, Entry]]:
    for line, cells in _rows(path):
        try:
            entry = entry_of(_whole(cells))
        except _Fault as fault:
            refuse(RefusedRow(_shown(path), line, fault.field, shown(fault.value), fault.reason))
        else:
            yield line, entry


def _whole(cells: Row | _Fault) -> Row:
    if isinstance(cells, _Fault):
        raise cells
    return cells


def _rows(path: Path) -> Iterator[tuple[int, Row | _Fault]]:
    """Each row after the header with the line it begins on; blank lines are no rows."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, _Fault("row", "", f"is not CSV: {error}")
                continue
            if cells and len(cells) != len(header):
                yield line, _Fault("row", ",".join(cells), f"has {len(cells)} fields, the header {len(header)}")
            elif cells:
                yield line, dict(zip(header, cells, strict=True))


def _check_header(path: Path, entry: type[Mandate | Membership | User]) -> None:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = next(csv.reader(file), [])
    known = [field.name for field in fields(entry)]
    name = _shown(path)
    if not header:
        raise RequestRefused(f"{name}: the header line is missing: {','.join(known)}")
    for column in header:
        if column not in known:
            raise RequestRefused(f"{name}: unknown column {shown(column)} in the header; known are {', '.join(known)}")
        if header.count(column) > 1:
            raise RequestRefused(f"{name}: column {column} is in the header twice")
    if missing := [column for column in known if column not in header and column not in _OPTIONAL]:
        raise RequestRefused(f"{name}: missing in the header: {', '.join(missing)}; known are {', '.join(known)}")


def _shown(path: Path) -> str:
    return shown(str(path)).strip("'\"")


def _id(row: Row, field: str) -> str:
    if not row[field]:
        raise _Fault(field, row[field], "is empty")
    return _text(row, field, ID_LENGTH_MAX)


def _name(row: Row, field: str) -> str | None:
    return _text(row, field, NAME_LENGTH_MAX) or None


def _text(row: Row, field: str, length_max: int) -> str:
    if len(row[field]) > length_max:
        raise _Fault(field, row[field], f"has more than {length_max} characters")
    if _NOT_TEXT.search(row[field]):
        raise _Fault(field, row[field], "has a control character, or is not UTF-8")
    return row[field]


def _enabled(row: Row) -> bool | None:
    value = row.get("enabled", "").lower()
    if not value:
        return None
    if value not in _TRUE | _FALSE:
        raise _Fault("enabled", row["enabled"], "is not true, false, 1, 0, yes or no")
    return value in _TRUE


def _time_zone(row: Row) -> str | None:
    zone = row["time_zone"]
    if zone and not is_time_zone(zone):
        raise _Fault("time_zone", zone, "is not an IANA time zone that this program knows")
    return zone or None
