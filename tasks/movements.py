"""The doors for movements of money; only who may write to the queue `movements` may ask. Each is safe to repeat by its key."""

from typing import Any

from celery import shared_task

from core.operations.top_up import TopUp, top_up
from core.storage.database import database
from tasks.answer import Answer, WaitingTask


@shared_task(base=WaitingTask, name="movement.top_up", bind=True)
def run_top_up(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Credits a payment and answers with the entry; see `core.operations.top_up`. A replay answers with the first result."""
    return self.answer(arguments, lambda: top_up(database(), TopUp.read(fields)))  # type: ignore[no-any-return]
