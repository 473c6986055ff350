"""What is RabbitMQ's own: raw publishers, queue types, policies, refusals, and a node that dies, stops and cuts its connections."""

import json
import shlex
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Self

import amqp
import kombu.pools
import pytest
from celery import Celery
from kombu import Connection

from lab.process import temporary_dir
from lab.proxy import Proxy
from lab.rabbitmq import RabbitServer
from tests.conftest import Rows
from tests.delivery.broken_links import cut_often, out_of_reach
from tests.delivery.brokers import RabbitBroker
from tests.delivery.conftest import ROOT, StartWorker, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.sample_events import body_of, event
from worker.intake.amqp_connection import ERRORS, connected, publish_confirmed

Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20"}

pytestmark = [pytest.mark.parametrize("broker_kind", ["rabbitmq"]), pytest.mark.usefixtures("acme")]


def send(rabbit: RabbitBroker, queue: str, *messages: amqp.Message) -> None:
    """Publishes as any AMQP client does: to the default exchange, with the queue's name as routing key."""
    with connected(rabbit.url) as channel:
        publish_confirmed(channel, ((queue, one) for one in messages))


def feed(rabbit: RabbitBroker, n: int) -> list[dict[str, object]]:
    """Puts `n` new events into the queue `usage`."""
    events = [event() for _ in range(n)]
    rabbit.put("usage", *map(message, events))
    return events


def test_a_publisher_without_celery_needs_a_queue_name_and_json(
    rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """Bare JSON to `usage.json`, one event or an array, without any property, and a Celery message made by hand of the headers
    `task` and `id`: each event is recorded once.
    """
    events = [event(price_chf=f"0.{n}") for n in range(1, 6)]
    with Connection(rabbit.url) as connection, connection.Producer() as raw:  # kombu as a plain AMQP client
        raw.publish(body_of(events[0]), exchange="", routing_key="usage.json", content_type="application/json", content_encoding="utf-8")
    send(rabbit, "usage.json", amqp.Message(body_of(events[1])), amqp.Message(body_of(events[2:4])))
    by_hand = json.dumps([[], {"event": events[4]}, {}])
    send(rabbit, "usage", amqp.Message(by_hand, content_type="application/json", application_headers={"task": "usage.record", "id": "1"}))
    start_worker().ready()
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)


def test_what_is_no_event_becomes_a_dead_letter_with_its_bytes(
    rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """Messages of any other shape end in the dead letters under the same reasons as on Redis, with headers and body in kombu's
    envelope; of plain JSON the bytes as they came. The event beside them is recorded.
    """
    v2 = json.dumps([[event()], {}, {}]).encode()
    good = {"content_type": "application/json", "content_encoding": "utf-8", "application_headers": {"task": "usage.record", "id": "1"}}
    bad: list[tuple[str, bytes, dict[str, Any]]] = [
        ("malformed_message", b"\x80\x04not json", good),
        ("malformed_message", b"[[1], {}]", good),
        ("malformed_message", v2, good | {"application_headers": {"id": "no task"}}),
        ("unsupported_content", v2, good | {"content_type": "application/x-python-serialize"}),
        ("unsupported_content", v2, good | {"content_encoding": "latin-1"}),
        ("unsupported_content", zlib.compress(v2), good | {"application_headers": {"task": "usage.record", "compression": "application/x-gzip"}}),
        ("unknown_task", v2, good | {"application_headers": {"task": "os.system"}}),
        ("malformed_arguments", json.dumps([[1, 2], {}, {}]).encode(), good),
        ("message_too_large", b"x" * 1_100_000, good),
    ]
    send(rabbit, "usage", *(amqp.Message(body, **properties) for _, body, properties in bad), amqp.Message(v2, **good))
    rabbit.put("usage.json", b"{nope", b"[1, 2")
    start_worker().ready()
    eventually(is_drained, "every message is acknowledged")
    letters = rows("SELECT reason, body, body_length FROM dead_letters")
    assert sorted(row["reason"] for row in letters) == sorted([*(reason for reason, _, _ in bad), "malformed_json", "malformed_arguments"])
    assert {bytes(row["body"]) for row in letters} >= {b"{nope", b"[1, 2"}
    (unknown,) = [json.loads(bytes(row["body"])) for row in letters if row["reason"] == "unknown_task"]
    assert (unknown["headers"], unknown["content-type"]) == ({"task": "os.system"}, "application/json")
    assert rows("SELECT count(*) n FROM transactions WHERE transaction_type = 'DEBIT'") == [{"n": 1}]


def test_a_stock_producer_needs_one_setting(rabbit: RabbitBroker, start_worker: StartWorker, counts: Counts) -> None:
    """Celery declares a queue before it sends: as it comes, it is refused with 406 and nothing is lost silently; with the
    setting, or with the queue declared by hand, its events are recorded.
    """
    kombu.pools.reset()  # shared by all apps of a process, they remember what another test has declared
    with Celery("producer", broker=rabbit.url, set_as_current=False) as plain, pytest.raises(Exception, match=r"inequivalent arg 'x-queue-type'"):
        plain.send_task("usage.record", args=[event()], queue="usage", retry=False)
    with Celery("producer", broker=rabbit.url, set_as_current=False) as told:
        told.conf.task_create_missing_queue_type = "quorum"
        told.send_task("usage.record", args=[event()], queue="usage", ignore_result=True)
    start_worker().ready()
    eventually(lambda: counts()["recorded"] == 1, "it is recorded")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("password", "the broker refuses the login"),
        ("virtual host", "the broker refuses the virtual host"),
        ("classic queue", "a queue exists with other arguments than x-queue-type=quorum"),
        ("permission", "the broker's login lacks a permission"),
    ],
)
def test_what_only_an_operator_can_mend_ends_the_worker_at_once(fault: str, told: str, rabbit: RabbitBroker, start_worker: StartWorker) -> None:
    """A wrong password, a virtual host that isn't there, a classic queue in the way and a missing permission end the worker with
    exit code 78 and one line that says what to do.
    """
    url = rabbit.url
    if fault == "password":
        url = url.replace("@", "x@")
    if fault == "virtual host":
        url = rabbit.server.url("nowhere")
    if fault == "classic queue":
        with connected(url) as channel:
            channel.queue_delete("usage")
            channel.queue_declare("usage", durable=True, auto_delete=False)
    if fault == "permission":
        rabbit.server.control("set_permissions", "guest", "^other$", ".*", ".*")
    try:
        worker = start_worker(CELERY_BROKER_URL=url)
        assert worker.process.wait(60) == 78, worker.output()
        (line,) = [line for line in worker.output().splitlines() if line.startswith("tollbook: ")]
        assert told in line
    finally:
        rabbit.server.control("set_permissions", "guest", ".*", ".*", ".*")


def test_what_the_broker_dead_letters_by_policy_is_recorded_too(
    rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """With the policies of the runbook, messages that the broker itself puts into the dead-letter queues are taken from there."""
    runbook = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in runbook.splitlines() if line.startswith("rabbitmqctl set_policy")]
    commands = [command for command in commands if "dead-letter-exchange" in command[-1]]
    assert len(commands) == 2
    for *options, definition in commands:
        rabbit.server.control(*options, json.dumps(json.loads(definition) | {"message-ttl": 1}))  # the quickest way to be dead-lettered
    try:
        events = feed(rabbit, 5)
        plain = event()
        rabbit.put("usage.json", body_of(plain))
        eventually(lambda: rabbit.waiting("usage.dead") == 5 and rabbit.waiting("usage.json.dead") == 1, "the broker has moved them")
        start_worker().ready()
        eventually(is_drained, "every message is acknowledged")
        books_hold_exactly(rows, [*events, plain])
    finally:
        for command in commands:
            rabbit.server.control("clear_policy", command[-3])


@pytest.fixture
def own_rabbit(broker_kind: str, rabbit: RabbitBroker) -> Iterator[RabbitServer]:
    """A node of the test's own, to be harmed."""
    with temporary_dir() as folder:
        server = RabbitServer(folder / "rabbitmq")
        server.start()
        yield server
        server.stop()


class Producing:
    """A thread that publishes events with confirmation until it is told to end, whatever happens to the broker."""

    def __init__(self, url: str) -> None:
        self.accepted: list[dict[str, object]] = []
        self._url, self._stopping = url, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            some = [event() for _ in range(20)]
            try:
                with connected(self._url) as channel:
                    publish_confirmed(channel, (("usage.json", amqp.Message(body_of(one), delivery_mode=2)) for one in some), seconds=5)
            except ERRORS:
                self._stopping.wait(0.05)  # refused, or accepted without an answer: then it may or may not be in the books
            else:
                self.accepted += some


@pytest.mark.long
def test_a_node_that_stops_and_dies_loses_nothing_and_the_workers_live_on(
    own_rabbit: RabbitServer, start_worker: StartWorker, rows: Rows, counts: Counts
) -> None:
    """Workers started before their node wait for it; the node is stopped, killed and started again under load: every confirmed
    event is recorded once, by the same workers.
    """
    own_rabbit.stop()
    workers = [start_worker(name=f"w{n}", CELERY_BROKER_URL=own_rabbit.url()) for n in range(2)]
    for worker in workers:
        eventually(lambda: worker.says("preflight.broker_unavailable"), "it waits for the node")  # noqa: B023 - used at once
    own_rabbit.start()
    with Producing(own_rabbit.url()) as producing:
        for end in (own_rabbit.stop, own_rabbit.kill):
            seen = counts()["recorded"]
            eventually(lambda: counts()["recorded"] > seen + 100, "events are recorded")  # noqa: B023 - used at once
            end()
            own_rabbit.start()
        seen = counts()["recorded"]
        eventually(lambda: counts()["recorded"] > seen + 100, "they go on")
    ids = {str(fields["event_id"]) for fields in producing.accepted}
    eventually(lambda: ids <= {row["event_id"] for row in rows("SELECT event_id FROM event_keys")}, "every confirmed event is recorded")
    (sums,) = rows("SELECT count(*) n, count(DISTINCT event_id) distinct_n FROM transactions WHERE transaction_type = 'DEBIT'")
    assert sums["n"] == sums["distinct_n"]
    assert rows("SELECT FROM dead_letters") == []
    assert [worker.terminate() for worker in workers] == [0, 0]


@pytest.mark.long
def test_a_storm_of_redeliveries_costs_only_time(
    rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """While two workers drain, the broker closes every connection a dozen times, so that whatever is in hand is delivered again:
    each event is recorded once, none is condemned, and the same workers go on.
    """
    workers = [start_worker(name=name, **SMALL).ready() for name in ("w1", "w2")]
    events = feed(rabbit, 6000)
    for _ in range(12):
        rabbit.server.control("close_all_connections", "storm")
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert counts()["recorded"] == 6000
    assert rows("SELECT FROM dead_letters") == []
    assert [worker.terminate() for worker in workers] == [0, 0]


def half_open(proxy: Proxy) -> None:
    """The links there are carry nothing any more, and nobody is told."""
    assert proxy.half_open() >= 2


@pytest.mark.parametrize("fault", [half_open, cut_often, out_of_reach])
def test_a_bad_link_to_the_broker_is_outlived(
    fault: Callable[[Proxy], None], rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained
) -> None:
    """With the link half-open, reset again and again or out of reach while it drains, the worker records each event once, and lives on."""
    with Proxy(rabbit.url) as proxy:
        worker = start_worker(CELERY_BROKER_URL=proxy.url(rabbit.url), TOLLBOOK_INTAKE_VISIBILITY_SECONDS="6", **SMALL).ready()
        events = feed(rabbit, 1000)
        eventually(lambda: rabbit.waiting("usage") < 1000, "it has begun")
        fault(proxy)
        eventually(is_drained, "every message is acknowledged")
        events += feed(rabbit, 20)
        eventually(is_drained, "it goes on")
        books_hold_exactly(rows, events)
        assert worker.process.poll() is None


def test_a_full_memory_stops_producers_and_not_the_intake(rabbit: RabbitBroker, start_worker: StartWorker, rows: Rows, is_drained: IsDrained) -> None:
    """While the node's memory alarm lasts it takes nothing from publishers, but the worker drains what is queued."""
    events = feed(rabbit, 1000)
    worker = start_worker(**SMALL)
    rabbit.server.control("eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).")
    try:
        eventually(is_drained, "every message is acknowledged")
        books_hold_exactly(rows, events)
    finally:
        rabbit.server.control("eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")
    events += feed(rabbit, 20)
    eventually(is_drained, "it goes on")
    books_hold_exactly(rows, events)
    assert worker.process.poll() is None


def test_scheduled_jobs_run_over_rabbitmq(rabbit: RabbitBroker, producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """A job in the queue `maintenance` runs, and what is no job there ends no worker."""
    send(rabbit, "maintenance", amqp.Message(b"garbage"), amqp.Message(b"[[], {}]", content_type="application/json"))
    producer.send_task("books.housekeep", queue="maintenance")
    worker = start_worker().ready()
    eventually(lambda: rows("SELECT FROM job_runs WHERE ended_at IS NOT NULL"), "the job has run")
    assert worker.terminate() == 0
