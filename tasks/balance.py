"""The door for the balance check: whoever may write to the queue `checks` may ask."""

from typing import Any

from celery import shared_task

from core.asking.rights import ROOT
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import configuration
from core.database.database import database
from core.ledger.opening import KnownAccounts
from tasks.answer import Answer, AnsweringTask

_known_accounts = KnownAccounts()


@shared_task(base=AnsweringTask, name="balance.check", bind=True, send_events=False)  # they cost a third of a check; metrics count it
def check(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Answers whether `user_id` of `mandate_id` may make a call of `estimated_cost` CHF (docs/checks.md). A replay asks anew."""

    def done() -> object:
        return check_balance(database(), ROOT, BalanceQuestion.read(fields), config=configuration(), known_accounts=_known_accounts)

    return self.answer(arguments, done)  # type: ignore[no-any-return]
