"""Rows of the price book out of a CSV file; docs/prices.md has the columns."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.dialects.model import DIMENSIONS, Leaf
from core.errors import LinesRefused, RequestRefused
from core.events.model import parse_time
from core.money import parse_decimal
from core.prices.content import PER
from core.prices.model import Boundary, Layer, PriceRow
from core.prices.offer import Converted, Offer, converted_amount
from core.printable import shown
from core.record_files import Fault, csv_rows, whole_number

_PER_MAX = 10**9
_REQUIRED = ("provider", "model", "leaf", "amount", "per", "currency")
_PRICED = ("leaf", "from_tokens", "boundary", "amount", "per", "currency")
COLUMNS = ("layer", "mandate_id", "book", "provider", "model", *DIMENSIONS, *_PRICED, "valid_from", "valid_to", "basis", "source")
Defaults = Mapping[str, Mapping[str, str]]


@dataclass
class _File:
    """What has been read so far."""

    rows: list[PriceRow] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    converted: list[Converted] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_csv(path: Path, defaults: Defaults) -> Offer:
    """The rows of the file, all or none.

    Args:
        path: a UTF-8 file with a header.
        defaults: by provider, what an empty cell of a dimension stands for.

    Raises:
        RequestRefused: the header has an unknown, repeated or missing column.
        LinesRefused: names every line that can't be used, with field, value and what helps.
        OSError: the file can't be read.
    """
    content = path.read_bytes()
    text = content.decode("utf-8-sig", "surrogateescape")
    header, rows = csv_rows(io.StringIO(text, newline=""))
    _check_header(header)
    read = _File()
    for number, row in rows:
        if row is not None:
            _take(read, number, row, defaults)
    if read.faults:
        raise LinesRefused(f"{shown(path.name)} has {len(read.faults)} faults, and nothing of it was taken over", read.faults)
    return Offer(f"csv {path.name}", hashlib.sha256(content).hexdigest(), read.rows, converted=read.converted, lines=read.lines)


def _check_header(header: list[str]) -> None:
    known = f"known are {', '.join(COLUMNS)}"
    for column in header:
        if column not in COLUMNS:
            raise RequestRefused(f"unknown column {shown(column)}; {known}", field="header", value=column)
        if header.count(column) > 1:
            raise RequestRefused(f"column {column} is there twice", field="header", value=column)
    if missing := [column for column in _REQUIRED if column not in header]:
        raise RequestRefused(f"lacks {', '.join(missing)}; {known}", field="header", value=", ".join(header))


def _take(read: _File, number: int, cells: dict[str, str] | Fault, defaults: Defaults) -> None:
    """One line: a row, or each of its faults."""
    if isinstance(cells, Fault):
        read.faults.append(f"line {number}: {cells}")
        return
    values: dict[str, Any] = {}
    wrong = False
    for column, value_of in _VALUES.items():
        cell = cells.get(column, "")
        try:
            values[column] = value_of(cell) if cell else _empty(column, cells, defaults)
        except ValueError as error:
            wrong = True
            read.faults.append(f"line {number}: {column} {error} (got {shown(cell)})")
    if not wrong:
        read.rows.append(_row(read, values))
        read.lines.append(number)


def _row(read: _File, values: dict[str, Any]) -> PriceRow:
    stated, stated_per = values.pop("amount"), values.pop("per")
    amount, per, rounded = (stated, stated_per, False)
    if stated_per not in PER:
        amount, per, rounded = converted_amount(stated, stated_per)
        words = f"{stated:f} per {stated_per}", f"{amount:f} per {per}"
        read.converted.append(Converted(values["provider"], values["model"], values["leaf"], *words, rounded))
    return PriceRow(id=0, amount=amount, per=per, **values)


def _empty(column: str, cells: dict[str, str], defaults: Defaults) -> object:
    """What an empty cell stands for, or a column that isn't there.

    Raises:
        ValueError: it must say something.
    """
    if column == "layer":
        return Layer.LIST
    if column in ("from_tokens", "boundary", "valid_from", "valid_to"):
        return None
    if column in DIMENSIONS:
        provider = cells.get("provider", "")
        default = defaults.get(provider, {}).get(column)
        if default is None:
            raise ValueError(f"is empty, and {shown(provider)} has no default for it: fill it in, or give --default {provider}.{column}=VALUE")
        return default
    if column in _REQUIRED:
        raise ValueError("is empty")
    return ""


def _one_of(kind: type[Leaf] | type[Layer] | type[Boundary]) -> Callable[[str], object]:
    def value_of(cell: str) -> object:
        try:
            return kind(cell)
        except ValueError:
            raise ValueError(f"is none of {', '.join(kind)}") from None

    return value_of


def _per(cell: str) -> int:
    number = whole_number(cell)
    if not 1 <= number <= _PER_MAX:
        raise ValueError(f"is not 1 to {_PER_MAX}")
    return number


def _amount(cell: str) -> Decimal:
    amount = parse_decimal(cell)
    if amount.adjusted() > 12 or amount < 0:
        raise ValueError("is not 0 to 999999999999")
    return amount


def _words(cell: str) -> str:
    return cell


_VALUES: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(COLUMNS, _words),
    "layer": _one_of(Layer),
    "leaf": _one_of(Leaf),
    "boundary": _one_of(Boundary),
    "from_tokens": whole_number,
    "amount": _amount,
    "per": _per,
    "valid_from": parse_time,
    "valid_to": parse_time,
}
