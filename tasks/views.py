"""The doors for reading: whoever may write to the queue `views` may read all that the `actor` whom they name may see.

Each view of `core.views` that has a name is a task: it takes the view's own arguments by name, and answers with what it returns.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from celery import shared_task

import core.views
from core.storage.database import database
from core.views.question import Question, question_of
from core.views.view import DOORS
from tasks.answer import Answer, AnsweringTask

for _module in iter_modules(core.views.__path__):
    import_module(f"core.views.{_module.name}")

VIEWS: dict[str, tuple[type[Question], Callable[..., object]]] = {name: (question_of(view), view) for name, view in DOORS.items()}


def _open(name: str, question: type[Question], view: Callable[..., object]) -> None:
    """Makes the task: it reads and writes nothing, so a replay answers anew."""

    def seen(fields: dict[str, Any]) -> object:
        asked = question.read(fields)
        return view(database(), asked.actor, **asked.arguments())

    @shared_task(base=AnsweringTask, name=name, bind=True)
    def door(self: Any, *arguments: Any, **fields: Any) -> Answer:
        return self.answer(arguments, lambda: seen(fields))  # type: ignore[no-any-return]


for _name, (_question, _view) in VIEWS.items():
    _open(_name, _question, _view)
