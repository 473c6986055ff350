"""Messages that a producer's settings, a typo or its place in time put where no worker reads: they are seen, and brought in."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis
from amqp.exceptions import NotFound
from celery import Celery

from lab.rabbitmq import RabbitServer
from tests.conftest import Rows
from tests.delivery.brokers import RabbitBroker
from tests.delivery.conftest import ROOT, StartWorker, eventually
from tests.sample_events import event
from worker.intake.amqp_connection import connected
from worker.intake.foreign import queue_meant

pytestmark = pytest.mark.usefixtures("acme")

Sent = Callable[..., None]


@pytest.fixture
def tollbook(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command on the test's servers."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def told(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Its exit code and what it printed."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def send(broker_url: str, options: dict[str, Any], **how: Any) -> None:
    """One event by a stock producer with these transport options."""
    with Celery("stock", broker=broker_url, set_as_current=False) as app:
        app.conf.broker_transport_options = options
        app.send_task("usage.record", kwargs={"event": event()}, ignore_result=True, **{"queue": "usage", **how})


def test_whatever_a_manual_advises_is_read_or_seen_and_brought_in(
    broker_url: str, queue: redis.Redis, producer: Celery, start_worker: StartWorker, counts: Callable[[], dict[str, int]], tollbook: Any
) -> None:
    """Every step of priority is read; a separator, a prefix, a typo or a forgotten queue is told, and one command each brings it in."""
    steps = list(range(10))
    for priority in range(10):
        send(broker_url, {"priority_steps": steps}, priority=priority)
        send(broker_url, {}, priority=priority)
    send(broker_url, {"priority_steps": steps, "sep": ":"}, priority=5)
    send(broker_url, {"global_keyprefix": "prod:"})
    send(broker_url, {}, queue="usgae")
    send(broker_url, {}, queue="celery")
    send(broker_url, {"priority_steps": steps}, queue="celery", priority=4)
    queue.lpush("events.json", json.dumps(event()))
    queue.lpush("letters", "not ours")
    queue.lpush("letters:2", "y" * 1000)
    worker = start_worker().ready()
    eventually(lambda: counts()["recorded"] >= 20, "what the manual calls priorities is recorded")
    lists = {"usage:5", "prod:usage", "usgae", "celery", "celery\\x06\\x164", "events.json"}

    def seen() -> dict[str, int]:
        answers: Any = producer.control.inspect(destination=["w@test"], limit=1, timeout=5)._request("intake")
        foreign: dict[str, int] = answers["w@test"]["foreign"]
        return foreign

    eventually(lambda: seen().keys() >= lists, f"every list is seen: {lists}")
    assert seen() == dict.fromkeys(lists, 1)
    assert worker.output().count("intake.foreign_list") == len(lists)
    for name in sorted(lists):
        to = [] if "us" in name else ["--to", "usage.json" if name == "events.json" else "usage"]
        assert told(tollbook("intake", "adopt", name, *to)) == (0, "moved 1 message\n", "")
    eventually(lambda: counts()["recorded"] == 26, "all are recorded")
    assert queue.llen("letters") == 1
    code, _, error = told(tollbook("intake", "adopt", "letters"))
    assert (code, error.startswith("error: to: letters names neither usage nor usage.json")) == (1, True)
    for own in ("usage", "tollbook.claims", "nothing"):
        assert told(tollbook("intake", "adopt", own, "--to", "usage"))[0] == 1


def test_an_interrupted_adoption_loses_nothing_and_doubles_nothing(queue: redis.Redis, tollbook: Any) -> None:
    """Killed in the middle and run again, every message is in the queue once, in its order."""
    bodies = [str(n).encode() for n in range(30_000)]
    queue.lpush("prod:usage", *bodies)
    moving = tollbook("intake", "adopt", "prod:usage")
    eventually(lambda: queue.llen("usage") > 1000, "some are moved")
    moving.kill()
    moving.communicate(timeout=20)
    assert told(tollbook("intake", "adopt", "prod:usage"))[0] in (0, 1)  # 1: it was through already
    assert queue.lrange("usage", 0, -1) == bodies[::-1]


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("prod:usage", "usage"),
        ("usage:5", "usage"),
        ("a{b}usage.json\x06\x169", "usage.json"),
        ("usgae", "usage"),
        ("Usage", "usage"),
        ("usage_json", "usage.json"),
        ("prod.checks:3", "checks"),
        ("message", None),
        ("storage", None),
        ("usage-statistics-of-others", None),
        ("celery", None),
    ],
)
def test_which_queue_a_name_means(name: str, queue: str | None) -> None:
    """A prefix, a step and a slip of the finger are seen through, and other words are not ours."""
    assert queue_meant(name) == queue


@pytest.fixture
def classic(rabbit: RabbitBroker) -> RabbitBroker:
    """A broker on which a stock client has sent 300 events before the first worker."""
    with connected(rabbit.url) as channel:
        for name in ("usage", "usage.dead", "usage.migrating"):
            channel.queue_delete(name)
    with Celery("stock", broker=rabbit.url, set_as_current=False) as app:
        for _ in range(300):
            app.send_task("usage.record", kwargs={"event": event()}, queue="usage", ignore_result=True)
    eventually(lambda: rabbit.waiting("usage") == 300, "the stock client's queue holds its events")
    return rabbit


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_classic_queue_becomes_a_quorum_queue_with_its_messages(
    classic: RabbitBroker, start_worker: StartWorker, counts: Callable[[], dict[str, int]], tollbook: Any
) -> None:
    """The worker ends with 78 and names the command; that, killed in the middle and run again, loses nothing, and nothing is billed twice."""
    worker = start_worker()
    assert worker.process.wait(60) == 78
    assert "`tollbook intake migrate usage`" in worker.output()
    moving = tollbook("intake", "migrate", "usage")
    eventually(lambda: _waiting(classic, "usage.migrating") > 0 or moving.poll() is not None, "some are moved")
    moving.kill()
    moving.communicate(timeout=20)
    code, out, error = told(tollbook("intake", "migrate", "usage"))
    assert (code, error) == (0, ""), out
    start_worker(name="second").ready()
    eventually(lambda: counts()["recorded"] >= 300 and classic.is_drained(), "all are recorded")
    assert counts()["recorded"] == 300
    assert told(tollbook("intake", "migrate", "letters"))[0] == 1


def _waiting(rabbit: RabbitBroker, queue: str) -> int:
    try:
        return rabbit.waiting(queue)
    except NotFound:
        return 0


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
@pytest.mark.parametrize(("configure", "read"), [("^(?!usage.dead).*$", ".*"), (".*", "^(?!usage.dead$).*$"), (".*", "^(?!usage$).*$")])
def test_a_right_that_the_worker_lacks_on_its_queues_ends_it(
    rabbit: RabbitBroker, shared_rabbit: RabbitServer, start_worker: StartWorker, configure: str, read: str
) -> None:
    """Denied `usage.dead` or the reading of a queue, it ends with 78 and one line that names the queue, instead of asking for ever."""
    if configure != ".*":
        with connected(rabbit.url) as channel:
            channel.queue_delete("usage.dead")
    shared_rabbit.control("add_user", "narrow", "password")
    try:
        shared_rabbit.control("set_permissions", "-p", "/", "narrow", configure, ".*", read)
        worker = start_worker(
            CELERY_BROKER_URL=rabbit.url.replace("guest:", "narrow:", 1).replace(rabbit.url.split(":")[2].split("@")[0], "password", 1)
        )
        assert worker.process.wait(60) == 78
        assert "lacks a permission" in worker.output()
        assert "usage" in worker.output()
    finally:
        shared_rabbit.control("delete_user", "narrow")


def test_envelopes_of_other_clients_are_recorded_or_kept(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """What clients of Celery in other languages put on Redis is recorded, or a dead letter that says why; no worker dies of it."""
    sent = envelopes()
    for name, (envelope, _) in sent.items():
        queue.lpush("usage", json.dumps(envelope(name)))
    worker = start_worker().ready()
    eventually(is_drained, "every message is settled")
    recorded = {row["event_id"] for row in rows("SELECT event_id FROM transactions WHERE transaction_type = 'DEBIT'")}
    assert recorded == {name for name, (_, reason) in sent.items() if reason is None}
    letters = sorted(row["reason"] for row in rows("SELECT reason FROM dead_letters"))
    assert letters == sorted(reason for _, reason in sent.values() if reason is not None)
    assert worker.terminate() == 0


Envelope = Callable[[str], dict[str, Any]]
NO_CANVAS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def envelopes() -> dict[str, tuple[Envelope, str | None]]:
    """Ways to write a message, each made for an event id, with the reason of its dead letter where it has one."""
    plain = {"body_encoding": None}
    return {
        "protocol-1-without-headers": (_old, None),
        "headers-null": (lambda i: _old(i) | {"headers": None}, "malformed_message"),
        "args-null": (lambda i: _old(i, args=None), "malformed_message"),
        "kwargs-null": (lambda i: _old(i, args=[event(event_id=i)], kwargs=None), "malformed_message"),
        "args-an-object": (lambda i: _old(i, args={}), "malformed_message"),
        "kwargs-an-array": (lambda i: _old(i, args=[event(event_id=i)], kwargs=[]), "malformed_message"),
        "protocol-2": (lambda i: _new([[], {"event": event(event_id=i)}, NO_CANVAS]), None),
        "protocol-2-empty-canvas": (lambda i: _new([[], {"event": event(event_id=i)}, {}]), None),
        "protocol-2-canvas-null": (lambda i: _new([[], {"event": event(event_id=i)}, None]), None),
        "no-content-encoding": (lambda i: {k: v for k, v in _old(i).items() if k != "content-encoding"}, None),
        "charset-in-content-type": (lambda i: _old(i) | {"content-type": "application/json; charset=utf-8"}, "unsupported_content"),
        "encoding-in-capitals": (lambda i: _old(i) | {"content-encoding": "UTF-8"}, None),
        "body-not-in-base64": (lambda i: _old(i) | {"body": base64.b64decode(_old(i)["body"]).decode(), "properties": plain}, None),
        "base64-with-line-breaks": (
            lambda i: _old(i) | {"body": base64.encodebytes(base64.b64decode(_old(i)["body"])).decode()},
            "malformed_message",
        ),
    }


def _old(event_id: str, **changes: Any) -> dict[str, Any]:
    return _envelope(
        {"id": "1", "task": "usage.record", "args": [], "kwargs": {"event": event(event_id=event_id)}, "retries": 0, "eta": None} | changes
    )


def _new(body: list[Any]) -> dict[str, Any]:
    headers = {"id": "1", "task": "usage.record", "lang": "rust", "root_id": None, "retries": None, "timelimit": [None, None], "argsrepr": None}
    return _envelope(body) | {"headers": headers}


def _envelope(body: Any) -> dict[str, Any]:
    properties = {"body_encoding": "base64", "correlation_id": "1", "delivery_info": {"priority": 0, "routing_key": "usage"}, "delivery_tag": "1"}
    encoded = base64.b64encode(json.dumps(body).encode()).decode()
    return {"body": encoded, "content-type": "application/json", "content-encoding": "utf-8", "properties": properties}
