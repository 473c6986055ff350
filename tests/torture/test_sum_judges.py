"""The judges of sums, of balances, statistics and batches, find nothing in true books, and what is off by one event or unit."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from lab.oracle.torture import Expectation, judge_balances, judge_batches, judge_statistics

Row = dict[str, Any]
UNIT = Decimal("0.000000001")


def accounts(**balances: str) -> list[Row]:
    """Accounts of the numbers 1 and 2."""
    return [{"id": int(name[1:]), "balance": Decimal(balance)} for name, balance in balances.items()]


MOVED: list[Row] = [
    {"balance_account_id": 1, "transaction_type": "CREDIT", "amount": Decimal(10)},
    {"balance_account_id": 1, "transaction_type": "DEBIT", "amount": Decimal("2.000000001")},
    {"balance_account_id": 1, "transaction_type": "ADJUSTMENT", "amount": Decimal(-1)},
    {"balance_account_id": None, "transaction_type": "DEBIT", "amount": Decimal(5)},
]


def test_balances_that_are_their_entries_are_right() -> None:
    """An account without entries has nothing, and entries on no account's balance move none."""
    assert list(judge_balances(accounts(a1="6.999999999", a2="0"), MOVED)) == []


@pytest.mark.parametrize(
    ("balances", "says"),
    [
        ({"a1": "7", "a2": "0"}, "account 1 has 7, its entries say 6.999999999"),
        ({"a1": "6.999999999", "a2": "0.000000001"}, "account 2 has 1E-9, its entries say 0"),
    ],
)
def test_a_balance_that_is_off_by_a_unit_is_told(balances: dict[str, str], says: str) -> None:
    """With entries and without."""
    said = list(judge_balances(accounts(**balances), MOVED))
    assert len(said) == 1
    assert said[0].startswith(says)


def counted(day: date, count: int, amount: str, kind: str = "DEBIT", of: str = "WORKFLOW") -> Row:
    """So many entries of account 1 on a day."""
    return {"account_id": 1, "local_date": day, "transaction_type": kind, "reference_type": of, "count": count, "amount": Decimal(amount)}


COUNTED = [
    counted(date(2025, 12, 31), 1, "0.5"),
    counted(date(2026, 1, 1), 3, "1.5"),
    counted(date(2026, 1, 31), 2, "1"),
    counted(date(2026, 1, 31), 1, "0.4", "ADJUSTMENT", "AMENDMENT"),
    counted(date(2026, 1, 31), 1, "0.3", "DEBIT", "AMENDMENT"),
]


def statistics() -> list[Row]:
    """What the rollup makes of it: an amendment is no event of its own."""
    rows = (
        ("DAY", date(2025, 12, 31), 1, "0.5"),
        ("MONTH", date(2025, 12, 1), 1, "0.5"),
        ("YEAR", date(2025, 1, 1), 1, "0.5"),
        ("DAY", date(2026, 1, 1), 3, "1.5"),
        ("DAY", date(2026, 1, 31), 2, "0.9"),
        ("MONTH", date(2026, 1, 1), 5, "2.4"),
        ("YEAR", date(2026, 1, 1), 5, "2.4"),
    )
    return [
        {"account_id": 1, "period_type": period, "period_start": start, "event_count": count, "cost": Decimal(cost)}
        for period, start, count, cost in rows
    ]


def test_statistics_that_are_their_debits_are_right() -> None:
    """Over the turn of a year, with an amendment."""
    assert list(judge_statistics(COUNTED, statistics())) == []


@pytest.mark.parametrize("period", ["DAY", "MONTH", "YEAR"])
@pytest.mark.parametrize("change", [{"event_count": 1}, {"event_count": -1}, {"cost": UNIT}, {"cost": -UNIT}], ids=str)
def test_statistics_that_are_off_by_an_event_or_a_unit_are_told(period: str, change: dict[str, Any]) -> None:
    """In the period in which they are, and there alone."""
    rows = statistics()
    row = next(row for row in rows if row["period_type"] == period)
    for name, by in change.items():
        row[name] += by
    said = list(judge_statistics(COUNTED, rows))
    assert len(said) == 1
    assert f"(1, '{period}', {row['period_start']!r})" in said[0]


def test_statistics_that_are_missing_or_of_nothing_are_told() -> None:
    """A period without its row, and a row without a debit."""
    rows = statistics()
    assert "say None, the ledger says (1, " in next(judge_statistics(COUNTED, rows[1:]))
    stray = {**rows[0], "account_id": 2}
    assert "statistics of (2, 'DAY'" in next(judge_statistics(COUNTED, [*rows, stray]))


def sent() -> Expectation:
    """Seven deliveries certainly arrived: of three keys five, and two that are no events; of one key nobody knows."""
    told = Expectation()
    for event_id, price in (("a", "1"), ("a", "1"), ("b", "1"), ("c", "1"), ("c", "2"), ("d", "1")):
        fields = {"mandate_id": "m", "event_id": event_id, "user_id": "ada", "price_chf": price, "occurred_at": "2026-03-01T12:00:00Z"}
        told.deliver(json.dumps(fields), sure=event_id != "d")
    for body in ("bad-1", "bad-2"):
        told.refuse(body, "malformed_json", sure=True)
    assert (told.events, told.copies) == (7, 2)
    return told


BATCHES = {"recorded": 4, "duplicate": 1, "conflict": 1, "rejected": 2, "parked": 1, "released": 1}


def sums(**changes: int | None) -> list[str]:
    """What is said of batches with these sums, where seven deliveries certainly arrived, one of them a copy and one another content."""
    return list(judge_batches({**BATCHES, **changes}, 4, 0, sent()))


def test_batches_that_say_what_the_books_hold_are_right() -> None:
    """They may have seen more than what certainly arrived, and other copies; what is None is none."""
    assert sums() == []
    assert sums(duplicate=50, rejected=9) == []
    assert sums(released=None) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recorded": 3}, "the batches have recorded 3 events, the ledger has 4"),
        ({"recorded": 5}, "the batches have recorded 5 events, the ledger has 4"),
        ({"duplicate": 0, "conflict": 0}, "of 2 further deliveries 0 are duplicates and 0 conflicts"),
        ({"rejected": 0, "parked": 0}, "7 events certainly arrived, the batches have seen 6"),
        ({"rejected": None, "parked": None}, "7 events certainly arrived, the batches have seen 6"),
    ],
)
def test_batches_that_say_something_else_are_told(changes: dict[str, int | None], says: str) -> None:
    """Other entries than the ledger has, too few copies, fewer events than arrived."""
    assert says in sums(**changes)


def test_batches_that_parked_less_than_waits_are_told() -> None:
    """Two events are parked, and one was."""
    assert "the batches have parked 1 events, and 2 are parked" in list(judge_batches(BATCHES, 4, 2, sent()))
