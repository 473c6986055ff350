"""Books, broker and workers at one glance: each read beside the others and within a limit, so that one which is away hides nothing else."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import redis

from core.asking.rights import Actor, require_root
from core.clock import utc_now
from core.config import Configuration
from core.database.database import Database
from core.errors import TollbookError
from core.watching.read import Condition, condition
from worker.answers import Answers, ask_everybody, backlog_of, foreign_lists

PART_SECONDS = 6.0  # beyond which a part of the overview counts as away


@dataclass(frozen=True, slots=True)
class Overview:
    """How everything is. What couldn't be read is none, and `away` says why: by `books`, `broker` or `workers`.

    `backlog`: messages that wait, by queue, and on Redis `claims` under way. `foreign`: lists that look like ours and that no worker reads.
    """

    at: datetime
    books: Condition | None
    backlog: dict[str, int] | None
    foreign: dict[str, int]
    workers: Answers | None
    away: dict[str, str]
    publishes_alerts: bool = True

    @property
    def ok(self) -> bool:
        """Whether all of it could be read."""
        return not self.away


@dataclass(slots=True)
class _Part:
    """One part, being read by a thread of its own."""

    read: Callable[[], Any]
    found: Any = None
    failure: str = ""
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.found = self.read()
        except (TollbookError, redis.RedisError, OSError) as error:
            self.failure = " ".join(str(error).split()) or type(error).__name__

    def ended(self, deadline: float) -> Any:
        """What was read by then; `failure` says why it is none."""
        self.thread.join(max(0.0, deadline - monotonic()))
        if self.thread.is_alive():
            self.failure = f"no answer within {PART_SECONDS:g} s"
            return None
        return self.found


def read_overview(database: Database, actor: Actor, config: Configuration) -> Overview:
    """How everything is now. Nothing is changed; whatever is away is told and hides nothing else.

    Raises:
        Forbidden: the actor isn't root.
    """
    require_root(actor, "watch the books")
    books = _Part(lambda: condition(database, actor))
    broker = _Part(lambda: backlog_of(_broker(config)))
    workers = _Part(ask_everybody)
    deadline = monotonic() + PART_SECONDS
    parts = {"books": books, "broker": broker, "workers": workers}
    found = {name: part.ended(deadline) for name, part in parts.items()}
    answers, foreign = found["workers"], _Part(lambda: {} if broker.failure else _foreign(config, found["workers"]))
    seen = foreign.ended(monotonic() + PART_SECONDS)
    away = {name: part.failure for name, part in parts.items() if part.failure}
    return Overview(utc_now(), found["books"], found["broker"], seen or {}, answers, away, publishes_alerts=bool(config.alerts_queue_max))


def _foreign(config: Configuration, answers: Answers | None) -> dict[str, int]:
    """What workers have found so far; without any one short look."""
    if answers is not None and any(worker.states for worker in answers.workers):
        return {name: n for worker in answers.workers for name, n in worker.foreign.items()}
    return foreign_lists(_broker(config), seconds=0.0)[0]


def _broker(config: Configuration) -> str:
    from worker.preflight import served_broker  # noqa: PLC0415 - reads the configuration, which commands complete first

    return served_broker(config.require_broker_url())
