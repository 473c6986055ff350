"""The door for the balance check: whoever may write to the queue `checks` may ask."""

from typing import Any

from celery import shared_task

from core.asking.rights import ROOT
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import configuration
from core.database.database import database
from tasks.answer import Answer, AnsweringTask


@shared_task(base=AnsweringTask, name="balance.check", bind=True, send_events=False)  # they cost a third of a check; metrics count it
def check(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Answers whether `user_id` of `mandate_id` may make a call of `estimated_cost` CHF (docs/checks.md). A replay asks anew."""
    return self.answer(arguments, lambda: check_balance(database(), ROOT, BalanceQuestion.read(fields), config=configuration()))  # type: ignore[no-any-return]
