"""The doors for holds: whoever may write to the queue `checks` may authorise, renew and release them. The sweep is the schedule's."""

from collections.abc import Sequence
from typing import Any

import structlog
from celery import shared_task

from core.asking.rights import ROOT
from core.config import configuration
from core.database.database import database
from core.holds.authorise import Answers, authorise_all
from core.holds.expire import expire_holds
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.release import release_hold
from core.holds.renew import renew_hold
from core.holds.together import Together
from core.ledger.opening import KnownAccounts
from tasks.answer import Answer, AnsweringTask
from tasks.job import Job

log = structlog.get_logger()

_known_accounts = KnownAccounts()


def _authorise(questions: Sequence[HoldQuestion]) -> Answers:
    return authorise_all(database(), ROOT, questions, config=configuration(), known_accounts=_known_accounts)


_together = Together(_authorise)  # for all threads of this process


@shared_task(base=AnsweringTask, name="hold.authorise", bind=True, send_events=False)  # as balance.check
def authorise(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Answers whether `user_id` of `mandate_id` may make a call, and keeps for it under `key` what it may cost. A replay keeps nothing more."""
    return self.answer(arguments, lambda: _together.ask(HoldQuestion.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=AnsweringTask, name="hold.renew", bind=True, send_events=False)
def renew(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Keeps the hold under `key` of `mandate_id` for `ttl_seconds` from now, and answers what became of it."""
    return self.answer(arguments, lambda: renew_hold(database(), ROOT, Renewal.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=AnsweringTask, name="hold.release", bind=True, send_events=False)
def release(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Gives back what the hold under `key` of `mandate_id` still keeps, and answers what became of it. A replay gives nothing back."""

    def done() -> object:
        return release_hold(database(), ROOT, HoldName.read(fields), known_accounts=_known_accounts)

    return self.answer(arguments, done)  # type: ignore[no-any-return]


@shared_task(base=Job, name="hold.expire")
def expire() -> int:
    """Settles holds that the clock has ended; returns how many. A replay, or a second one at once, settles none twice."""
    expired = expire_holds(database(), known_accounts=_known_accounts)
    if expired:
        log.info("holds.expired", holds=expired)
    return expired
