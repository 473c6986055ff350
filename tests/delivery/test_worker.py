"""What a user of Celery sees: producers, queues, inspect, control, Flower's events, other pools of execution."""

import base64
import json
import threading
import uuid
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.sample_events import body_of, event

Counts = Callable[[], dict[str, int]]


def in_envelope(body: bytes, task: str | None = "usage.record", /, **changes: Any) -> bytes:
    """A kombu message with this body, as a stock producer pushes it; `changes` replace fields of the envelope."""
    headers = {"lang": "py", "task": task, "id": str(uuid.uuid4())} if task else {}
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {"delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": "usage"}, "body_encoding": "base64"},
    }
    return json.dumps(envelope | changes).encode()


def recorded(counts: Counts, n: int) -> None:
    """Waits until exactly `n` events are recorded."""
    eventually(lambda: counts()["recorded"] >= n, f"{n} events are recorded")
    assert counts()["recorded"] == n


@both_brokers
@pytest.mark.usefixtures("acme")
def test_every_way_in_leads_to_one_debit_each(
    producer: Celery, broker_kind: str, broker: Broker, start_worker: StartWorker, counts: Counts, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """Celery messages of one event and of many, by position and by name, with priority, of protocol 1, Decimal objects and
    plain JSON, one or an array, are each recorded once at their exact price, and the broker is empty afterwards.
    """
    send = producer.send_task
    expires = 1 if broker_kind == "redis" else 3600  # RabbitMQ itself drops what has expired
    send("usage.record", args=[event(price_chf="0.1")], queue="usage", ignore_result=True)
    send("usage.record", kwargs={"event": event(price_chf=Decimal("0.020000001"))}, queue="usage", eta=None, expires=expires)
    send("usage.record", args=[event(price_chf="0.003")], queue="usage", priority=9)
    send("usage.record_batch", args=[[event(price_chf="0.0004"), event(price_chf="0.00005")]], queue="usage")
    send("usage.record_batch", kwargs={"events": [event(price_chf="0.000006")]}, queue="usage")
    old = json.dumps({"task": "usage.record", "id": "1", "args": [event(price_chf="0.0000007")], "kwargs": {}}).encode()
    broker.put("usage", in_envelope(old, None))
    text = json.dumps([[event(price_chf="0.00000008")], {}, {}])
    broker.put("usage", in_envelope(b"", body=text, properties={"body_encoding": "utf-8", "delivery_tag": "x"}))
    broker.put(
        "usage.json", body_of(event(price_chf=...)).replace(b"}", b', "price_chf": 0.000000009}'), body_of([event(price_chf=1), event(price_chf=2)])
    )
    worker = start_worker().ready()
    recorded(counts, 11)
    assert rows("SELECT sum(amount) total FROM transactions WHERE transaction_type = 'DEBIT'")[0]["total"] == Decimal("3.123456790")
    eventually(is_drained, "every message is acknowledged")
    assert worker.terminate() == 0


@pytest.mark.usefixtures("acme")
def test_what_is_no_event_becomes_a_dead_letter_with_its_bytes(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """Entries of any other shape end in the dead letters under their reason with the bytes that came, never executed, and
    the event beside them is recorded.
    """
    v2 = json.dumps([[event()], {}, {}]).encode()
    bad: dict[bytes, str] = {
        b"\x80\x04not json": "malformed_message",
        b"[]": "malformed_message",
        in_envelope(b"[[1], {}]"): "malformed_message",
        in_envelope(v2, body="%%%"): "malformed_message",
        in_envelope(v2, **{"content-type": "application/x-python-serialize"}): "unsupported_content",
        in_envelope(v2, **{"content-encoding": "latin-1"}): "unsupported_content",
        in_envelope(zlib.compress(v2), headers={"task": "usage.record", "compression": "application/x-gzip"}): "unsupported_content",
        in_envelope(v2, "os.system"): "unknown_task",
        in_envelope(v2, "nul\0 escape\x1b " + "x" * 5000): "unknown_task",
        in_envelope(v2, "books.housekeep"): "unknown_task",
        in_envelope(json.dumps([[1, 2], {}, {}]).encode()): "malformed_arguments",
        in_envelope(json.dumps([[[event()] * 1001], {}, {}]).encode(), "usage.record_batch"): "too_many_events",
        in_envelope(b"x" * 3_000_000): "message_too_large",
    }
    queue.lpush("usage", *bad, in_envelope(v2))
    queue.lpush("usage.json", b"{nope", b"[1, 2")
    start_worker().ready()
    eventually(is_drained, "every message is acknowledged")
    letters = {(bytes(row["body"]), row["body_length"]): row["reason"] for row in rows("SELECT body, body_length, reason FROM dead_letters")}
    expected = {(body[: 256 * 1024], len(body)): reason for body, reason in bad.items()}
    assert letters == expected | {(b"{nope", 5): "malformed_json", (b"[1, 2", 5): "malformed_arguments"}
    assert rows("SELECT count(*) n FROM transactions WHERE transaction_type = 'DEBIT'") == [{"n": 1}]


@both_brokers
@pytest.mark.usefixtures("acme")
def test_inspect_shows_the_intake_and_control_pauses_it(
    producer: Celery, broker_kind: str, broker: Broker, start_worker: StartWorker, counts: Counts
) -> None:
    """`inspect intake` tells queues, state, outcomes and rate; while paused nothing is claimed, and resuming goes on."""
    start_worker().ready()

    def ask(command: str) -> Any:
        replies = producer.control.broadcast(command, reply=True, destination=["w@test"], timeout=10)
        return replies[0]["w@test"] if replies else {}

    def state() -> Any:
        return ask("intake")

    eventually(lambda: state().get("state") == ["idle", "idle"], "the intake is idle")
    assert state()["queues"] == ["usage", "usage.json"]
    assert ask("intake_pause") == {"ok": "intake paused"}
    eventually(lambda: state()["state"] == ["paused", "paused"], "the intake is paused")
    producer.send_task("usage.record", args=[event()], queue="usage")
    assert state()["held"] == 0
    assert broker.waiting("usage") == 1
    rest = {"claims": 0} if broker_kind == "redis" else {"usage.dead": 0, "usage.json.dead": 0}
    assert state()["backlog"] == {"usage": 1, "usage.json": 0} | rest
    assert ask("intake_resume") == {"ok": "intake resumed"}
    recorded(counts, 1)
    eventually(lambda: state()["events"].get("recorded") == 1, "the intake tells what it did")
    assert state()["messages"] == 1


@both_brokers
@pytest.mark.usefixtures("acme")
def test_flower_sees_one_task_per_batch(producer: Celery, broker: Broker, start_worker: StartWorker, counts: Counts) -> None:
    """A batch of messages is one task with the events received, started and succeeded, whose result counts the outcomes."""
    seen: list[dict[str, Any]] = []
    done = threading.Event()

    def on_event(one: dict[str, Any]) -> None:
        seen.append(one)
        if one["type"] == "task-succeeded":
            done.set()

    start_worker(TOLLBOOK_INTAKE_THREADS="1").ready()
    producer.control.broadcast("intake_pause", reply=True, destination=["w@test"])
    twice = event()
    for body in (twice, twice, event(), event(price_chf="-1")):
        producer.send_task("usage.record", args=[body], queue="usage")
    with producer.connection_for_read() as connection:
        receiver = producer.events.Receiver(connection, handlers={"task-received": on_event, "task-started": on_event, "task-succeeded": on_event})
        watching = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=60, wakeup=False), daemon=True)
        watching.start()
        eventually(broker.is_watched, "somebody listens to events")
        producer.control.broadcast("intake_resume", reply=True, destination=["w@test"])
        assert done.wait(60)
        receiver.should_stop = True
        watching.join(20)
    assert not watching.is_alive()
    assert [one["type"] for one in seen] == ["task-received", "task-started", "task-succeeded"]
    assert len({one["uuid"] for one in seen}) == 1
    assert seen[0]["name"] == "usage.record"
    assert seen[2]["result"] == "recorded 2, duplicate 1, rejected 1"


@both_brokers
@pytest.mark.usefixtures("acme")
def test_a_worker_serves_the_queues_that_it_was_started_with(
    producer: Celery, broker: Broker, start_worker: StartWorker, rows: Rows, counts: Counts
) -> None:
    """With `-Q maintenance` jobs run and usage waits; with `-Q usage` it is the other way round; a plain worker serves both."""
    producer.send_task("usage.record", args=[event()], queue="usage")
    producer.send_task("books.housekeep", queue="maintenance")
    jobs = start_worker("-Q", "maintenance", name="jobs").ready()
    eventually(lambda: rows("SELECT FROM job_runs WHERE ended_at IS NOT NULL"), "the job has run")
    assert broker.waiting("usage") == 1
    assert jobs.terminate() == 0
    producer.send_task("parked.release", queue="maintenance")
    usage = start_worker("-Q", "usage", name="usage").ready()
    recorded(counts, 1)
    assert broker.waiting("maintenance") == 1
    assert usage.terminate() == 0
    producer.send_task("usage.record", args=[event()], queue="usage")
    start_worker(name="plain").ready()
    recorded(counts, 2)
    eventually(lambda: broker.waiting("maintenance") == 0, "the job is taken")


@both_brokers
@pytest.mark.usefixtures("acme")
def test_celerys_own_consumer_records_as_well(producer: Celery, broker: Broker, start_worker: StartWorker, counts: Counts, rows: Rows) -> None:
    """With `intake=celery` the same tasks run one message at a time and decide the same outcomes, by JSON numbers as they were written."""
    twice = event(price_chf="0.123456789")
    for body in (twice, twice, event(user_id="")):
        producer.send_task("usage.record", args=[body], queue="usage")
    producer.send_task("usage.record_batch", args=[[event(price_chf="1"), event(price_chf="2")]], queue="usage")
    number = json.dumps([[event(price_chf="?")], {}, {}]).replace('"?"', "999999.123456789").encode()
    broker.put("usage", in_envelope(number), in_envelope(number.replace(b".123456789", b"e99999999999999999999")))
    old = json.dumps({"task": "usage.record", "id": "1", "args": [event(price_chf="5")], "kwargs": {}}).encode()
    broker.put("usage", in_envelope(old, None))
    worker = start_worker(TOLLBOOK_INTAKE="celery").ready()
    eventually(lambda: counts() == {"recorded": 5, "duplicate": 1, "conflict": 0, "rejected": 2, "parked": 0}, "every event has its outcome")
    assert rows("SELECT sum(amount) total FROM transactions WHERE transaction_type = 'DEBIT'")[0]["total"] == Decimal("1000007.246913578")
    assert worker.terminate() == 0


@both_brokers
@pytest.mark.usefixtures("acme")
def test_a_key_given_twice_is_refused_by_either_intake(broker: Broker, start_worker: StartWorker, counts: Counts, rows: Rows) -> None:
    """In an event, in one of a batch and among a task's arguments: a dead letter with the bytes that came, the other events recorded."""
    bodies: dict[str, dict[bytes, str | None]] = {}
    for intake in ("celery", "pump"):
        twice = body_of(event(price_chf="1")).replace(b'"price_chf": "1"', b'"price_chf": "1", "price_chf": "2"')
        argument = b'{"event": %s, "event": %s}' % (body_of(event()), body_of(event()))
        once, typed = body_of(event()), b'{"__type__": "decimal", "__value__": "0.5"}'
        batch = b"[[[%s, %s, %s]], {}, {}]" % (once, twice.replace(b'"event-', b'"other-'), body_of(event(price_chf="?")).replace(b'"?"', typed))
        old = b'{"task": "usage.record", "id": "1", "args": [%s], "kwargs": {}, "args": [%s]}' % (body_of(event()), body_of(event()))
        bodies[intake] = {twice: "duplicate_key", twice.replace(b'"event-', b'"other-'): "duplicate_key"}
        broker.put("usage", in_envelope(b"[[%s], {}, {}]" % twice), in_envelope(batch, "usage.record_batch"))
        broker.put("usage", in_envelope(b"[[], %s, {}]" % argument), in_envelope(old, None))
        worker = start_worker(TOLLBOOK_INTAKE=intake).ready()
        seen = {"recorded": 2 * len(bodies), "duplicate": 0, "conflict": 0, "rejected": 4 * len(bodies), "parked": 0}
        eventually(lambda seen=seen: counts() == seen, f"all of it has its outcome with intake={intake}")  # type: ignore[misc]
        assert worker.terminate() == 0
    letters = {bytes(row["body"]): row["reason"] for row in rows("SELECT body, reason FROM dead_letters")}
    assert letters.items() >= {**bodies["celery"], **bodies["pump"]}.items()
    details = rows("SELECT detail, count(*) AS n FROM dead_letters GROUP BY detail ORDER BY detail")
    assert [tuple(row.values()) for row in details] == [
        ("key 'args' is given twice", 2),
        ("key 'event' is given twice", 2),
        ("key 'price_chf' is given twice", 4),
    ]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CELERY_BROKER_URL", "", "CELERY_BROKER_URL is not set"),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("CELERY_BROKER_URL", "wrong password", "the broker refuses the login"),
        ("DATABASE_URL", "wrong password", "the database refuses the login"),
        ("DATABASE_URL", "empty database", "run `tollbook db upgrade`"),
        ("CELERY_BROKER_URL", "sqs://localhost", "sqs:// is not served"),
        ("CELERY_BROKER_URL", "amqp://a@one;amqp://b@two", "amqp:// names one host"),
        ("CELERY_BROKER_URL", "redis://localhost/0/0", "the database after the host is a number"),
        ("TOLLBOOK_LATENESS_DAYS", "-4", "TOLLBOOK_LATENESS_DAYS"),
        ("TOLLBOOK_METRICS_PORT", "the broker's", "TOLLBOOK_METRICS_PORT"),
    ],
)
def test_what_only_an_operator_can_mend_ends_the_worker_at_once(
    variable: str, value: str, told: str, environment: dict[str, str], request: pytest.FixtureRequest, start_worker: StartWorker
) -> None:
    """A worker that lacks something it can't wait for ends with exit code 78 and a line that says what to do."""
    if value == "wrong password":
        head, _, tail = environment[variable].rpartition("@")
        value = f"{head[:-4]}xxxx@{tail}"
    if value == "the broker's":
        value = environment["CELERY_BROKER_URL"].rpartition(":")[2].partition("/")[0]
    if value == "empty database":
        value = request.getfixturevalue("empty_database_urls").owner
    worker = start_worker(**{variable: value})
    assert worker.process.wait(60) == 78, worker.output()
    (line,) = (line for line in worker.output().splitlines() if line.startswith("tollbook: "))
    assert told in line
    assert "Traceback" not in worker.output()


def test_a_broker_that_may_evict_messages_is_refused(queue: redis.Redis, start_worker: StartWorker) -> None:
    """With an eviction policy the broker would throw usage away when full: exit code 78, and the policy is named."""
    queue.config_set("maxmemory-policy", "allkeys-lru")
    try:
        worker = start_worker()
        assert worker.process.wait(60) == 78
        assert "maxmemory-policy allkeys-lru" in worker.output()
    finally:
        queue.config_set("maxmemory-policy", "noeviction")


def test_odd_entries_of_the_maintenance_queue_end_no_worker(producer: Celery, queue: redis.Redis, start_worker: StartWorker, rows: Rows) -> None:
    """Entries that are no messages are told in the log and left out, and the job behind them runs."""
    queue.lpush("maintenance", b"garbage", b"[1]", in_envelope(b"", body="%%%"), in_envelope(b"[[], {}]", "books.housekeep"), b"{}")
    producer.send_task("books.housekeep", queue="maintenance")
    worker = start_worker().ready()
    eventually(lambda: rows("SELECT FROM job_runs WHERE ended_at IS NOT NULL"), "the job has run")
    assert (worker.output().count("broker.entry_dropped"), worker.output().count("guard.message_refused")) == (4, 1)
    assert worker.terminate() == 0
