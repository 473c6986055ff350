"""Merging what a source says into a book: at every moment what is told where something is told, else what was known."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.prices.content import overlaps
from core.prices.diff import Change, compared
from core.prices.merge import merged
from core.prices.model import Boundary, PriceRow
from tests.prices.scene import at, row

START = at("2026-01-01")
DAYS = 12
MOMENTS = [START + timedelta(days=day, hours=12) for day in range(-1, DAYS + 1)]


def day(number: int) -> datetime:
    """The beginning of a day."""
    return START + timedelta(days=number)


@st.composite
def of_key(draw: st.DrawFn) -> list[PriceRow]:
    """Rows of one leaf that don't overlap: in stretches of time, each for all tiers or for some of them."""
    cuts = sorted(draw(st.sets(st.integers(0, DAYS - 1), max_size=4)))
    bounds = [None, *map(day, cuts), None]
    rows = []
    for begin, end in pairwise(bounds):
        tiers: list[int | None] = draw(st.sampled_from([[], [None], [0], [0, 5], [0, 9], [0, 5, 9]]))
        for tier in tiers:
            amount = Decimal(draw(st.integers(0, 3)))
            boundary = None if tier is None else Boundary.ABOVE if tier else Boundary.FROM
            rows.append(replace(row(), from_tokens=tier, boundary=boundary, amount=amount, valid_from=begin, valid_to=end))
    return rows


def numbered(rows: list[PriceRow]) -> list[PriceRow]:
    """As rows that are in the books."""
    return [replace(one, id=number) for number, one in enumerate(rows, 1)]


def prices_at(rows: list[PriceRow], moment: datetime) -> dict[int | None, Decimal]:
    """Amount by tier."""
    holding = [one for one in rows if (one.valid_from is None or one.valid_from <= moment) and (one.valid_to is None or moment < one.valid_to)]
    found = {one.from_tokens: one.amount for one in holding}
    assert len(found) == len(holding)
    return found


@given(base=of_key(), told=of_key())
def test_what_is_told_holds_and_the_rest_stays(base: list[PriceRow], told: list[PriceRow]) -> None:
    """At each moment the book has the tiers that are told, all of them and no other, or where nothing is told those that it had."""
    book = merged(numbered(base), told, since=None).book
    assert list(overlaps(book)) == []
    for moment in MOMENTS:
        assert prices_at(book, moment) == (prices_at(told, moment) or prices_at(base, moment))


@given(base=of_key(), told=of_key(), since=st.integers(0, DAYS).map(day))
def test_undated_rows_leave_what_was_before(base: list[PriceRow], told: list[PriceRow], since: datetime) -> None:
    """What a source says without a date changes nothing before `since`, but of a leaf that the book doesn't know."""
    book = merged(numbered(base), told, since=since).book
    assert list(overlaps(book)) == []
    dated = [one for one in told if one.valid_from is not None]
    for moment in MOMENTS:
        if base and moment < since:
            assert prices_at(book, moment) == (prices_at(dated, moment) or prices_at(base, moment))
        else:
            assert prices_at(book, moment) == (prices_at(told, moment) or prices_at(base, moment))


@given(base=of_key(), told=of_key(), since=st.none() | st.integers(0, DAYS).map(day))
def test_the_same_again_changes_nothing(base: list[PriceRow], told: list[PriceRow], since: datetime | None) -> None:
    """Merged a second time every row is the row that it was."""
    book = numbered(merged(numbered(base), told, since=since).book)
    assert merged(book, told, since=since).book == book


@given(base=of_key())
def test_a_book_over_itself_is_itself(base: list[PriceRow]) -> None:
    """What is told as it is known has the same prices at each moment, whatever became one row."""
    book = merged(numbered(base), base, since=None).book
    for moment in MOMENTS:
        assert prices_at(book, moment) == prices_at(base, moment)


@given(base=of_key(), told=of_key())
def test_a_diff_tells_every_tier_whose_price_changes(base: list[PriceRow], told: list[PriceRow]) -> None:
    """At each moment the changes that are about it are those of the tiers whose price is another, with what it was and what it will be."""
    known = numbered(base)
    book = merged(known, told, since=None).book
    kept = {one.id for one in book if one.id}
    diff = compared([one for one in book if not one.id], [one for one in known if one.id not in kept], {}, {}, {})
    changes = [change for model in diff.models for change in model.changes]
    for moment in MOMENTS:
        before, after = prices_at(known, moment), prices_at(book, moment)
        differing = {tier for tier in before.keys() | after.keys() if before.get(tier) != after.get(tier)}
        told_then = {change.from_tokens: (change.before, change.after) for change in changes if change.kind != "redated" and holds(change, moment)}
        assert told_then == {tier: (before.get(tier), after.get(tier)) for tier in differing}


def holds(change: Change, moment: datetime) -> bool:
    """Whether the change is about that moment."""
    return (change.valid_from is None or change.valid_from <= moment) and (change.valid_to is None or moment < change.valid_to)
