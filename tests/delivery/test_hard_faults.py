"""The hard faults: processes killed or stopped at a named point, links cut or gone half-open, servers that refuse.

After each of them every event is in the books exactly once, and the broker holds nothing any more.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from psycopg import sql

from lab.postgres import SUPERUSER, PostgresServer
from lab.proxy import Proxy
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.broken_links import cut_often, out_of_reach
from tests.delivery.conftest import StartWorker, WorkerProcess, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.sample_events import event
from worker.intake.redis_source import RedisSource, connect
from worker.intake.source import BrokerUnavailable

Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]
Administrator = psycopg.Connection[tuple[object, ...]]
FAILING = "tests.delivery.failing_app"
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20", "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "1"}
ALONE = SMALL | {"TOLLBOOK_INTAKE_THREADS": "1"}

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def database_name(database_urls: DatabaseUrls) -> str:
    """The name of the test's own database."""
    return urlsplit(database_urls.worker).path.removeprefix("/")


@pytest.fixture
def administrator(postgres: PostgresServer, database_name: str) -> Iterator[Administrator]:
    """The superuser in the test's own database, each statement a transaction of its own."""
    with psycopg.connect(postgres.url(SUPERUSER, database_name), autocommit=True) as connection:
        yield connection


@pytest.fixture
def terminate_sessions(administrator: Administrator) -> Callable[[], int]:
    """Ends the database sessions of the test's workers and tells how many there were."""

    def terminate() -> int:
        ended = administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'tollbook_app'"
        )
        return len(ended.fetchall())

    return terminate


@pytest.fixture
def alter_database(administrator: Administrator, database_name: str) -> Callable[[str], None]:
    """Alters the test's own database; `SET …` and `RESET …` are for sessions that begin later."""

    def alter(change: str) -> None:
        administrator.execute(sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(database_name)) + sql.SQL(change))

    return alter


def feed(queue: redis.Redis, n: int) -> list[dict[str, object]]:
    """Puts `n` new events into the queue `usage`."""
    events = [event() for _ in range(n)]
    queue.lpush("usage", *map(message, events))
    return events


def is_stopped(worker: WorkerProcess) -> bool:
    """Whether the process was stopped by SIGSTOP."""
    return psutil.Process(worker.process.pid).status() == psutil.STATUS_STOPPED


def pause(worker: WorkerProcess) -> None:
    """SIGSTOP, and it has stopped."""
    worker.process.send_signal(signal.SIGSTOP)
    eventually(lambda: is_stopped(worker), "it is stopped")


def resume(worker: WorkerProcess) -> None:
    """SIGCONT."""
    worker.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(("point", "repeated"), [("after_claim", 0), ("before_commit", 0), ("after_commit", 20), ("mid_ack", 20), ("after_ack", 0)])
def test_a_worker_killed_at_any_point_of_a_batch_is_survived(
    point: str, repeated: int, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """SIGKILL after the claim, before and after the commit, amid and after the acknowledgement: another worker takes over;
    events come again exactly where they were committed and not acknowledged, and half an acknowledgement is none.
    """
    other = start_worker(name="other", **SMALL)
    failing = start_worker(name="failing", app=FAILING, FAULT_POINT=point, **ALONE).ready()
    pause(other.ready())
    events = feed(queue, 300)
    assert failing.process.wait(30) == -signal.SIGKILL, failing.output()
    assert queue.zcard("tollbook.claims") == (0 if point == "after_ack" else 1)
    assert counts()["recorded"] == (0 if point in {"after_claim", "before_commit"} else 20)
    resume(other)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 300, "duplicate": repeated, "conflict": 0, "rejected": 0, "parked": 0}


@pytest.mark.parametrize(("point", "repeated_by"), [("after_claim", "stopped"), ("before_commit", "stopped"), ("after_commit", "other")])
def test_a_worker_stopped_beyond_its_visibility_finds_its_work_done(
    point: str, repeated_by: str, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """SIGSTOP, with a claim in hand, amid a transaction or before the acknowledgement: a second worker settles everything, for
    PostgreSQL ends the idle transaction; after SIGCONT the first one finds its own 20 events recorded, or comes too late with
    its acknowledgement, and lives on.
    """
    stopping = start_worker(name="stopping", app=FAILING, FAULT_POINT=point, FAULT_SIGNAL="SIGSTOP", TOLLBOOK_STATEMENT_TIMEOUT_SECONDS="1", **ALONE)
    other = start_worker(name="other", **SMALL)
    stopping.ready()
    pause(other.ready())
    events = feed(queue, 300)
    eventually(lambda: is_stopped(stopping), "it has stopped itself")
    resume(other)
    eventually(is_drained, "the second worker settles everything")
    books_hold_exactly(rows, events)
    assert counts()["duplicate"] == (20 if repeated_by == "other" else 0)
    resume(stopping)
    eventually(lambda: counts()["duplicate"] == 20, "the first worker comes to the end of its batch")
    books_hold_exactly(rows, events)
    pause(other)
    events += feed(queue, 50)
    eventually(is_drained, "the first worker goes on alone")
    books_hold_exactly(rows, events)
    assert stopping.terminate() == 0


def test_a_cold_stop_amid_a_batch_gives_it_back(
    administrator: Administrator, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """SIGQUIT under load, with two batches that wait for a lock, ends the worker within seconds: every message is in its
    queue again, and the next worker records each event once.
    """
    first, second = start_worker(name="first", **SMALL), start_worker(name="second", **SMALL)
    pause(second.ready())
    first.ready()
    events = feed(queue, 20)
    eventually(is_drained, "it works")
    with administrator.transaction(force_rollback=True):
        administrator.execute("SELECT FROM accounts FOR UPDATE")
        events += feed(queue, 300)
        eventually(lambda: queue.zcard("tollbook.claims") == 2, "both threads have a batch in hand")
        first.process.send_signal(signal.SIGQUIT)
        first.process.wait(10)
        assert (queue.llen("usage"), queue.zcard("tollbook.claims")) == (300, 0)
    resume(second)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 320, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}


def half_open(proxy: Proxy) -> None:
    """The links there are carry nothing any more, and nobody is told."""
    assert proxy.half_open() >= 1


def slow(proxy: Proxy) -> None:
    """Every answer takes a fifth of the visibility time."""
    proxy.delay(0.1)


@pytest.mark.parametrize("fault", [half_open, cut_often, out_of_reach, slow])
def test_a_bad_link_to_the_broker_is_outlived(
    fault: Callable[[Proxy], None], broker_url: str, queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """With the link to the broker half-open, reset again and again, out of reach or slow while it drains, the worker
    records each event once within a minute, and lives on; with its default patience that is `test_long.py`'s affair.
    """
    with Proxy(broker_url) as proxy:
        worker = start_worker(app=FAILING, FAULT_BROKER_TIMEOUT="2", CELERY_BROKER_URL=proxy.url(broker_url), **SMALL).ready()
        events = feed(queue, 200)
        eventually(lambda: queue.llen("usage") < 200, "it has begun")
        fault(proxy)
        eventually(is_drained, "every message is acknowledged")
        proxy.delay(0)
        events += feed(queue, 20)
        eventually(is_drained, "it goes on")
        books_hold_exactly(rows, events)
        assert worker.process.poll() is None


@pytest.mark.parametrize("fault", [half_open, cut_often, out_of_reach, slow])
def test_a_bad_link_to_the_database_is_outlived(
    fault: Callable[[Proxy], None], database_urls: DatabaseUrls, queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """With the link to the database half-open, reset again and again, out of reach or slow while it drains, the worker
    records each event once within a minute, and lives on.
    """
    with Proxy(database_urls.worker) as proxy:
        worker = start_worker(DATABASE_URL=proxy.url(database_urls.worker), TOLLBOOK_STATEMENT_TIMEOUT_SECONDS="1", **SMALL).ready()
        events = feed(queue, 120)
        eventually(lambda: queue.llen("usage") < 120, "it has begun")
        fault(proxy)
        eventually(is_drained, "every message is acknowledged")
        proxy.delay(0)
        events += feed(queue, 20)
        eventually(is_drained, "it goes on")
        books_hold_exactly(rows, events)
        assert worker.terminate() == 0


def test_a_commit_whose_answer_is_lost_is_not_repeated(
    database_urls: DatabaseUrls, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """PostgreSQL commits a batch, and the answer is lost with the connection: the same events come again, as duplicates."""
    with Proxy(database_urls.worker) as proxy:
        start_worker(DATABASE_URL=proxy.url(database_urls.worker), TOLLBOOK_INTAKE_BATCH_MESSAGES="100", TOLLBOOK_INTAKE_THREADS="1").ready()
        lost = proxy.swallow(lambda reply: b"COMMIT\0" in reply)
        events = feed(queue, 100)
        eventually(is_drained, "every message is acknowledged")
        assert lost.is_set()
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 100, "duplicate": 100, "conflict": 0, "rejected": 0, "parked": 0}


def test_a_storm_of_terminated_sessions_costs_only_time(
    terminate_sessions: Callable[[], int], queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """While two workers drain, their database sessions are ended again and again: each event is recorded once, batches are whole."""
    for name in ("w1", "w2"):
        start_worker(name=name, **SMALL)
    events = feed(queue, 2500)
    eventually(lambda: counts()["recorded"] > 0, "they have begun")
    ended = itertools.accumulate(iter(terminate_sessions, None))
    eventually(lambda: next(ended) > 30, "a storm")
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts()["recorded"] == 2500


def refused_for_a_while(worker: WorkerProcess, queue: redis.Redis, told: str, mend: Callable[[], object]) -> list[dict[str, object]]:
    """Feeds a worker whose database refuses: it says what it waits for, and claims no more than it holds, until it is mended."""
    events = feed(queue, 200)
    eventually(lambda: worker.says(told), f"it waits: {told}")
    waiting = queue.llen("usage")
    time.sleep(0.5)
    assert queue.llen("usage") == waiting > 0
    mend()
    return events


def test_a_read_only_database_is_waited_for(
    alter_database: Callable[[str], None],
    terminate_sessions: Callable[[], int],
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    counts: Counts,
    is_drained: IsDrained,
) -> None:
    """A database that turns read-only, as in a failover, ends no worker and makes no dead letter; when it can be written, all is recorded."""
    worker = start_worker(**SMALL).ready()
    events = feed(queue, 200)
    eventually(is_drained, "it works")
    alter_database("SET default_transaction_read_only = on")
    terminate_sessions()

    def mend() -> None:
        alter_database("RESET default_transaction_read_only")
        terminate_sessions()

    events += refused_for_a_while(worker, queue, "25006", mend)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 400, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}


def test_a_session_that_can_only_read_is_not_kept(
    alter_database: Callable[[str], None],
    terminate_sessions: Callable[[], int],
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    is_drained: IsDrained,
) -> None:
    """After a failover a new session can write while those made before it can't: the worker makes new ones, and records all."""
    worker = start_worker(**SMALL).ready()
    alter_database("SET default_transaction_read_only = on")
    terminate_sessions()
    events = refused_for_a_while(worker, queue, "25006", lambda: alter_database("RESET default_transaction_read_only"))
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)


def test_being_out_of_connections_is_waited_for(
    alter_database: Callable[[str], None],
    terminate_sessions: Callable[[], int],
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    counts: Counts,
    is_drained: IsDrained,
) -> None:
    """While the database grants the worker no session it waits; with a single one for two threads, it records all."""
    worker = start_worker(**SMALL).ready()
    rows("SELECT 1")  # the test has its two sessions already
    alter_database("CONNECTION LIMIT 0")
    terminate_sessions()
    events = refused_for_a_while(worker, queue, "too many connections", lambda: alter_database("CONNECTION LIMIT 3"))
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 200, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}


@pytest.mark.parametrize("held", ["accounts", "keys"])
def test_a_lock_held_too_long_is_waited_for(
    held: str, administrator: Administrator, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """A stranger's transaction holds the account rows, or an event's key, beyond the lock timeout: the batch is tried again
    until it is released, and recorded once.
    """
    worker = start_worker(TOLLBOOK_LOCK_TIMEOUT_SECONDS="0.3", **ALONE).ready()
    events = feed(queue, 20)
    eventually(lambda: counts()["recorded"] == 20, "it works")
    with administrator.transaction(force_rollback=True):
        if held == "accounts":
            administrator.execute("SELECT FROM accounts FOR UPDATE")
        else:
            administrator.execute("INSERT INTO event_keys VALUES ('acme', 'held', '', 1, 0, now())")
            events.append(event(event_id="held"))
            queue.lpush("usage", message(events[-1]))
        events += refused_for_a_while(worker, queue, "55P03", lambda: None)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts()["recorded"] == len(events)
    assert counts()["duplicate"] == 0


def test_the_victim_of_a_deadlock_tries_again(
    administrator: Administrator,
    postgres: PostgresServer,
    database_name: str,
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    is_drained: IsDrained,
) -> None:
    """A stranger locks in the other order, and PostgreSQL ends the worker's transaction: it is tried again, and recorded once."""
    worker = start_worker(**ALONE).ready()
    events = feed(queue, 20)
    eventually(is_drained, "it works")
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'tollbook_app' AND wait_event_type = 'Lock'"
    with psycopg.connect(postgres.url(SUPERUSER, database_name)) as stranger:
        stranger.execute("SET deadlock_timeout = '60s'")
        stranger.execute("SELECT FROM accounts FOR UPDATE")
        events += feed(queue, 20)
        eventually(lambda: administrator.execute(waiting).fetchone() is not None, "the worker waits for the accounts")
        key = [events[-1]["event_id"]]
        stranger.execute("INSERT INTO event_keys VALUES ('acme', %s, '', 1, 0, now())", key)  # returns when the worker's batch is undone
        eventually(lambda: worker.says("40P01"), "the worker is the victim")
        stranger.rollback()
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)


def test_a_broker_with_its_memory_full_is_emptied(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """With the broker at `maxmemory` producers are refused, but the worker takes, records and acknowledges all that is queued."""
    worker = start_worker(**SMALL).ready()
    pause(worker)
    events = feed(queue, 1000)
    queue.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            queue.lpush("usage", message(event()))
        resume(worker)
        eventually(is_drained, "every message is acknowledged")
        assert counts()["recorded"] == 1000
    finally:
        queue.config_set("maxmemory", 0)
    events += feed(queue, 100)
    eventually(is_drained, "it goes on")
    books_hold_exactly(rows, events)
    assert worker.terminate() == 0


def test_a_worker_that_starts_with_the_brokers_memory_full_empties_it(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """Restarting the worker is what an operator does when the broker is full: it drains it, and the memory is free again."""
    events = feed(queue, 1000)
    queue.config_set("maxmemory", 1)
    try:
        worker = start_worker(**SMALL)
        eventually(lambda: worker.process.poll() is not None or is_drained(), "every message is acknowledged", seconds=15)
    finally:
        queue.config_set("maxmemory", 0)
    assert worker.process.poll() is None, worker.output()[-2000:]
    books_hold_exactly(rows, events)


def test_a_broker_that_becomes_a_replica_is_waited_for(queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained) -> None:
    """While the broker is a replica (a failover), and so read-only, nothing is taken; as a primary again it is drained by the same worker."""
    worker = start_worker(**SMALL).ready()
    events = feed(queue, 1000)
    eventually(lambda: queue.llen("usage") < 1000, "it has begun")
    queue.replicaof("127.0.0.1", 1)
    try:
        eventually(lambda: worker.says("ReadOnlyError"), "the pump waits")
        waiting = queue.llen("usage")
        time.sleep(1)
        assert queue.llen("usage") == waiting > 0
        assert worker.process.poll() is None, worker.output()[-2000:]
    finally:
        queue.replicaof("NO", "ONE")
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert worker.terminate() == 0


def test_a_lost_right_ends_the_worker_and_acknowledges_nothing(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """Without the right to insert transactions the worker ends with exit code 78, every message is in its queue again,
    and after the GRANT a new worker records them all.
    """
    worker = start_worker(**SMALL).ready()
    events = feed(queue, 200)
    eventually(is_drained, "it works")
    rows("REVOKE INSERT ON transactions FROM tollbook_worker")
    events += feed(queue, 200)
    assert worker.process.wait(30) == 78
    assert "42501" in worker.output()
    assert queue.llen("usage") + sum(int(queue.llen(key)) for key in queue.scan_iter("tollbook.claim:*")) >= 200
    assert counts() == {"recorded": 200, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}
    rows("GRANT INSERT ON transactions TO tollbook_worker")
    start_worker(**SMALL)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": 400, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}


def test_no_late_acknowledgement_takes_another_claims_messages(broker_url: str, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim's reply is lost, another worker takes the claim over, and the first one claims anew: the other's
    acknowledgement removes its own messages, and not what the first one now holds.
    """
    first, other = (RedisSource(connect(broker_url), ["usage"], worker=name, visibility_seconds=0.05) for name in ("first", "other"))
    queue.lpush("usage", "one")
    script = first._claim_script

    def answer_is_lost(**arguments: object) -> None:
        script(**arguments)
        raise redis.ConnectionError("reset by peer")

    monkeypatch.setattr(first, "_claim_script", answer_is_lost)
    with pytest.raises(BrokerUnavailable):
        first.claim(1, 1000)
    monkeypatch.setattr(first, "_claim_script", script)
    taken_over = eventually(other.take_over, "it is due")
    queue.lpush("usage", "two")
    held = first.claim(1, 1000)
    assert held
    assert [entry.body for entry in held.entries] == [b"two"]
    other.acknowledge(taken_over)
    assert queue.lrange(f"tollbook.claim:{held.id}", 0, -1) == [b"usage", b"1", b"two"]
    assert queue.zrange("tollbook.claims", 0, -1) == [held.id.encode()]
