"""Real workers emptying a filled queue, and how long a debit takes at a steady rate."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psycopg
import redis

from lab.bench import naive
from lab.bench.cpu import Cpu, reader
from lab.bench.traffic import Event, celery_message, events, fill
from lab.services import Services

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_SECONDS = 300
_COUNT = "SELECT coalesce(sum(recorded), 0)::bigint FROM batches"


@dataclass(frozen=True)
class Checkout:
    """A folder with the program, and the interpreter that has what it needs."""

    root: Path
    python: Path

    def environment(self, services: Services) -> dict[str, str]:
        """The environment in which its programs use these servers, and import its own modules."""
        return os.environ | services.environment() | {"PYTHONPATH": str(self.root), "TOLLBOOK_LOG_LEVEL": "ERROR"}


HERE = Checkout(ROOT, Path(sys.executable))


@contextmanager
def workers(
    services: Services, n: int, *arguments: str, app: str = "worker.app", checkout: Checkout = HERE, **environment: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`n` worker processes of the checkout on the services, stopped at the end."""
    own = checkout.environment(services) | environment
    command = [str(checkout.python), "-m", "celery", "-A", app, "worker", "-l", "ERROR", "--without-gossip", "--without-mingle", *arguments]
    started = [
        subprocess.Popen([*command, "-n", f"bench{i}@bench"], cwd=checkout.root, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(n)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Drained:
    """How fast a queue was emptied, in events/s, and what it cost, in microseconds of processor time per event."""

    rate: float
    cpu: Cpu | None = None


def drain(services: Services, kind: str, n: int, processes: int, *, source: Iterator[Event] | None = None) -> Drained:
    """Real workers empty a queue of `n` events, those of `source` if there is one; measured from the first tenth to the last one."""
    with redis.Redis.from_url(services.broker_url) as client:
        fill(client, kind, source or events(n))
    return empty(services, n, processes)


def empty(services: Services, n: int, processes: int) -> Drained:
    """Real workers empty the queues of the services' broker, which hold `n` events; measured from the first tenth to the last one."""
    with psycopg.connect(services.database_owner_url, autocommit=True) as connection, workers(services, processes) as started:
        return _drained(lambda: _number(connection, _COUNT), n, reader(services, [process.pid for process in started]))


def drain_naive(services: Services, n: int) -> Drained:
    """The task-per-event worker with two prefork processes."""
    with psycopg.connect(services.database_owner_url, autocommit=True) as connection, redis.Redis.from_url(services.broker_url) as client:
        for statement in naive.TABLES:
            connection.execute(statement)
        for i in range(n):
            fields = {
                "event_id": str(uuid.uuid4()),
                "account": i % 1000 + 1,
                "amount": "0.001234",
                "provider": "anthropic",
                "model": "m",
                "feature": "chat",
            }
            client.lpush(naive.QUEUE, celery_message("naive.record", fields))
        with workers(services, 1, "-P", "prefork", "-c", "2", app="lab.bench.naive") as started:
            drained = _drained(lambda: _number(connection, "SELECT count(*) FROM naive.entry"), n, reader(services, [started[0].pid]))
        connection.execute("DROP SCHEMA naive CASCADE")
    return drained


def latency_p99_seconds(services: Services, per_second: int, seconds: int) -> float:
    """99th percentile of the time from publishing an event to its committed debit at a steady rate, in seconds."""
    sent: dict[str, float] = {}
    with redis.Redis.from_url(services.broker_url) as client, psycopg.connect(services.database_owner_url, autocommit=True) as connection:
        before = _number(connection, _COUNT)
        with workers(services, 1):
            fill(client, "single", events(per_second))  # opens accounts, prepares statements
            _wait(lambda: _number(connection, _COUNT) - before >= per_second)
            started = perf_counter()
            for i, event in enumerate(events(per_second * seconds)):
                pause = started + i / per_second - perf_counter()
                if pause > 0:
                    threading.Event().wait(pause)
                sent[event["event_id"]] = time.time()
                client.lpush("usage", celery_message("usage.record", event))
            _wait(lambda: _number(connection, _COUNT) - before >= per_second * (seconds + 1))
        rows = connection.execute(
            "SELECT t.event_id, extract(epoch FROM b.committed_at)::float8"
            " FROM transactions t JOIN batches b ON b.id = t.batch_id WHERE t.event_id = ANY(%s)",
            [list(sent)],
        )
        delays: list[float] = sorted(committed - sent[event_id] for event_id, committed in rows)
    return delays[int(len(delays) * 0.99)]


def events_recorded(connection: psycopg.Connection[tuple[int]]) -> int:
    """How many events the books hold."""
    return _number(connection, _COUNT)


def queue_is_drained(services: Services, n: int) -> None:
    """Returns once `n` more events are recorded, however long that takes."""
    with psycopg.connect(services.database_owner_url, autocommit=True) as connection:
        before = _number(connection, _COUNT)
        while _number(connection, _COUNT) - before < n:
            time.sleep(0.1)


def recorded(connection: psycopg.Connection[tuple[int]], n: int) -> None:
    """Returns once the books hold `n` events.

    Raises:
        TimeoutError: they don't within 5 minutes.
    """
    _wait(lambda: _number(connection, _COUNT) >= n)


def _drained(count: Callable[[], int], n: int, read: Callable[[], Cpu]) -> Drained:
    before = count()
    _wait(lambda: count() - before >= n // 10)
    first, used, started = count(), read(), perf_counter()
    _wait(lambda: count() - before >= n)
    events = before + n - first
    return Drained(events / (perf_counter() - started), read().per_event(used, events))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = perf_counter() + _PATIENCE_SECONDS
    while not condition():
        if perf_counter() > deadline:
            raise TimeoutError(f"not done within {_PATIENCE_SECONDS} s")
        time.sleep(0.01)


def _number(connection: psycopg.Connection[tuple[int]], statement: str) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]
