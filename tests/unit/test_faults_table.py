"""What docs/reliability.md says of faults is so: each named test exists, and no fault is left out."""

import ast
from functools import cache
from pathlib import Path

import pytest

from lab.faults_table import faults, inputs
from lab.torture.broker_faults import BROKER_FAULTS
from lab.torture.database_faults import DATABASE_FAULTS
from lab.torture.faults import POINT_FAULTS, PROCESS_FAULTS

TESTS = Path(__file__).parents[1]
KNOWN = 68


@cache
def names_in(path: str) -> frozenset[str]:
    """The tests of a file; none where there is no such file."""
    if not (TESTS / path).is_file():
        return frozenset()
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_fault_is_left_out() -> None:
    """All numbers are there, and each says what shows it, or why nothing does."""
    assert len(faults()) == KNOWN
    assert [fault.what for fault in (*faults(), *inputs()) if not (fault.tests or fault.torture or fault.not_covered)] == []
    assert len({fault.what for fault in (*faults(), *inputs())}) == len(faults()) + len(inputs())


@pytest.mark.parametrize("name", sorted({name for fault in (*faults(), *inputs()) for name in fault.tests}))
def test_each_named_test_exists(name: str) -> None:
    """Under its name, in its file: whoever renames a test mends the table."""
    path, _, test = name.partition("::")
    assert test.startswith("test_")
    assert test in names_in(path)


def test_each_named_fault_of_torture_exists() -> None:
    """By its whole name; and each that torture makes stands with what it shows."""
    named = {name for fault in faults() for name in fault.torture}
    assert named == {fault.name for fault in (*PROCESS_FAULTS, *POINT_FAULTS, *DATABASE_FAULTS, *BROKER_FAULTS)}
