"""The table of kinds answers for each kind of entry that the books can hold, and nothing else asks for a reference type."""

import ast
import re
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint

from core.billing import ReferenceType, TransactionType
from core.errors import RequestRefused
from core.importing.model import read_entry
from core.ledger.kinds import CORRECTIONS, COSTS, KINDS, LINES, WRITTEN, ChargeCategory, EntryKind, kinds
from core.ledger.sql.entry_kinds import is_of
from core.reports.stated import BalanceMonth
from core.schema.books import transactions

ROOT = Path(__file__).parents[2]
MAY_NAME_THEM = ("core/billing.py", "core/ledger/kinds.py", "core/schema/books.py")
_NAMES = "|".join(name for name in ReferenceType if name != ReferenceType.ADJUSTMENT)  # that one is a transaction type as well
_IN_TEXT = re.compile(rf"'({_NAMES})'|^({_NAMES})$")


def test_each_kind_that_the_tables_allow_has_one_row() -> None:
    """The columns allow each pair of types, whatever else they ask; of each pair the table has its row, under its own key."""
    assert list(KINDS) == [(kind.transaction_type, kind.reference_type) for kind in KINDS.values()]
    assert set(KINDS) == set(product(TransactionType, ReferenceType))
    checks = [str(c.sqltext) for c in transactions.constraints if isinstance(c, CheckConstraint)]
    assert [check for check in checks if "transaction_type" in check and "reference_type" in check] == []


def test_each_line_is_one_of_a_statement() -> None:
    """What moved a balance stands under exactly one of its lines, by the reference type alone."""
    assert all(kind.line == LINES[kind.reference_type] for kind in KINDS.values())
    assert {*LINES.values(), "opening", "closing"} == set(BalanceMonth.__annotations__)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: f"{kind.transaction_type} {kind.reference_type}")
def test_what_a_row_says_goes_together(kind: EntryKind) -> None:
    """Only a credit or an incoming leg refills; usage alone is charged as usage; what counts in statistics is written here."""
    assert not kind.refills or kind.transaction_type is TransactionType.CREDIT or kind.reference_type is ReferenceType.SWITCH
    assert (kind.charge is ChargeCategory.USAGE) == (kind in COSTS)
    assert kind.counted is None or kind in WRITTEN
    assert kind.operation is None or kind.has_room


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: f"{kind.transaction_type} {kind.reference_type}")
def test_history_has_the_kinds_that_may_be_imported(kind: EntryKind) -> None:
    """An entry of another kind is refused."""
    fields = {"id": "1", "mandate_id": "acme", "user_id": "ada", "amount": "1", "occurred_at": "2026-01-31T12:00:00Z"}
    fields |= {"transaction_type": kind.transaction_type.value, "reference_type": kind.reference_type.value}
    if kind.importable:
        assert read_entry(fields)
    else:
        with pytest.raises(RequestRefused):
            read_entry(fields)


def test_sql_gets_its_lists_from_the_table() -> None:
    """As conditions on the two columns, grouped by the first."""
    assert is_of(COSTS) == "(t.transaction_type = 'DEBIT' AND t.reference_type IN ('WORKFLOW', 'AMENDMENT'))"
    assert is_of(CORRECTIONS, "o") == "(o.transaction_type = 'ADJUSTMENT' AND o.reference_type IN ('REFUND', 'AMENDMENT'))"
    assert [kind.operation for kind in kinds(lambda kind: kind.operation)] == ["top_up", "adjust", "refund"]


def test_nothing_else_names_a_reference_type() -> None:
    """Whoever makes an entry names its kind, whoever reads one looks its kind up: no switch on them hides anywhere."""
    named = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("core", "tasks", "worker", "cli")
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in MAY_NAME_THEM and "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ReferenceType")
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and _IN_TEXT.search(node.value))
    ]
    assert named == []
