"""Tampering with true books: what is done to them, and what a judge must say of it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.torture.conftest import Run

Row = dict[str, Any]
Tamper = Callable[[Run], None]
UNIT = Decimal("0.000000001")
TAMPERED: dict[Tamper, str] = {}


def tells(what: str) -> Callable[[Tamper], Tamper]:
    """Keeps a way to tamper, of which a judge says this."""

    def keep(tamper: Tamper) -> Tamper:
        TAMPERED[tamper] = what
        return tamper

    return keep


def first(rows: list[Row], **values: object) -> Row:
    """The first row with these values, where `...` is anything but None."""
    return next(row for row in rows if all(row[name] is not None if value is ... else row[name] == value for name, value in values.items()))


def intent(run: Run, kind: str, told: str = "done") -> tuple[Row, Row]:
    """The first operation of a kind with such an answer, and that."""
    by_number = {line["n"]: line for line in run.journal if "kind" in line}
    answers = [line for line in run.journal if line.get("told") == told]
    answer = next(line for line in answers if by_number[line["n"]]["kind"] == kind)
    return by_number[answer["n"]], answer


def entry(run: Run, **values: object) -> Row:
    """The first such transaction."""
    return first(run.tables["transactions"], **values)


def of_operation(run: Run, kind: str) -> Row:
    """The transaction of the first operation of a kind that is done."""
    _, answer = intent(run, kind)
    return entry(run, id=answer["result"]["transaction_id"])


def drop(rows: list[Row], row: Row) -> None:
    """It was never there."""
    rows[:] = [one for one in rows if one is not row]
