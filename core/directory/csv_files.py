"""The directory out of CSV files: one for mandates, one for memberships, one for users.

A file is UTF-8 (a byte order mark is accepted) with a header line; its columns are the fields of the dataclasses in
`mirror.py`, in any order. An empty cell clears what was there; an empty or absent `enabled` keeps it. A row that can't be
used is reported and skipped, never the rest.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO, TypeVar

from core.directory.sql.mirror import Mandate, Membership, User
from core.errors import RequestRefused
from core.events.model import ID_LENGTH_MAX
from core.printable import shown
from core.record_files import Fault, csv_rows, yes_or_no
from core.time_zones import is_time_zone

NAME_LENGTH_MAX = 256
_NOT_TEXT = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(f"{chr(p * 65536 + 65534)}{chr(p * 65536 + 65535)}" for p in range(17)) + "]"
)
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


def read_mandates(path: Path, refuse: Refuse) -> Iterator[tuple[int, Mandate]]:
    """The mandates in the file, each with its line, read as they are asked for; `refuse` is told meanwhile what can't be used.

    Raises:
        RequestRefused: at once, if the file has no header or one with an unknown or missing column.
        OSError: the file can't be read.
    """
    return _read(path, refuse, Mandate, _mandate)


def read_memberships(path: Path, refuse: Refuse) -> Iterator[tuple[int, Membership]]:
    """As `read_mandates`, for memberships."""
    return _read(path, refuse, Membership, _membership)


def read_users(path: Path, refuse: Refuse) -> Iterator[tuple[int, User]]:
    """As `read_mandates`, for users."""
    return _read(path, refuse, User, _user)


def contradiction(path: Path, line: int, key: tuple[str, ...]) -> RefusedRow:
    """What is wrong with a row that has the key of an earlier one in the file, and says something else."""
    return RefusedRow(_shown(path), line, "row", shown(",".join(key)), "has the id of an earlier row and other content")


def _mandate(row: Row) -> Mandate:
    return Mandate(_id(row, "id"), _name(row, "name") or "", _name(row, "label"), _enabled(row), _time_zone(row))


def _membership(row: Row) -> Membership:
    return Membership(_id(row, "user_id"), _id(row, "mandate_id"), _enabled(row))


def _user(row: Row) -> User:
    return User(_id(row, "id"), _name(row, "username"), _name(row, "display_name"))


def _read(path: Path, refuse: Refuse, kind: type[Entry], entry_of: Callable[[Row], Entry]) -> Iterator[tuple[int, Entry]]:
    with _opened(path) as file:
        _check_header(path, csv_rows(file)[0], [field.name for field in fields(kind)])
    return _entries(path, refuse, entry_of)


def _entries(path: Path, refuse: Refuse, entry_of: Callable[[Row], Entry]) -> Iterator[tuple[int, Entry]]:
    with _opened(path) as file:
        for line, row in csv_rows(file)[1]:
            if row is None:
                continue
            try:
                if isinstance(row, Fault):
                    raise row
                entry = entry_of(row)
            except Fault as fault:
                refuse(RefusedRow(_shown(path), line, fault.field or "row", shown(fault.value or ""), fault.reason))
            else:
                yield line, entry


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _check_header(path: Path, header: list[str], known: list[str]) -> None:
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
        raise Fault(field, row[field], "is empty")
    return _text(row, field, ID_LENGTH_MAX)


def _name(row: Row, field: str) -> str | None:
    return _text(row, field, NAME_LENGTH_MAX) or None


def _text(row: Row, field: str, length_max: int) -> str:
    if len(row[field]) > length_max:
        raise Fault(field, row[field], f"has more than {length_max} characters")
    if _NOT_TEXT.search(row[field]):
        raise Fault(field, row[field], "has a control character, or is not UTF-8")
    return row[field]


def _enabled(row: Row) -> bool | None:
    cell = row.get("enabled")
    try:
        return yes_or_no(cell) if cell else None
    except ValueError as error:
        raise Fault("enabled", cell, str(error)) from None


def _time_zone(row: Row) -> str | None:
    zone = row["time_zone"]
    if zone and not is_time_zone(zone):
        raise Fault("time_zone", zone, "is not an IANA time zone that this program knows")
    return zone or None
