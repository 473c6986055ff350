"""The doors for reading: whoever may write to the queue `views` may read all that the `actor` whom they name may see.

Each view that has a name is a task: it takes the view's own arguments by name, and answers with what it returns.
"""

from collections.abc import Callable
from typing import Any

from celery import shared_task

from core.asking.question import Question, question_of
from core.asking.view import named_views
from core.database.database import database
from tasks.answer import Answer, AnsweringTask

VIEWS: dict[str, tuple[type[Question], Callable[..., object]]] = {name: (question_of(view), view) for name, view in named_views().items()}


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
