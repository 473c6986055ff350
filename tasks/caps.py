"""The doors for caps: who may write to `movements` may set and remove them. Both wait for the database, and are safe to repeat."""

from typing import Any

from celery import shared_task

from core.asking.rights import ROOT
from core.caps.remove_cap import CapRemoval, remove_cap
from core.caps.set_cap import NewCap, set_cap
from core.database.database import database
from tasks.answer import Answer, WaitingTask


@shared_task(base=WaitingTask, name="caps.set", bind=True)
def set_one(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Sets a cap of `mandate_id` and answers with it, and what was done. A replay changes nothing."""
    return self.answer(arguments, lambda: set_cap(database(), ROOT, NewCap.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="caps.remove", bind=True)
def remove_one(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Removes the cap `cap_id` of `mandate_id` and answers with it. A replay changes nothing."""
    return self.answer(arguments, lambda: remove_cap(database(), ROOT, CapRemoval.read(fields)))  # type: ignore[no-any-return]
