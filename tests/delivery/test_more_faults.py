"""Faults of servers and processes that have no other place: what is lost is known, and what is not lost is recorded once."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.postgres import SUPERUSER, PostgresServer
from lab.process import temporary_dir
from lab.proxy import Proxy
from lab.small_disk import SmallDisk
from lab.valkey import AppendFsync, ValkeyServer
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.brokers import RabbitBroker, RedisBroker
from tests.delivery.conftest import ROOT, StartWorker, WorkerProcess, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.delivery.test_hard_faults import Administrator, administrator, alter_database, database_name, feed, pause, resume, terminate_sessions
from tests.mounting import needs_mount
from tests.sample_events import event

__all__ = ["administrator", "alter_database", "database_name", "terminate_sessions"]
Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20", "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "1"}

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder for a server of the test's own."""
    with temporary_dir() as folder:
        yield folder


@pytest.fixture
def start_valkey() -> Iterator[Callable[..., ValkeyServer]]:
    """Starts brokers of the test's own in a folder, with further arguments; they are killed after the test."""
    started: list[ValkeyServer] = []

    def start(folder: Path, *extra: str, appendfsync: AppendFsync = "everysec") -> ValkeyServer:
        started.append(ValkeyServer(folder / "valkey", appendfsync=appendfsync, extra=extra))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_a_claim_whose_answer_is_lost_is_found_again(
    broker_url: str, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """The broker has handed the messages over and the link breaks before they arrive (F3): each is recorded once, none is gone."""
    with Proxy(broker_url) as proxy:
        lost = proxy.swallow(lambda reply: b"body_encoding" in reply)
        worker = start_worker(CELERY_BROKER_URL=proxy.url(broker_url), **SMALL)
        events = feed(queue, 100)
        worker.ready()
        eventually(is_drained, "every message is acknowledged")
        assert lost.is_set()
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 100, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_the_databases_own_isolation_changes_nothing(
    level: str, alter_database: Callable[[str], None], queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """With a database whose transactions are stricter than ours (F15), two workers that race for the same events record each once."""
    alter_database(f"SET default_transaction_isolation = '{level}'")
    events = [event() for _ in range(300)]
    queue.lpush("usage", *(message(fields) for _ in range(3) for fields in events))
    workers = [start_worker(name=name, **SMALL) for name in ("w1", "w2")]
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert [worker.terminate() for worker in workers] == [0, 0]
    assert not any("40001" in worker.output() for worker in workers)


@pytest.mark.parametrize("kept", ["all but the tail", "nothing"])
def test_what_a_broker_forgot_is_known_to_its_producer(
    kept: str, own_folder: Path, start_valkey: Callable[..., ValkeyServer], start_worker: StartWorker, rows: Rows, counts: Counts
) -> None:
    """A broker that is killed loses the tail of its file, or all (F20, F21): it starts, what it kept is recorded, and once the producer has sent
    everything of its journal again, each event is recorded once.
    """
    server = start_valkey(own_folder, *(("--appendonly", "no") if kept == "nothing" else ()))
    broker = RedisBroker(server.url())
    journal = [event() for _ in range(500)]
    broker.put("usage", *map(message, journal[:300]))
    broker.put("usage", *map(message, journal[300:]))
    server.kill()
    if kept != "nothing":
        (file,) = (server.data / "appendonlydir").glob("*.incr.aof")
        os.truncate(file, file.stat().st_size - 10_000)
    server.start()
    survivors = broker.waiting("usage")
    assert survivors == (0 if kept == "nothing" else 300)
    worker = start_worker(CELERY_BROKER_URL=server.url(), **SMALL).ready()
    eventually(broker.is_drained, "what it kept is acknowledged")
    assert counts()["recorded"] == survivors
    missing = {str(fields["event_id"]) for fields in journal} - {row["event_id"] for row in rows("SELECT event_id FROM event_keys")}
    assert len(missing) == 500 - survivors
    broker.put("usage", *map(message, journal))
    eventually(lambda: broker.is_drained() and counts()["recorded"] == 500, "everything is recorded")
    books_hold_exactly(rows, journal)
    assert counts()["duplicate"] == survivors
    assert worker.terminate() == 0
    broker.close()


@needs_mount
def test_a_broker_whose_disk_is_full_is_waited_for(own_folder: Path, start_worker: StartWorker, rows: Rows) -> None:
    """A broker that can't write its file refuses producers and worker alike (MISCONF, F24): nothing is taken, and with room all is recorded."""
    with SmallDisk(own_folder / "disk", mib=16) as disk, ExitStack() as stack:
        server = ValkeyServer(disk.folder / "valkey")
        server.start()
        stack.callback(server.kill)
        broker = RedisBroker(server.url())
        worker = start_worker(CELERY_BROKER_URL=server.url(), **SMALL).ready()
        pause(worker)
        events = [event() for _ in range(500)]
        broker.put("usage", *map(message, events))
        disk.fill()
        with redis.Redis.from_url(server.url()) as client:
            eventually(lambda: is_refused(client), "the broker refuses")
            with pytest.raises(redis.ResponseError, match="MISCONF"):
                client.lpush("usage", message(event()))
            resume(worker)
            eventually(lambda: worker.says("waiting_for_broker"), "it waits")
            assert worker.process.poll() is None
            disk.free()
            eventually(broker.is_drained, "every message is acknowledged")
        books_hold_exactly(rows, events)
        assert worker.terminate() == 0
        broker.close()


def is_refused(client: redis.Redis) -> bool:
    """Whether the broker takes no writes now."""
    try:
        client.set("filler", "x" * 10_000)
    except redis.ResponseError:
        return True
    return False


def test_a_broker_that_loads_its_data_is_waited_for(
    own_folder: Path, start_valkey: Callable[..., ValkeyServer], start_worker: StartWorker, rows: Rows
) -> None:
    """A broker that is killed and takes its time to load its file (LOADING, F24) is waited for, and drained by the same worker."""
    server = start_valkey(own_folder, "--key-load-delay", "500", appendfsync="always")
    broker = RedisBroker(server.url())
    worker = start_worker(CELERY_BROKER_URL=server.url(), **SMALL).ready()
    pause(worker)
    events = [event() for _ in range(1000)]
    broker.put("usage", *map(message, events))
    with redis.Redis.from_url(server.url()) as client, client.pipeline(transaction=False) as filler:
        for _ in range(24_000):  # while it loads it answers after each thousand
            filler.set("filler", "")
        filler.execute()
    server.kill()
    starting = threading.Thread(target=server.start)
    starting.start()
    eventually(lambda: loads(server), "the broker loads")
    resume(worker)
    eventually(lambda: worker.says("BusyLoadingError"), "it is told so")
    starting.join()
    eventually(broker.is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert worker.terminate() == 0
    broker.close()


def loads(server: ValkeyServer) -> bool:
    """Whether the broker answers that it still loads its data."""
    with redis.Redis.from_url(server.url(), socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        try:
            client.llen("usage")
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
    return False


def test_a_broker_that_is_emptied_under_load_ends_nobody(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """FLUSHALL amid a load, claims and all (F25): the workers go on, and the producer's journal, sent again, is recorded once."""
    workers = [start_worker(name=name, **SMALL).ready() for name in ("w1", "w2")]
    journal = feed(queue, 2000)
    eventually(lambda: counts()["recorded"] > 100, "they have begun")
    queue.flushall()
    eventually(is_drained, "nothing is left")
    time.sleep(1)  # what they had in hand is recorded, and acknowledged to a broker that knows nothing of it
    assert [worker.process.poll() for worker in workers] == [None, None]
    queue.lpush("usage", *map(message, journal))
    eventually(lambda: is_drained() and counts()["recorded"] == 2000, "everything is recorded")
    books_hold_exactly(rows, journal)
    assert [worker.terminate() for worker in workers] == [0, 0]


def test_a_log_whose_reader_is_gone_holds_up_nothing(environment: dict[str, str], queue: redis.Redis, rows: Rows, is_drained: IsDrained) -> None:
    """Whoever read what the worker writes is gone (F66): each line fails, and it records as ever."""
    with mute_worker(environment | SMALL, subprocess.PIPE) as worker:
        assert worker.stdout
        for line in worker.stdout:
            if b"mute@test ready." in line:
                break
        worker.stdout.close()
        events = feed(queue, 200)
        queue.lpush("usage", *(b"garbage %d" % n for n in range(50)))  # of each it would tell
        eventually(lambda: worker.poll() is not None or is_drained(), "every message is acknowledged")
        assert worker.poll() is None
        books_hold_exactly(rows, events)


@needs_mount
def test_a_log_on_a_full_disk_holds_up_nothing(
    own_folder: Path, environment: dict[str, str], queue: redis.Redis, rows: Rows, is_drained: IsDrained
) -> None:
    """The disk of the worker's log runs full (F66): each line fails, and it records as ever."""
    with SmallDisk(own_folder / "disk", mib=1) as disk, (disk.folder / "log").open("ab") as log, mute_worker(environment | SMALL, log) as worker:
        eventually(lambda: b"mute@test ready." in (disk.folder / "log").read_bytes(), "it is ready")
        disk.fill()
        events = feed(queue, 200)
        queue.lpush("usage", *(b"garbage %d" % n for n in range(50)))
        eventually(lambda: worker.poll() is not None or is_drained(), "every message is acknowledged")
        assert worker.poll() is None
        books_hold_exactly(rows, events)


@contextmanager
def mute_worker(environment: dict[str, str], output: int | IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that writes to `output`; it is killed at the end."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-n", "mute@test", "--without-mingle", "--without-gossip"]
    worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def test_a_process_without_file_descriptors_waits_for_some(
    terminate_sessions: Callable[[], int], queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """At its limit of open files the worker can make no connection (F68): it takes nothing more, and goes on when the limit is raised."""
    worker = start_worker(**SMALL).ready()
    events = feed(queue, 100)
    eventually(is_drained, "it works")
    _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (8, hard))
    terminate_sessions()
    events += feed(queue, 200)
    eventually(lambda: worker.says("waiting_for_database"), "it waits")
    assert not is_drained()
    resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert worker.terminate() == 0


def test_a_backlog_met_by_many_workers_is_drained_without_deadlocks(
    postgres: PostgresServer,
    database_urls: DatabaseUrls,
    database_name: str,
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    is_drained: IsDrained,
) -> None:
    """Four workers with two threads each begin at once with a backlog for three accounts (F67): it is drained, and PostgreSQL saw no deadlock."""
    events = [event(user_id=user) for _ in range(1500) for user in ("ada", "bob", "cyd")]
    queue.lpush("usage", *map(message, events))
    workers = [start_worker(name=f"w{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="100") for n in range(4)]
    eventually(is_drained, "every message is acknowledged", seconds=100)
    books_hold_exactly(rows, events)
    assert [worker.ready().terminate() for worker in workers] == [0] * 4  # one may only begin when all is done
    with psycopg.connect(postgres.url(SUPERUSER, database_name)) as connection:
        assert connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone() == (0,)
    waits = [json.loads(line) for worker in workers for line in worker.output().splitlines() if '"intake.waiting"' in line]
    assert waits == []


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_batch_that_takes_longer_than_rabbitmq_waits_is_recorded_once(
    rabbit: RabbitBroker, administrator: Administrator, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """RabbitMQ closes the channel of a consumer that acknowledges nothing for its `consumer_timeout` (F27): the worker goes on with a new one."""
    rabbit.server.control("eval", "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 1000}, {channel_tick_interval, 200}]].")
    try:
        worker = start_worker(TOLLBOOK_LOCK_TIMEOUT_SECONDS="60", TOLLBOOK_STATEMENT_TIMEOUT_SECONDS="60", **SMALL).ready()
        events = [event() for _ in range(100)]
        rabbit.put("usage", *map(message, events[:20]))
        eventually(is_drained, "it works")
        with administrator.transaction(force_rollback=True):
            administrator.execute("SELECT FROM accounts FOR UPDATE")
            rabbit.put("usage", *map(message, events[20:]))
            eventually(lambda: "timed out" in rabbit.server.log.read_text(errors="replace") or worker.process.poll() is not None, "RabbitMQ is tired")
        eventually(lambda: worker.process.poll() is not None or is_drained(), "every message is acknowledged")
        assert worker.process.poll() is None, worker.output()[-2000:]
        books_hold_exactly(rows, events)
        assert worker.terminate() == 0
    finally:
        rabbit.server.control(
            "eval", "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 1800000}, {channel_tick_interval, 60000}]]."
        )


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_producer_refused_by_a_full_queue_sends_again(
    rabbit: RabbitBroker, producer: Celery, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """A queue with a limit that rejects what is too much (F27): a producer that asks for confirmations is told, and sends the same event again."""
    producer.conf.broker_transport_options = {"confirm_publish": True}
    events = [event() for _ in range(300)]
    rabbit.server.control("set_policy", "small", "^usage$", '{"max-length": 10, "overflow": "reject-publish"}', "--apply-to", "queues")
    try:
        worker: WorkerProcess | None = None
        for fields in events:
            while not is_accepted(producer, fields):
                worker = worker or start_worker(**SMALL)
        assert worker, "nothing was refused"
        eventually(is_drained, "every message is acknowledged")
        books_hold_exactly(rows, events)
        assert worker.terminate() == 0
    finally:
        rabbit.server.control("clear_policy", "small")


def is_accepted(producer: Celery, fields: dict[str, object]) -> bool:
    """Sends an event; whether the broker has confirmed it."""
    try:
        producer.send_task("usage.record", [fields], queue="usage", ignore_result=True)
    except OperationalError:
        return False
    return True
