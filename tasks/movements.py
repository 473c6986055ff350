"""The doors for movements; only who may write to the queue `movements` may ask. Each is safe to repeat, by its key if it has one.

Each task is that of a declared movement (`core.movements.movement`), and answers with what it returns.
"""

from typing import Any

from celery import shared_task

from core.asking.rights import ROOT
from core.config import configuration
from core.database.database import database
from core.movements.movement import Movement, movements
from tasks.answer import Answer, WaitingTask

MOVEMENTS = movements()


def _open(name: str, declared: Movement) -> None:
    def done(fields: dict[str, Any]) -> object:
        more = {"config": configuration()} if declared.takes_config else {}
        return declared.run(database(), ROOT, declared.question.read(fields), **more)

    def door(self: Any, *arguments: Any, **fields: Any) -> Answer:
        return self.answer(arguments, lambda: done(fields))  # type: ignore[no-any-return]

    door.__doc__ = declared.run.__doc__
    shared_task(base=WaitingTask, name=name, bind=True)(door)


for _name, _movement in MOVEMENTS.items():
    _open(_name, _movement)
