"""PostgreSQL's disk is full: the worker takes no more than it holds, and goes on when there is room."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from core.schema import migrate
from lab.postgres import OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import temporary_dir
from lab.small_disk import SmallDisk
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.mounting import needs_mount
from tests.sample_events import event

pytestmark = [needs_mount, pytest.mark.usefixtures("acme")]
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20", "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "1"}


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """The disk of the test's PostgreSQL server."""
    with temporary_dir() as folder, SmallDisk(folder / "disk", mib=384) as disk:
        yield disk


@pytest.fixture
def server(disk: SmallDisk) -> Iterator[PostgresServer]:
    """A server with books on the small disk."""
    server = PostgresServer(disk.folder / "postgres")
    server.start()
    migrate.upgrade(server.url(OWNER), server.url(WORKER))
    yield server
    server.kill()


@pytest.fixture
def database_urls(server: PostgresServer) -> DatabaseUrls:
    """The books on the small disk are the test's."""
    return DatabaseUrls(server.url(OWNER), server.url(WORKER))


def number_of(rows: Rows, table: str) -> int:
    """How many rows a table has."""
    return int(rows(f"SELECT count(*) n FROM {table}")[0]["n"])


@both_brokers
def test_a_full_disk_is_waited_for(
    disk: SmallDisk, broker: Broker, start_worker: StartWorker, rows: Rows, counts: Callable[[], dict[str, int]], is_drained: Callable[[], bool]
) -> None:
    """53100 ends no worker and loses nothing: what it can't write stays in the queue, what can't be read included, until there is room."""
    worker = start_worker(**SMALL).ready()
    events = [event() for _ in range(100)]
    broker.put("usage", *map(message, events))
    eventually(lambda: counts()["recorded"] == 100 and is_drained(), "it works")
    disk.fill()
    more = [event() for _ in range(2000)]
    broker.put("usage", *map(message, more))
    broker.put("usage.json", *(b"{broken %d" % n for n in range(200)))
    eventually(lambda: worker.says("53100"), "it waits")
    recorded = counts()["recorded"]
    assert recorded < 2100
    assert not is_drained()
    assert worker.process.poll() is None
    disk.free()
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events + more)
    assert number_of(rows, "dead_letters") == 200
    assert worker.terminate() == 0


def test_a_server_that_ends_because_its_log_has_no_room_is_waited_for(
    disk: SmallDisk, server: PostgresServer, broker: Broker, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """PostgreSQL ends amid the load because it can't write its log; started again with room, it is written to by the same worker."""
    worker = start_worker(**SMALL).ready()
    events = [event() for _ in range(2000)]
    broker.put("usage", *map(message, events[:1000]))
    eventually(lambda: number_of(rows, "transactions") > 0, "it has begun")
    disk.fill(left_kib=64)
    with pytest.raises(psycopg.OperationalError):
        log_without_end(server)
    broker.put("usage", *map(message, events[1000:]))
    eventually(lambda: worker.says("waiting_for_database"), "it waits")
    disk.free()
    server.stop("immediate")
    server.start()
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert worker.terminate() == 0


def log_without_end(server: PostgresServer) -> None:
    """Writes to PostgreSQL's log alone."""
    with psycopg.connect(server.url(SUPERUSER), autocommit=True) as connection:
        while True:
            connection.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000))")
