"""A view is declared once: its door and its signature follow from the function."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import core as core_package
from core.asking.paging import Limit
from core.asking.question import question_of
from core.asking.request import RowId
from core.asking.rights import ROOT, user
from core.asking.view import named_views, root, view
from core.directory.read import Mandates
from core.errors import Forbidden, RequestRefused
from tasks.views import VIEWS

ASKED = {"actor": {"role": "root"}}


@view(None, sees=root("look"))
def looked(connection: Connection, number: RowId, mandate_ids: Mandates = None, *, limit: Limit = 5, note: str | None) -> list[object]:
    """What it was given."""
    return [number, mandate_ids, limit, note]


def test_every_named_view_is_a_task_and_no_other() -> None:
    """Their modules are found, not listed, wherever in `core` one is."""
    core = Path(core_package.__path__[0])
    modules = {".".join(("core", *path.relative_to(core).with_suffix("").parts)): path.read_text(encoding="utf-8") for path in core.rglob("*.py")}
    declared = {name for name, source in modules.items() if re.search(r'^@(deciding_)?view\("', source, re.MULTILINE)} - {"core.asking.view"}
    found = named_views()
    assert {function.__module__ for function in found.values()} == declared
    assert {name: function for name, (_, function) in VIEWS.items()} == found


@pytest.mark.parametrize("name", VIEWS)
def test_a_message_says_what_the_function_takes(name: str) -> None:
    """Field by field; a page's fields stand among the others, and `patient` and `clock` are for who asks in person."""
    question, function = VIEWS[name]
    arguments = set(inspect.signature(function).parameters) - {"database", "actor", "patient", "clock"}
    fields = set(question.model_fields) - {"actor"}
    assert fields == (arguments - {"page"} | {"limit", "before", "first", "last"} if "page" in arguments else arguments)
    assert [*inspect.signature(function).parameters][:2] == ["database", "actor"]


def test_what_may_be_none_may_be_left_out() -> None:
    """Whether it has a default or not; what must be there is missing, and what is none of its arguments is no field."""
    question: Any = question_of(looked)
    assert question.read({**ASKED, "number": 1}).arguments() == {"number": 1, "mandate_ids": None, "limit": 5, "note": None}
    for fields, message in (({}, "number: is missing"), ({"number": 1, "connection": 2}, "connection: is not a field of this request")):
        with pytest.raises(RequestRefused, match=f"^{message}"):
            question.read({**ASKED, **fields})


def test_nobody_may_have_a_statement_take_as_long_as_it_likes_by_message() -> None:
    """Only who runs the program waits without end."""
    question, _ = VIEWS["view.statement"]
    with pytest.raises(RequestRefused, match="patient: is not a field of this request"):
        question.read({**ASKED, "mandate_id": "acme", "month": "2026-01-01", "patient": True})


def test_mandates_are_a_list_in_a_message() -> None:
    """Whatever collection a function takes."""
    question = question_of(looked)
    with pytest.raises(RequestRefused, match=r"^mandate_ids: 'acme' is no list"):
        question.read({**ASKED, "number": 1, "mandate_ids": "acme"})


def test_rights_and_page_are_checked_before_the_database_is_asked() -> None:
    """Without any books at all."""
    books: Any = None
    with pytest.raises(Forbidden, match="'user:ada' may not look"):
        looked(books, user("ada"), 1, limit=0, note=None)
    with pytest.raises(RequestRefused, match=r"limit must be 1 to 10000 \(got 0\)"):
        looked(books, ROOT, 1, limit=0, note=None)


def test_a_name_is_taken_once() -> None:
    """Two views can't be one task."""
    with pytest.raises(AssertionError, match=r"view\.balance"):
        view("view.balance", sees=root("look"))(lambda connection: connection)
