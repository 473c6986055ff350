"""How many answers a second somebody gets who asks a worker by task, one after the other: known from outside, whatever the checkout."""

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter

import psycopg
import redis
from celery import Celery

from lab.bench.checks import ask, check_fields
from lab.bench.drains import Checkout, recorded, workers
from lab.bench.traffic import MANDATES, events, fill
from lab.services import Services

CHECKS_ASKED, STATEMENTS_ASKED = "balance checks by task, answers/s", "statements by task, answers/s"
_PATIENCE_SECONDS = 60
_EVENTS = 5_000  # in the books that are asked
_WARM_UP = 2 * MANDATES

Fields = Callable[[int], dict[str, object]]


def _statement_fields(i: int) -> dict[str, object]:
    return {"actor": {"role": "root"}, "mandate_id": f"m{i % MANDATES}", "month": f"{datetime.now(UTC):%Y-%m-01}"}


ASKED: dict[str, tuple[str, str, Fields]] = {
    CHECKS_ASKED: ("balance.check", "checks", check_fields),
    STATEMENTS_ASKED: ("view.statement", "views", _statement_fields),
}


def answers_per_second(services: Services, checkout: Checkout, path: str, n: int) -> float:
    """By the median of `n` questions, from before sending until the answer is read; a worker of the checkout on books with some usage."""
    task, queue, fields = ASKED[path]
    with (
        workers(services, 1, checkout=checkout),
        redis.Redis.from_url(services.broker_url, socket_timeout=_PATIENCE_SECONDS) as client,
        psycopg.connect(services.database_owner_url, autocommit=True) as connection,
        Celery("bench", broker=services.broker_url, set_as_current=False) as app,
    ):
        fill(client, "single", events(_EVENTS))
        recorded(connection, _EVENTS)
        seconds = []
        for i in range(_WARM_UP + n):
            started = perf_counter()
            ask(app, client, task, queue, fields(i))
            seconds.append(perf_counter() - started)
    return 1 / statistics.median(seconds[_WARM_UP:])
