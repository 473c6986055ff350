"""Statements of a month in a folder: one file each, an index for browsers, and a summary for spreadsheets."""

import calendar
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from cli.output.csv_out import cell
from cli.output.file_names import safe_name
from cli.output.new_file import new_file
from cli.output.page import page
from cli.output.statement_journal import Done, Journal, Order
from cli.output.statement_page import statement_page
from core.errors import StorageUnavailable
from core.json_text import json_text
from core.money import ZERO
from core.reports.stated import Statement

INDEX, SUMMARY = "index.html", "summary.csv"
Make = Callable[[str, str | None], Statement]  # by mandate and, of one user alone, user
Users = Callable[[str], Sequence[str]]  # of a mandate


def write_statements(journal: Journal, mandate_ids: Sequence[str], make: Make, users_of: Users) -> Iterator[Done]:
    """Makes each statement that isn't there yet, and tells what came of it; one that fails keeps none of the others from being made.

    Raises:
        OSError: the folder can't be written.
        StorageUnavailable: the database can't be asked. As after an interruption, the same command goes on.
    """
    for mandate_id in mandate_ids:
        if not journal.has(mandate_id):
            yield _tried(journal, mandate_id, None, make)
        if journal.order.per_user and journal.users_pay(mandate_id):
            for user_id in users_of(mandate_id):
                if not journal.has(mandate_id, user_id):
                    yield _tried(journal, mandate_id, user_id, make)


def _tried(journal: Journal, mandate_id: str, user_id: str | None, make: Make) -> Done:
    try:
        found = make(mandate_id, user_id)
        body = _body(journal.order, found) if _has_anything(found) else b""
    except (StorageUnavailable, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are made
        done = Done.failed(mandate_id, user_id or "", error)
    else:
        name = file_name(journal.order, mandate_id, user_id) if body else ""
        done = Done.of(found, name)
        if body:
            _write(journal.folder / name, body)
    journal.add(done)
    return done


def _body(order: Order, found: Statement) -> bytes:
    return (json_text(found, indent=2) + "\n" if order.as_json else statement_page(found)).encode()


def _has_anything(found: Statement) -> bool:
    """Whether there was usage, a movement, or a balance."""
    return bool(
        found.usage.event_count or found.usage.cost or found.movements or found.unbilled_refunds or found.total.opening or found.total.closing
    )


def file_name(order: Order, mandate_id: str, user_id: str | None) -> str:
    """Where a statement is in its folder: no two have one name, and none can be outside."""
    month = f"{order.month:%Y-%m}"
    name = f"{safe_name(mandate_id)}-{month}"
    return f"{name}.{order.suffix}" if user_id is None else f"{name}-users/{safe_name(user_id)}-{month}.{order.suffix}"


def write_overview(journal: Journal) -> None:
    """The index and the summary, of all that is there; each in place of the one before."""
    done = [one for one in journal.done if one.file or one.error]
    order = journal.order
    month = f"{calendar.month_name[order.month.month]} {order.month.year}"
    totals = _totals(done)
    index = page("statement_index.html", month=month, as_of=order.as_of, done=done, totals=totals)
    _write(journal.folder / INDEX, index.encode())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Done)]
    writer.writerow(names)
    writer.writerows([cell(getattr(one, name)) for name in names] for one in (*done, totals))
    _write(journal.folder / SUMMARY, text.getvalue().encode())


def _write(path: Path, body: bytes) -> None:
    """What is there by this name is not whole, or from before."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with new_file(path, force=True) as file:
        file.write(body)


_SUMMED = [field.name for field in fields(Done) if field.type in (Decimal, int)]


def _totals(done: Sequence[Done]) -> Done:
    """The mandates together: what is of users is in theirs."""
    mandates = [one for one in done if not one.user_id]
    sums: dict[str, Any] = {name: sum((getattr(one, name) for one in mandates), _NOTHING[name]) for name in _SUMMED}
    return Done("total", "", "", "", **sums)


_NOTHING: dict[str, Any] = {field.name: ZERO if field.type is Decimal else 0 for field in fields(Done)}
