"""How long it takes to authorise a hold at a steady rate, due calls never waiting for earlier answers, and how many a pool takes in a second."""

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from time import perf_counter
from uuid import uuid4

import psycopg
import redis
from celery import Celery

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.holds.authorise import authorise, authorise_all
from core.holds.question import HoldQuestion
from core.holds.together import Together
from core.ledger.opening import KnownAccounts
from core.movements.top_up import TopUp, top_up
from lab.bench.checks import ask
from lab.bench.crowds import Crowd
from lab.bench.drains import events_recorded, recorded, workers
from lab.bench.goals import AUTHORISE, AUTHORISE_POOL, AUTHORISE_POOL_TASK, AUTHORISE_TASK
from lab.bench.traffic import HOT_MANDATE, Member, celery_message, events, hot_members
from lab.services import Services

PER_SECOND = 200
_WARM_UP = 400  # questions: they prepare the statements, whose plans by then no longer know their parameters
_CALLERS = 8  # threads that ask at the same time at most
RECORDED_PER_SECOND, _EVENTS_PER_MESSAGE = 10_000, 100
_START_SECONDS = 10  # in which a worker is ready
_HOT_THREADS = 32
_CROWD = Crowd("call-", 50, 20)

P99 = Callable[[Services, int], float]


def _function_p99_seconds(services: Services, n: int, members: Iterator[Member]) -> float:
    """99th percentile of `n` authorisations as a function, from the moment when each is due."""
    with _known(services) as (database, config):
        known = KnownAccounts()

        def once(due: float) -> float:
            question = HoldQuestion.read(_fields(members))
            assert authorise(database, ROOT, question, config=config, known_accounts=known).allowed
            return perf_counter() - due

        with ThreadPoolExecutor(_CALLERS) as threads:
            asked = [threads.submit(once, due) for due in chain(_due(_WARM_UP), _due(n))]
            return _p99([one.result() for one in asked][_WARM_UP:])


def _task_p99_seconds(services: Services, n: int, members: Iterator[Member]) -> float:
    """The same by task, until the answer is read, on a worker of all queues."""
    reply_to, sent, came = f"tollbook.reply.{uuid4()}", dict[str, float](), dict[str, float]()
    with (
        workers(services, 1),
        redis.Redis.from_url(services.broker_url) as client,
        Celery("bench", broker=services.broker_url, set_as_current=False) as app,
    ):
        ask(app, client, "hold.authorise", "checks", _fields(members))  # it is ready
        reader = threading.Thread(target=_read_answers, args=(client, reply_to, _WARM_UP + n, came))
        reader.start()
        for due in chain(_due(_WARM_UP), _due(n)):
            fields = _fields(members)
            sent[fields["key"]] = due
            app.send_task("hold.authorise", kwargs=fields, queue="checks", reply_to=reply_to, expires=60, ignore_result=True)
        reader.join()
    return _p99([came[key] - due for key, due in sent.items()][_WARM_UP:])


def _read_answers(client: redis.Redis, reply_to: str, n: int, came: dict[str, float]) -> None:
    """Until there are `n` answers, or none for a minute: when each came, by the key of its hold."""
    while len(came) < n:
        answer = client.blpop([reply_to], timeout=60)
        assert isinstance(answer, tuple | list), "no answer within a minute"
        now, result = perf_counter(), json.loads(answer[1])["result"]
        assert result["allowed"], result
        came[result["key"]] = now


@contextmanager
def _usage_of_the_pool(services: Services, n: int) -> Iterator[None]:
    """A steady stream of usage of the hot pool in batch messages, for as long as a worker starts and answers `n` questions."""
    lift_pool(services)
    seconds = (_WARM_UP + n) / PER_SECOND + _START_SECONDS
    source = events(int(RECORDED_PER_SECOND * seconds), members=hot_members())
    messages = [celery_message("usage.record_batch", several) for several in iter(lambda: list(islice(source, _EVENTS_PER_MESSAGE)), [])]
    done = threading.Event()
    stream = threading.Thread(target=_send, args=(services, messages, done))
    stream.start()
    try:
        yield
    finally:
        done.set()
        stream.join()


def _send(services: Services, messages: list[bytes], done: threading.Event) -> None:
    started = perf_counter()
    with redis.Redis.from_url(services.broker_url) as client:
        for i, message in enumerate(messages):
            if done.wait(max(0.0, started + i * _EVENTS_PER_MESSAGE / RECORDED_PER_SECOND - perf_counter())):
                break
            client.lpush("usage", message)
        done.wait()
        client.delete("usage")


def _pool_p99_seconds(services: Services, n: int) -> float:
    """As a function, while a worker records on the pool that pays."""
    with workers(services, 1), psycopg.connect(services.database_owner_url, autocommit=True) as connection, _usage_of_the_pool(services, n):
        recorded(connection, events_recorded(connection) + 1)
        return _function_p99_seconds(services, n, hot_members())


def _pool_task_p99_seconds(services: Services, n: int) -> float:
    """By task, of the very worker that records on the pool meanwhile."""
    with _usage_of_the_pool(services, n):
        return _task_p99_seconds(services, n, hot_members())


AUTHORISATIONS: dict[str, P99] = {
    AUTHORISE: lambda services, n: _function_p99_seconds(services, n, _CROWD.uniform()),
    AUTHORISE_TASK: lambda services, n: _task_p99_seconds(services, n, _CROWD.uniform()),
    AUTHORISE_POOL: _pool_p99_seconds,
    AUTHORISE_POOL_TASK: _pool_task_p99_seconds,
}


def make_crowd(services: Services) -> None:
    """The users who ask, with accounts and much credit."""
    _CROWD.make(services.database_owner_url)


def lift_pool(services: Services) -> None:
    """Pays much into the hot pool."""
    with _known(services) as (database, _):
        asked = {"mandate_id": HOT_MANDATE, "amount": "1000000", "by": "bench", "key": str(uuid4())}
        top_up(database, ROOT, TopUp.read(asked))


def hot_authorisations_per_second(services: Services, n: int, processes: int = 2) -> float:
    """Authorisations/s of one pool by so many processes whose threads ask together, each as soon as it has its answer."""
    lift_pool(services)
    spawn = multiprocessing.get_context("spawn")
    barrier, times = spawn.Barrier(processes), spawn.Queue()
    started = [spawn.Process(target=_ask_together, args=(services.database_url, n // processes, barrier, times)) for _ in range(processes)]
    for process in started:
        process.start()
    took: list[tuple[float, float]] = [times.get(timeout=300) for _ in started]
    for process in started:
        process.join()
    return n / (max(done for _, done in took) - min(begun for begun, _ in took))


def _ask_together(database_url: str, n: int, barrier: "threading.Barrier", times: "multiprocessing.Queue[tuple[float, float]]") -> None:
    config, members = Configuration(database_url=database_url), hot_members()
    database, known = Database(config.require_database_url(), config), KnownAccounts()
    together = Together(lambda questions: authorise_all(database, ROOT, questions, config=config, known_accounts=known))

    def once(_: int) -> None:
        assert together.ask(HoldQuestion.read(_fields(members))).allowed

    with ThreadPoolExecutor(_HOT_THREADS) as threads:
        for _ in threads.map(once, range(_WARM_UP)):
            pass
        barrier.wait(60)
        begun = perf_counter()
        for _ in threads.map(once, range(n)):
            pass
        times.put((begun, perf_counter()))
    database.dispose()


@contextmanager
def _known(services: Services) -> Iterator[tuple[Database, Configuration]]:
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    try:
        yield database, config
    finally:
        database.dispose()


def _fields(members: Iterator[Member]) -> dict[str, str]:
    mandate_id, user_id = next(members)
    return {"mandate_id": mandate_id, "user_id": user_id, "key": str(uuid4()), "amount": "0.05"}


def _due(n: int) -> Iterator[float]:
    """The moments at which `n` questions are due, each as it comes."""
    started = perf_counter()
    for i in range(n):
        due = started + i / PER_SECOND
        if (pause := due - perf_counter()) > 0:
            time.sleep(pause)
        yield due


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]
