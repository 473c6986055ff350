"""What rows of the price book are known by, and what is wrong with one."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby, pairwise
from typing import NamedTuple

from core.dialects.model import DIMENSIONS
from core.money import EXACT
from core.prices.model import Layer, PriceRow
from core.printable import shown

PLACES = Decimal("1E-12")
AMOUNT_MAX = Decimal(10) ** 12  # a column of 24 digits, 12 of them decimal places
PER = (1, 1_000, 1_000_000)
TEXT_LENGTH_MAX = 128
START = datetime.min.replace(tzinfo=UTC)  # when what holds always begins
SOURCE_LENGTH_MAX = 500
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTENT = tuple(field.name for field in fields(PriceRow) if field.name != "id")
_TEXTS = ("provider", "model", *DIMENSIONS)


class RowKey(NamedTuple):
    """What a row is about, but for its tier and time."""

    layer: str
    mandate_id: str
    book: str
    provider: str
    model: str
    region_scope: str
    service_tier: str
    processing: str
    speed: str
    leaf: str


class TierKey(NamedTuple):
    """What a row is about, but for its time."""

    key: RowKey
    from_tokens: int | None


class Fault(NamedTuple):
    """What is wrong with a row: in which field, with which value, and what helps."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rows that price the same at one time."""

    first: PriceRow
    second: PriceRow

    def __str__(self) -> str:
        return f"{described(self.first)} and {described(self.second)} price the same at one time: end one before the other begins, or leave one out"


def row_key(row: PriceRow) -> RowKey:
    """What the row is about, but for its tier and time."""
    return RowKey(*(str(getattr(row, name)) for name in RowKey._fields))


def tier_key(row: PriceRow) -> TierKey:
    """What the row is about, but for its time."""
    return TierKey(row_key(row), row.from_tokens)


def content_hash(row: PriceRow) -> bytes:
    """SHA-256 over the fields of the row but its id: rows of equal content are one."""
    return hashlib.sha256(json.dumps([_plain(getattr(row, name)) for name in _CONTENT]).encode()).digest()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(EXACT.quantize(value, PLACES), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if value is None or isinstance(value, int) else str(value)


def described(row: PriceRow) -> str:
    """The row in one line: whose it is, what it is about, what it asks for, and when."""
    whose = {Layer.MANDATE: f" of mandate {row.mandate_id}", Layer.SALE: f" of book {row.book}"}.get(row.layer, "")
    tier = "" if row.from_tokens is None else f" {row.boundary}{row.from_tokens}"
    dimensions = "/".join(getattr(row, name) for name in DIMENSIONS)
    start = "always" if row.valid_from is None else row.valid_from.isoformat()
    end = "on" if row.valid_to is None else f"to {row.valid_to.isoformat()}"
    money = f"{row.amount:f} {row.currency} per {row.per}"
    return f"{row.layer}{whose} {row.provider} {row.model} [{dimensions}] {row.leaf}{tier}: {money}, from {start} {end}"


def faults(row: PriceRow) -> Iterator[Fault]:
    """What keeps the row out of the book; nothing if it may be in it."""
    yield from _text_faults(row)
    yield from _number_faults(row)
    if (row.layer is Layer.MANDATE) != bool(row.mandate_id):
        yield Fault("mandate_id", shown(row.mandate_id), "is for rows of the layer mandate, which need one")
    if (row.layer is Layer.SALE) != bool(row.book):
        yield Fault("book", shown(row.book), "is for rows of the layer sale, which need one")
    if row.layer is Layer.SALE and row.currency != "CHF":
        yield Fault("currency", shown(row.currency), "must be CHF in the layer sale")
    if _CURRENCY.fullmatch(row.currency) is None:
        yield Fault("currency", shown(row.currency), "is not three capital letters such as USD")
    if row.valid_from is not None and row.valid_to is not None and row.valid_to <= row.valid_from:
        yield Fault("valid_to", row.valid_to.isoformat(), f"is not after valid_from, {row.valid_from.isoformat()}")


def _number_faults(row: PriceRow) -> Iterator[Fault]:
    if not row.amount.is_finite() or row.amount < 0 or row.amount >= AMOUNT_MAX:
        yield Fault("amount", shown(str(row.amount)), f"is not 0 to {AMOUNT_MAX:f}")
    elif EXACT.quantize(row.amount, PLACES) != row.amount:
        yield Fault("amount", shown(str(row.amount)), "has more than twelve decimal places: state it per 1000000")
    if row.per not in PER:
        yield Fault("per", str(row.per), f"is none of {', '.join(map(str, PER))}")
    if (row.from_tokens is None) != (row.boundary is None):
        yield Fault("boundary", shown(row.boundary), "goes with from_tokens: name both, or for all tiers none")
    if row.from_tokens is not None and not 0 <= row.from_tokens < 2**53:
        yield Fault("from_tokens", str(row.from_tokens), "is not 0 to 2^53 - 1")


def _text_faults(row: PriceRow) -> Iterator[Fault]:
    for name in (*_TEXTS, "mandate_id", "book", "basis", "source"):
        value = getattr(row, name)
        longest = SOURCE_LENGTH_MAX if name in ("basis", "source") else TEXT_LENGTH_MAX
        if name in _TEXTS and not value:
            yield Fault(name, "''", "is empty: name it as the events say it")
        elif len(value) > longest:
            yield Fault(name, shown(value), f"has more than {longest} characters")
        elif _CONTROL.search(value):
            yield Fault(name, shown(value), "has a control character, or is not UTF-8")


def overlaps(rows: Iterable[PriceRow]) -> Iterator[Overlap]:
    """Pairs of rows that price the same at one time: of one tier, or one of them for all tiers. What no version may have."""
    for _, same in groupby(sorted(rows, key=_by_key_and_time), key=row_key):
        group = list(same)
        if len(group) == 1:
            continue
        whole = [row for row in group if row.from_tokens is None]
        if whole and len(whole) < len(group):
            yield from (Overlap(a, b) for a in whole for b in group if b.from_tokens is not None and meet(a, b))
        for _, of_tier in groupby(sorted(group, key=_by_tier), key=_by_tier):
            yield from (Overlap(a, b) for a, b in pairwise(of_tier) if meet(a, b))


def boundary_faults(rows: Iterable[PriceRow]) -> Iterator[Overlap]:
    """Pairs of rows of one model that begin a tier at the same size, but don't agree whether that size belongs to it."""
    tiers: dict[tuple[object, ...], list[PriceRow]] = {}
    for row in rows:
        if row.from_tokens is not None:
            known = tiers.setdefault((*row_key(row)[:-1], row.from_tokens), [])
            yield from (Overlap(one, row) for one in known if one.boundary != row.boundary and meet(one, row))
            if all(one.boundary != row.boundary or (one.valid_from, one.valid_to) != (row.valid_from, row.valid_to) for one in known):
                known.append(row)


def meet(one: PriceRow, other: PriceRow) -> bool:
    """Whether there is a moment at which both rows hold."""
    return _begins_before_end(one, other) and _begins_before_end(other, one)


def _begins_before_end(one: PriceRow, other: PriceRow) -> bool:
    return one.valid_from is None or other.valid_to is None or one.valid_from < other.valid_to


def start(row: PriceRow) -> datetime:
    """When the row begins; what holds always begins before everything else."""
    return row.valid_from or START


def _by_tier(row: PriceRow) -> int:
    return -1 if row.from_tokens is None else row.from_tokens


def _by_key_and_time(row: PriceRow) -> tuple[RowKey, datetime]:
    return row_key(row), start(row)
