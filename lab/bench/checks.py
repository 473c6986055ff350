"""How long a balance check takes, one after another: as a function, by task, and by task while the same worker records."""

import json
import threading
from collections.abc import Callable, Mapping
from time import perf_counter
from uuid import uuid4

import redis
from celery import Celery

from core.asking.rights import ROOT
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from lab.bench.drains import workers
from lab.bench.goals import CHECK, CHECK_STREAM, CHECK_TASK
from lab.bench.traffic import MANDATES, celery_message, events
from lab.services import Services

_PATIENCE_SECONDS = 30
_STREAM_PER_SECOND = 1000
_USERS, _WARM_UP = 4, 4 * MANDATES  # the first checks open the accounts and prepare the statements


def _function_p99_seconds(services: Services, n: int) -> float:
    """99th percentile of `n` checks as a function."""
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    try:
        return _p99(lambda i: check_balance(database, ROOT, BalanceQuestion.read(check_fields(i)), config=config), n)
    finally:
        database.dispose()


def _task_p99_seconds(services: Services, n: int) -> float:
    """99th percentile of `n` checks by task, from before sending until the answer is read, on an idle worker of all queues."""
    with (
        workers(services, 1),
        redis.Redis.from_url(services.broker_url, socket_timeout=_PATIENCE_SECONDS * 2) as client,
        Celery("bench", broker=services.broker_url, set_as_current=False) as app,
    ):
        return _p99(lambda i: ask(app, client, "balance.check", "checks", check_fields(i)), n)


def _stream_p99_seconds(services: Services, n: int) -> float:
    """As `_task_p99_seconds`, while the worker records a steady stream of single events."""
    done = threading.Event()
    stream = threading.Thread(target=_stream, args=(services, done))
    stream.start()
    try:
        return _task_p99_seconds(services, n)
    finally:
        done.set()
        stream.join()


CHECKS: dict[str, Callable[[Services, int], float]] = {CHECK: _function_p99_seconds, CHECK_TASK: _task_p99_seconds, CHECK_STREAM: _stream_p99_seconds}


def _p99(once: Callable[[int], object], n: int) -> float:
    durations = []
    for i in range(_WARM_UP + n):
        started = perf_counter()
        once(i)
        durations.append(perf_counter() - started)
    return sorted(durations[_WARM_UP:])[int(n * 0.99)]


def check_fields(i: int) -> dict[str, object]:
    """The question of the `i`th check: another mandate each time."""
    return {"mandate_id": f"m{i % MANDATES}", "user_id": f"u{i // MANDATES % _USERS}", "estimated_cost": "0.05"}


def ask(app: Celery, client: redis.Redis, task: str, queue: str, fields: Mapping[str, object]) -> None:
    """Asks by task, and returns once the answer is read."""
    reply_to = f"tollbook.reply.{uuid4()}"
    app.send_task(task, kwargs=dict(fields), queue=queue, reply_to=reply_to, expires=60, ignore_result=True)
    answer = client.blpop([reply_to], timeout=_PATIENCE_SECONDS)
    assert isinstance(answer, tuple | list), f"no answer within {_PATIENCE_SECONDS} s"
    assert "result" in json.loads(answer[1])


def _stream(services: Services, done: threading.Event) -> None:
    """Single events at a steady rate, until `done`."""
    started, sent = perf_counter(), 0
    with redis.Redis.from_url(services.broker_url) as client:
        while not done.wait(0.01):
            due = int((perf_counter() - started) * _STREAM_PER_SECOND) - sent
            if due > 0:
                client.lpush("usage", *(celery_message("usage.record", event) for event in events(due)))
                sent += due
