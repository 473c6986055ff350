"""PostgreSQL fails over to its synchronous standby, and links go dead one way, while the worker records."""

from collections.abc import Callable, Iterator

import pytest
import redis

from core.schema import migrate
from lab.postgres import OWNER, WORKER, PostgresServer
from lab.process import temporary_dir
from lab.proxy import Proxy
from lab.standby import StandbyPair
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.sample_events import event

IsDrained = Callable[[], bool]
FAILING = "tests.delivery.failing_app"
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20", "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "1", "TOLLBOOK_STATEMENT_TIMEOUT_SECONDS": "2"}


@pytest.fixture
def pair() -> Iterator[StandbyPair]:
    """Two servers with books, the second of which is the synchronous standby of the first."""
    with temporary_dir() as folder:
        primary = PostgresServer(folder / "one")
        primary.start()
        migrate.upgrade(primary.url(OWNER), primary.url(WORKER))
        pair = StandbyPair(primary, folder / "two")
        pair.rebuild()
        yield pair
        for server in (pair.primary, pair.standby):
            server.kill()


class TestFailover:
    """With books that are on whichever server is the primary."""

    @pytest.fixture
    def proxy(self, pair: StandbyPair) -> Iterator[Proxy]:
        """What leads to the primary."""
        with Proxy(pair.url()) as proxy:
            yield proxy

    @pytest.fixture
    def database_urls(self, pair: StandbyPair, proxy: Proxy) -> DatabaseUrls:
        """The books behind the proxy are the test's."""
        return DatabaseUrls(proxy.url(pair.url(OWNER)), proxy.url(pair.url(WORKER)))

    @pytest.mark.usefixtures("acme")
    def test_failing_over_again_and_again_loses_and_doubles_nothing(
        self, pair: StandbyPair, proxy: Proxy, broker: Broker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
    ) -> None:
        """Under load the primary is killed and its standby promoted, twice: the same worker records each event once, at its price."""
        worker = start_worker(**SMALL).ready()
        events = [event() for _ in range(3000)]
        for start in (0, 1000, 2000):
            before = recorded(pair)
            broker.put("usage", *map(message, events[start : start + 1000]))
            eventually(lambda: recorded(pair) > before, "it has begun")  # noqa: B023 - used at once
            if start < 2000:
                pair.fail_over(proxy)
                pair.rebuild()
        eventually(is_drained, "every message is acknowledged")
        eventually(lambda: recorded(pair) == 3000, "every event is recorded")
        assert worker.terminate() == 0
        proxy.cut()  # the test's own sessions may be of a server that is gone
        books_hold_exactly(rows, events)


def recorded(pair: StandbyPair) -> int:
    """How many events are in the books of the present primary."""
    import psycopg

    with psycopg.connect(pair.url(OWNER)) as connection:
        found = connection.execute("SELECT count(*) FROM transactions WHERE transaction_type = 'DEBIT'").fetchone()
    assert found
    return int(found[0])


ONE_WAY = pytest.mark.parametrize("silence", [Proxy.silence_requests, Proxy.silence_replies], ids=["requests", "replies"])


@ONE_WAY
@pytest.mark.usefixtures("acme")
def test_a_link_to_the_database_that_is_dead_one_way_is_outlived(
    silence: Callable[[Proxy], None],
    database_urls: DatabaseUrls,
    queue: redis.Redis,
    start_worker: StartWorker,
    rows: Rows,
    is_drained: IsDrained,
) -> None:
    """What the worker sends, or what PostgreSQL answers, is swallowed: it waits, and when the link is whole it records each event once."""
    with Proxy(database_urls.worker) as proxy:
        worker = start_worker(DATABASE_URL=proxy.url(database_urls.worker), **SMALL).ready()
        events = [event() for _ in range(400)]
        queue.lpush("usage", *map(message, events))
        eventually(lambda: queue.llen("usage") < 400, "it has begun")
        silence(proxy)
        eventually(lambda: worker.says("waiting_for_database"), "it waits")
        proxy.heal()
        eventually(is_drained, "every message is acknowledged")
        books_hold_exactly(rows, events)
        assert worker.terminate() == 0


@ONE_WAY
@pytest.mark.usefixtures("acme")
def test_a_link_to_the_broker_that_is_dead_one_way_is_outlived(
    silence: Callable[[Proxy], None], broker_url: str, queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """What the worker sends, or what the broker answers, is swallowed: claims whose answer is lost come again, and nothing is recorded twice."""
    with Proxy(broker_url) as proxy:
        worker = start_worker(app=FAILING, FAULT_BROKER_TIMEOUT="2", CELERY_BROKER_URL=proxy.url(broker_url), **SMALL).ready()
        events = [event() for _ in range(400)]
        queue.lpush("usage", *map(message, events))
        eventually(lambda: queue.llen("usage") < 400, "it has begun")
        silence(proxy)
        eventually(lambda: worker.says("waiting_for_broker"), "it waits")
        proxy.heal()
        eventually(is_drained, "every message is acknowledged")
        books_hold_exactly(rows, events)
        assert worker.process.poll() is None
