"""The book that a proposal asks for: what is brought in, over what the active version has, which is carried over."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.money import EXACT
from core.prices.content import RowKey, meet, row_key, start
from core.prices.model import Layer, PriceRow


@dataclass(frozen=True, slots=True)
class Merged:
    """The rows of the new book, and those of the old one whose keys the source doesn't have any more; these are in the book unless dropped."""

    book: list[PriceRow]
    gone: list[PriceRow]


def merged(
    base: Collection[PriceRow],
    incoming: Collection[PriceRow],
    *,
    since: datetime | None,
    covered: Collection[str] = (),
    drop_gone_at: datetime | None = None,
) -> Merged:
    """Puts what is brought in over the base, key by key, each for its time. A key is told with all of its tiers.

    What the base says for times of which the source says nothing stays; so does a row that has the same terms already.

    Args:
        base: the rows of the active version.
        incoming: what a source says; no two of them price the same at one time.
        since: from when on an undated row holds that changes what the base says; None: as long as ever, which changes the past.
        covered: providers of whose list rows the source tells all: what it lacks of these is gone.
        drop_gone_at: when what is gone ends; None: it stays.
    """
    known, told = _by_key(base), _by_key(incoming)
    book: list[PriceRow] = []
    for key in known.keys() | told.keys():
        book += _one_key(known.get(key, []), told[key], since) if key in told else known[key]
    gone = [row for key, of_key in known.items() if key not in told for row in of_key if row.layer == Layer.LIST and row.provider in covered]
    if drop_gone_at is not None:
        ids = {id(row) for row in gone}
        book = [row for row in book if id(row) not in ids] + [cut for row in gone for cut in _until(row, drop_gone_at)]
    return Merged(sorted(book, key=_order), gone)


def _by_key(rows: Iterable[PriceRow]) -> dict[RowKey, list[PriceRow]]:
    found: dict[RowKey, list[PriceRow]] = defaultdict(list)
    for row in rows:
        found[row_key(row)].append(row)
    return found


def _one_key(known: list[PriceRow], told: list[PriceRow], since: datetime | None) -> list[PriceRow]:
    """The rows of one key, all of its tiers: those told where they say something new, and the known ones around them."""
    if since is not None and known:
        told = [cut for row in told for cut in ([row] if row.valid_from is not None else _after(row, since))]
    pieces = known
    for row in told:
        pieces = [piece for one in pieces for piece in _around(one, row)]
    return _joined([*pieces, *(_as_known(row, known) for row in told)], known)


def _as_known(row: PriceRow, known: list[PriceRow]) -> PriceRow:
    """The row, or where a known one has the same terms all of that time, that one for its time."""
    for one in known:
        if _says_the_same(one, row):
            return replace(one, id=0, valid_from=row.valid_from, valid_to=row.valid_to)
    return row


def _joined(pieces: list[PriceRow], known: list[PriceRow]) -> list[PriceRow]:
    """Pieces that differ in nothing but time become one where the next begins as one ends; what is as a known row is that row."""
    same: dict[PriceRow, list[PriceRow]] = defaultdict(list)
    for piece in pieces:
        same[replace(piece, id=0, valid_from=None, valid_to=None)].append(piece)
    by_content = {replace(one, id=0): one for one in known}
    made = []
    for group in same.values():
        joined: list[PriceRow] = []
        for piece in sorted(group, key=start):
            if joined and joined[-1].valid_to is not None and joined[-1].valid_to == piece.valid_from:
                joined[-1] = replace(joined[-1], id=0, valid_to=piece.valid_to)
            else:
                joined.append(piece)
        made += [by_content.get(replace(one, id=0), one) for one in joined]
    return made


def _order(row: PriceRow) -> tuple[RowKey, int, datetime]:
    return row_key(row), -1 if row.from_tokens is None else row.from_tokens, start(row)


def _says_the_same(one: PriceRow, row: PriceRow) -> bool:
    """Whether one row has the terms of another for all of its time."""
    until = one.valid_to is None or (row.valid_to is not None and row.valid_to <= one.valid_to)
    return terms(one) == terms(row) and one.from_tokens == row.from_tokens and start(one) <= start(row) and until


def terms(row: PriceRow) -> tuple[Decimal, str, str | None]:
    """What the row asks for one of its leaf, in which currency, and on which side of its tier's boundary."""
    return EXACT.divide(row.amount, Decimal(row.per)), row.currency, row.boundary


def _around(one: PriceRow, row: PriceRow) -> Iterator[PriceRow]:
    """What is left of one row where another takes its place."""
    if not meet(one, row):
        yield one
        return
    if row.valid_from is not None and start(one) < row.valid_from:
        yield replace(one, id=0, valid_to=row.valid_from)
    if row.valid_to is not None and (one.valid_to is None or row.valid_to < one.valid_to):
        yield replace(one, id=0, valid_from=row.valid_to)


def _until(row: PriceRow, end: datetime) -> Iterator[PriceRow]:
    if row.valid_to is not None and row.valid_to <= end:
        yield row
    elif start(row) < end:
        yield replace(row, id=0, valid_to=end)


def _after(row: PriceRow, begin: datetime) -> Iterator[PriceRow]:
    if row.valid_to is None or begin < row.valid_to:
        yield replace(row, id=0, valid_from=begin)
