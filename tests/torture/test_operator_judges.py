"""The judges of an operator's journal find nothing in true books, and each of them what was tampered with."""

import pytest

from lab.oracle.torture_operator import EXPECTED, EXPECTED_LONG, TABLES, exercised, judge
from tests.torture import tampered_money, tampered_rules
from tests.torture.conftest import Run
from tests.torture.tampering import TAMPERED, Tamper

assert tampered_money, "read for what it keeps in TAMPERED"
assert tampered_rules, "so is this"
pytestmark = pytest.mark.timeout(300)  # the first one waits for the books


def test_true_books_have_nothing_wrong(operated: Run) -> None:
    """What an operator did to real books, with usage between, is judged right."""
    assert list(judge(operated.journal, operated.tables)) == []


def test_the_judges_ask_for_tables_that_are_there(operated: Run) -> None:
    """Every table has rows, with the columns that are asked for: no judge looks at nothing."""
    assert {table: set(rows[0]) if rows else set() for table, rows in operated.tables.items()} == {t: set(c) for t, c in TABLES.items()}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda one: one.__name__.strip("_"))
def test_tampering_is_told(operated: Run, tamper: Tamper) -> None:
    """Each judge names what was tampered with."""
    run = operated.copy()
    tamper(run)
    said = list(judge(run.journal, run.tables))
    assert any(TAMPERED[tamper] in one for one in said), said[:5]


def test_what_nobody_knows_is_no_violation(operated: Run) -> None:
    """Whether the last operation was done or not: without its answer both are right."""
    run = operated.copy()
    last = max(line["n"] for line in run.journal if "n" in line)
    run.journal[:] = [line for line in run.journal if line.get("n") != last or "kind" in line]
    assert list(judge(run.journal, run.tables)) == []
    assert exercised(run.journal)["maybe"] == 1


def test_what_was_exercised_is_counted(operated: Run) -> None:
    """By kind and outcome; what is expected of half an hour is all that is expected of a minute, and more."""
    assert exercised(operated.journal).keys() >= EXPECTED
    assert EXPECTED < EXPECTED_LONG
    assert exercised([]) == {}
