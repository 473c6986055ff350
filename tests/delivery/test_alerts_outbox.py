"""The alerts' outbox on a real broker: nothing lost, nothing invented, and a repetition only after a crash."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, cast

import psycopg
import pytest
import redis
from celery import Celery

from core.alerts.message import AlertMessage
from core.alerts.publish import Publication, WaitingAlerts, count_waiting_alerts, publish_alerts
from core.alerts.withhold import withhold_alerts
from core.asking import rights
from core.database.database import Database
from core.errors import StorageUnavailable
from core.outgoing import OutgoingQueue
from lab.postgres import SUPERUSER, PostgresServer
from tasks.alerts import QUEUE
from tasks.outgoing import outgoing_queue
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually
from tests.sample_events import event
from worker.intake.amqp_connection import connected
from worker.intake.amqp_message import read_properties

Publish = Callable[..., Publication]
NONE_WAIT = WaitingAlerts(alerts=0, oldest_seconds=0)


class Interrupted:
    """A real queue, after whose answer something happens before the commit."""

    def __init__(self, queue: OutgoingQueue, happens: Callable[[], object]) -> None:
        self._queue, self._happens = queue, happens

    def room(self) -> int:
        """As the real one."""
        return self._queue.room()

    def put(self, bodies: Sequence[bytes]) -> None:
        """The broker has them, and then it happens."""
        self._queue.put(bodies)
        self._happens()


@pytest.fixture
def alert_queue(producer: Celery, broker: Broker) -> Iterator[OutgoingQueue]:
    """The queue, empty, with room for a thousand."""
    if isinstance(broker, RabbitBroker):
        with connected(broker.url) as channel:
            channel.queue_delete(QUEUE)
    with outgoing_queue(producer, QUEUE, 1000) as queue:
        assert queue.room() == 1000
        yield queue


@pytest.fixture
def read(broker: Broker) -> Callable[[], list[dict[str, Any]]]:
    """Takes every message off the queue, the oldest first, as its consumer would."""

    def from_rabbit() -> Iterator[bytes]:
        with connected(broker.url) as channel:
            while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
                assert read_properties(message.properties)["content_type"] == "application/json"
                yield message.body

    def from_redis() -> list[bytes]:
        with redis.Redis.from_url(broker.url) as client:
            return cast("list[bytes]", client.rpop(QUEUE, 1000) or [])

    return lambda: [json.loads(body) for body in (from_rabbit() if isinstance(broker, RabbitBroker) else from_redis())]


@pytest.fixture
def crossed(acme: None, record: Record, rows: Rows) -> Callable[[int], list[int]]:
    """Makes so many alerts, of one account each, and returns their ids."""

    def make(count: int) -> list[int]:
        rows("INSERT INTO directory_memberships (user_id, mandate_id) SELECT 'u' || n, 'acme' FROM generate_series(1, :n) n", n=count)
        record(*[event(user_id=f"u{n}", price_chf="9.5") for n in range(1, count + 1)])
        return [row["id"] for row in rows("SELECT id FROM balance_alerts ORDER BY id")]

    return make


@both_brokers
def test_a_message_says_what_the_books_say(
    crossed: Callable[[int], list[int]], record: Record, rows: Rows, database: Database, alert_queue: OutgoingQueue, read: Callable[[], list[Any]]
) -> None:
    """A crossing is one plain JSON object of the contract: amounts as exact strings, whose account, whom to tell."""
    crossed(1)
    rows("UPDATE billing_settings SET notification_emails = '{ops@acme.example}'")
    done = publish_alerts(database, alert_queue)
    assert (done, count_waiting_alerts(database)) == (Publication(published=1, withheld=0), NONE_WAIT)
    (message,) = read()
    (alert,) = rows("SELECT * FROM balance_alerts")
    assert AlertMessage.model_validate_json(json.dumps(message)).alert_id == alert["id"]
    assert (message["mandate_id"], message["account_id"], message["account_type"], message["user_id"]) == ("acme", alert["account_id"], "USER", "u1")
    assert (message["kind"], message["recovered"]) == ("WARNING", False)
    assert (message["balance_before"], message["balance_after"], message["threshold"]) == ("10.000000000", "0.500000000", "1.000000000")
    assert (message["schema_version"], message["notification_emails"]) == (1, ["ops@acme.example"])
    assert AlertMessage.model_validate(message).recorded_at == alert["recorded_at"]
    assert alert["published_at"] >= alert["recorded_at"]


@both_brokers
def test_each_alert_is_published_once_by_many_at_once(
    crossed: Callable[[int], list[int]],
    connect: Callable[[], Database],
    producer: Celery,
    alert_queue: OutgoingQueue,
    read: Callable[[], list[Any]],
) -> None:
    """Publishers that start together neither double nor lose one, and the order is that of the ids."""
    ids = crossed(700)

    def publish_all(database: Database) -> int:
        with outgoing_queue(producer, QUEUE, 10_000) as queue:
            published = 0
            while count_waiting_alerts(database).alerts:
                published += publish_alerts(database, queue).published
            return published

    assert sum(at_once(*[partial(publish_all, connect()) for _ in range(4)])) == 700
    assert [message["alert_id"] for message in read()] == ids


@both_brokers
@pytest.mark.parametrize("crash", ["the publisher fails", "the database drops the connection"])
def test_a_crash_between_broker_and_commit_repeats_under_the_same_id(
    crash: str,
    crossed: Callable[[int], list[int]],
    database: Database,
    rows: Rows,
    alert_queue: OutgoingQueue,
    read: Callable[[], list[Any]],
    postgres: PostgresServer,
) -> None:
    """What the broker took and the books don't know of is published again: repeated under its id, never lost."""
    ids = crossed(3)

    def happens() -> None:
        if crash == "the publisher fails":
            raise RuntimeError(crash)
        (name,) = rows("SELECT current_database() AS name")
        with psycopg.connect(postgres.url(SUPERUSER, name["name"]), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'tollbook_app'"
            )

    with pytest.raises((RuntimeError, StorageUnavailable)):
        publish_alerts(database, Interrupted(alert_queue, happens))
    assert rows("SELECT count(*) AS n FROM balance_alerts WHERE published_at IS NOT NULL") == [{"n": 0}]
    assert publish_alerts(database, alert_queue).published == 3
    assert [message["alert_id"] for message in read()] == ids * 2
    assert publish_alerts(database, alert_queue).published == 0


@both_brokers
def test_a_full_queue_makes_the_outbox_wait(
    crossed: Callable[[int], list[int]],
    database: Database,
    producer: Celery,
    alert_queue: OutgoingQueue,
    broker: Broker,
    read: Callable[[], list[Any]],
) -> None:
    """No more messages than are allowed stand in the queue; the others wait in the books until somebody reads."""
    ids = crossed(5)
    with outgoing_queue(producer, QUEUE, 3) as small:
        assert [publish_alerts(database, small).published for _ in range(2)] == [3, 0]
        assert broker.waiting(QUEUE) == 3
        assert [message["alert_id"] for message in read()] == ids[:3]
        assert count_waiting_alerts(database).alerts == 2
        assert publish_alerts(database, small).published == 2
    assert count_waiting_alerts(database) == NONE_WAIT
    assert [message["alert_id"] for message in read()] == ids[3:]


def test_a_broker_that_refuses_loses_nothing(
    crossed: Callable[[int], list[int]], database: Database, alert_queue: OutgoingQueue, queue: redis.Redis, read: Callable[[], list[Any]]
) -> None:
    """While the broker takes no message the alerts wait, and are published once it does."""
    ids = crossed(2)
    queue.set(QUEUE, "not a list")
    with pytest.raises(redis.ResponseError):
        publish_alerts(database, alert_queue)
    queue.delete(QUEUE)
    assert publish_alerts(database, alert_queue).published == 2
    assert [message["alert_id"] for message in read()] == ids


def test_who_wants_no_notification_gets_none(
    crossed: Callable[[int], list[int]], record: Record, database: Database, rows: Rows, alert_queue: OutgoingQueue, read: Callable[[], list[Any]]
) -> None:
    """With `notify_on_warning` false an alert is recorded and withheld, and never looked at again; afterwards they are published anew."""
    crossed(2)
    rows("UPDATE billing_settings SET notify_on_warning = false")
    done = publish_alerts(database, alert_queue)
    assert (done, count_waiting_alerts(database)) == (Publication(published=0, withheld=2), NONE_WAIT)
    rows("UPDATE billing_settings SET notify_on_warning = true")
    record(event(user_id="u1", price_chf="1"))
    assert publish_alerts(database, alert_queue).published == 1
    assert [(message["kind"], message["user_id"]) for message in read()] == [("ZERO", "u1")]
    assert rows("SELECT count(*) AS n FROM balance_alerts WHERE withheld_at IS NOT NULL AND published_at IS NULL") == [{"n": 2}]


def test_old_alerts_can_be_withheld(
    crossed: Callable[[int], list[int]], record: Record, database: Database, rows: Rows, alert_queue: OutgoingQueue, read: Callable[[], list[Any]]
) -> None:
    """An operator keeps what crossed before a time from being published; what came after it is."""
    crossed(2)
    (moment,) = rows("SELECT clock_timestamp() AS now")
    record(event(user_id="u2", price_chf="0.6"))
    assert withhold_alerts(database, rights.ROOT, moment["now"]) == 2
    assert withhold_alerts(database, rights.ROOT, moment["now"]) == 0
    assert publish_alerts(database, alert_queue).published == 1
    assert [message["balance_after"] for message in read()] == ["-0.100000000"]


@both_brokers
def test_a_worker_publishes_what_is_asked_for(
    crossed: Callable[[int], list[int]], start_worker: StartWorker, producer: Celery, alert_queue: OutgoingQueue, read: Callable[[], list[Any]]
) -> None:
    """The job on the maintenance queue publishes where it is switched on; the message has the crossing's exact amounts."""
    (alert_id,) = crossed(1)
    start_worker("-Q", "maintenance", TOLLBOOK_ALERTS_QUEUE_MAX="10").ready()
    producer.send_task("alerts.publish", queue="maintenance", ignore_result=True)
    (message,) = eventually(read, "the alert is published")
    assert (message["alert_id"], Decimal(message["balance_after"])) == (alert_id, Decimal("0.5"))


def test_beat_asks_for_it_only_where_it_is_configured(environment: dict[str, str]) -> None:
    """Without the setting there is no such job."""

    def scheduled(**more: str) -> bool:
        script = "import celeryconfig; print('alerts.publish' in celeryconfig.beat_schedule)"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment | more, capture_output=True, text=True, check=True)
        return done.stdout == "True\n"

    assert not scheduled()
    assert scheduled(TOLLBOOK_ALERTS_QUEUE_MAX="1")
