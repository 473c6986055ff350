"""What a login that may only send usage and ask checks can do to a worker and to who reads its logs: nothing."""

import bz2
import json
import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from lab.rabbitmq import amqp_message
from tests.conftest import Rows
from tests.delivery import test_checks_rabbitmq
from tests.delivery.brokers import Broker, RedisBroker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_checks import CHECK, answered
from tests.delivery.test_faults import message
from tests.delivery.test_worker import in_envelope
from tests.sample_events import body_of, event
from worker.intake.amqp_connection import connected, publish_confirmed
from worker.message_headers import sound_headers

MIB = 1024 * 1024
PEAK_MIB_MAX = 250
CONTROLS = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))]
ESCAPE = "\x1b[2J\x1b]0;owned\x07\x9b31m"

pytestmark = pytest.mark.usefixtures("acme")

Asked = Callable[..., Any]


@pytest.fixture
def asked(broker: Broker, producer: Celery) -> Asked:
    """Asks as a stock producer does, and gives the answer."""

    def ask(task: str, fields: dict[str, object], **options: Any) -> Any:
        if not isinstance(broker, RedisBroker):
            return test_checks_rabbitmq.ask(producer, task, fields, **{"queue": "checks", **options})
        reply_to = f"tollbook.reply.{uuid4()}"
        options = {"queue": "checks", "expires": 60, **options}
        producer.send_task(task, kwargs=fields, reply_to=reply_to, ignore_result=True, **options)
        with redis.Redis.from_url(broker.url) as client:
            return answered(client, reply_to)

    return ask


def put(broker: Broker, queue: str, envelope: bytes) -> None:
    """Puts a message of any form into a queue."""
    if isinstance(broker, RedisBroker):
        broker.put(queue, envelope)
    else:
        with connected(broker.url) as channel:
            publish_confirmed(channel, [(queue, amqp_message(envelope))])


def test_a_key_of_another_type_stops_nobody(queue_answers: Asked, queue: redis.Redis, start_worker: StartWorker) -> None:
    """A set under the name of a list that checks may stand in, before the start and during the work, costs no check its answer.

    It is told in the log by name, and so is one among the lists of usage, whose events are recorded all the same.
    """
    queue.sadd("checks\x06\x169", "x")
    queue.sadd("usage\x06\x163", "x")
    worker = start_worker().ready()
    for name in ("views", "movements\x06\x166"):
        assert queue_answers({"task": "balance.check", "id": "1"})["result"]["allowed"]
        queue.sadd(name, "x")
    assert queue_answers({"task": "balance.check", "id": "1"})["result"]["allowed"]
    queue.lpush("usage", message(event()))
    eventually(lambda: not queue.llen("usage"), "the event is taken")
    told = re.compile(r'"key": "\'(.*?)\'".*broker.key_is_no_list')
    eventually(lambda: {"checks", "views", "movements"} <= {key.split("\\")[0] for key in told.findall(worker.output())}, "each is told")
    assert worker.terminate() == 0


@both_brokers
def test_what_a_producer_sends_to_be_opened_costs_no_memory(asked: Asked, broker: Broker, start_worker: StartWorker) -> None:
    """A bomb of bzip2 and 20 MB of numbers on a queue of Celery's half are refused unopened; a producer of good will is told why."""
    worker = start_worker().ready()
    bomb = bz2.compress(b"[[], {}, {}]" + bytes(512 * MIB), 9)
    numbers = b"[[" + b"0.1," * (5 * MIB if isinstance(broker, RedisBroker) else 3 * MIB) + b"1], {}, {}]"  # RabbitMQ takes 16 MiB
    for name in ("checks", "views", "movements"):
        headers = {"task": "balance.check", "id": "1"}
        put(broker, name, in_envelope(bomb, headers=headers | {"compression": "application/x-bz2"}))
        put(broker, name, in_envelope(numbers, headers=headers))
    assert asked("balance.check", CHECK)["result"]["allowed"]
    for queue in ("checks", "views", "movements"):
        error = asked("balance.check", CHECK, queue=queue, compression="gzip")["error"]
        assert (error["kind"], error["message"].startswith("unsupported_content: ")) == ("refused", True)
    error = asked("balance.check", {**CHECK, "user_id": "x" * 70_000})["error"]
    assert (error["kind"], "at most 65536 are accepted" in error["message"]) == ("refused", True)
    eventually(lambda: not any(broker.waiting(name) for name in ("checks", "views", "movements")), "all are settled")
    assert worker.peak_mib() <= PEAK_MIB_MAX, f"{worker.peak_mib():.0f} MiB"
    assert worker.terminate() == 0


@both_brokers
def test_celerys_own_intake_keeps_what_it_does_not_open(broker: Broker, start_worker: StartWorker, rows: Rows) -> None:
    """With `TOLLBOOK_INTAKE=celery`, too, compressed, foreign, oversized and broken usage becomes a dead letter, its neighbours are
    recorded, and headers that Celery can't read (an `expires`, an `eta`, retries, an id) cost no event.
    """
    start_worker(TOLLBOOK_INTAKE="celery").ready()
    good = b"[[" + body_of(event()) + b"], {}, {}]"
    bad = {
        in_envelope(bz2.compress(good), headers={"task": "usage.record", "id": "1", "compression": "application/x-bz2"}): "unsupported_content",
        in_envelope(good, **{"content-type": "application/x-yaml"}): "unsupported_content",
        in_envelope(b"[[" + b"0.1," * MIB + b"1], {}, {}]"): "message_too_large",
        in_envelope(b"[["): "malformed_message",
    }
    for envelope in bad:
        put(broker, "usage", envelope)
    for headers in (
        {"id": "x" * 1000},
        {"id": "1", "expires": 5},
        {"id": "2", "expires": "never"},
        {"id": "3", "eta": []},
        {"id": "4", "retries": "x"},
    ):
        put(broker, "usage", in_envelope(b"[[" + body_of(event()) + b"], {}, {}]", headers={"task": "usage.record", **headers}))
    eventually(lambda: len(rows("SELECT FROM dead_letters")) == len(bad), "each bad one is a dead letter")
    assert sorted(row["reason"] for row in rows("SELECT reason FROM dead_letters")) == sorted(bad.values())
    eventually(lambda: len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 5, "every event is recorded")


WRONG_HEADERS: dict[str, list[object]] = {
    "expires": [5, "never", "", 0, [], "2026-13-01T00:00:00"],
    "id": ["", "x" * 129, "a\x1bb", 7, None],
    "root_id": ["x" * 129, 5],
}


@both_brokers
def test_a_check_with_a_malformed_header_is_answered(asked: Asked, broker: Broker, queue_answers: Asked, start_worker: StartWorker) -> None:
    """A wrong `expires` or id is refused by name; an `eta`, retries, time limits and others that a check has no use for are left out."""
    start_worker().ready()
    for name, values in WRONG_HEADERS.items():
        for value in values:
            error = queue_answers({"task": "balance.check", "id": "1", name: value})["error"]
            assert (error["kind"], error["message"].split(":")[0]) == ("refused", name), (name, value)
    useless = {
        "eta": "never",
        "retries": "x",
        "timelimit": 5,
        "shadow": 5,
        "stamps": 5,
        "argsrepr": "x" * 20_000,
        "origin": 5,
    }
    assert queue_answers({"task": "balance.check", "id": "1", **useless}).get("result") is not None
    assert asked("balance.check", CHECK)["result"]["allowed"]


@pytest.fixture
def queue_answers(broker: Broker, producer: Celery) -> Asked:
    """Sends a check with just these headers, and gives the answer."""

    def send(headers: dict[str, object]) -> Any:
        body = json.dumps([[], CHECK, {}])
        if isinstance(broker, RedisBroker):
            reply_to = f"tollbook.reply.{uuid4()}"
            properties = {"delivery_tag": str(uuid4()), "delivery_info": {}, "reply_to": reply_to, "body_encoding": "base64"}
            broker.put("checks", in_envelope(body.encode(), headers=headers, properties=properties))
            with redis.Redis.from_url(broker.url) as client:
                return answered(client, reply_to)
        return test_checks_rabbitmq.ask_raw(producer, body, headers)

    return send


def test_foreign_names_reach_neither_flower_nor_a_terminal(
    asked: Asked, broker: Broker, queue: redis.Redis, producer: Celery, start_worker: StartWorker, rows: Rows
) -> None:
    """A task's name of a megabyte is no label of Flower's metrics, and whatever a producer writes into names, ids and `reply_to`
    reaches a log for people without one control character.
    """
    worker = start_worker(TOLLBOOK_LOG_FORMAT="console", TOLLBOOK_LOG_LEVEL="DEBUG").ready()
    seen: list[dict[str, Any]] = []
    with producer.connection_for_read() as connection:
        receiver = producer.events.Receiver(connection, handlers={"*": seen.append})
        watching = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=60, wakeup=False), daemon=True)
        watching.start()
        eventually(broker.is_watched, "somebody listens to events")
        for envelope in hostile():
            queue.lpush("checks", envelope)
        for n in range(3):
            queue.lpush("usage", in_envelope(b"[[], {}, {}]", f"{n}" * MIB))
        assert asked("balance.check", CHECK, argsrepr=ESCAPE + "x" * 20_000)["result"]["allowed"]
        eventually(lambda: len(rows("SELECT FROM dead_letters")) == 3, "the unknown tasks are dead letters")
        eventually(lambda: any(one["type"] == "task-succeeded" for one in seen), "the batch is told")
        receiver.should_stop = True
        watching.join(20)
    assert {one["name"] for one in seen if one["type"] == "task-received"} == {"unknown"}
    assert max(len(json.dumps(one)) for one in seen) < 10_000
    assert "x1b" in worker.output()
    assert not set(CONTROLS) & set(re.sub(r"\x1b\[\d*m", "", worker.output())), "only the colours of our own lines"


def test_what_celery_tells_of_a_message_is_short_and_plain() -> None:
    """Reprs and origins are cut and printable, whatever they were, and the rest of the headers stays."""
    long = {"argsrepr": ESCAPE + "x" * MIB, "kwargsrepr": "y" * MIB, "origin": ESCAPE * 1000, "lang": ["py"], "id": "1", "eta": None}
    sound = sound_headers(long)
    assert sound.keys() == {"argsrepr", "kwargsrepr", "origin", "id", "eta"}
    assert all(value is None or (value.isprintable() and len(value) <= 4 * 1024) for value in sound.values())


def hostile() -> list[bytes]:
    """Entries of `checks` with control characters in every place, and with long names."""
    properties = {
        "delivery_tag": "1",
        "delivery_info": {},
        "reply_to": f"tollbook.reply.{ESCAPE}",
        "correlation_id": ESCAPE,
        "body_encoding": "base64",
    }
    named = json.dumps([[], {**CHECK, ESCAPE: 1}, {}]).encode()
    return [
        in_envelope(b"[[], {}, {}]", "y" * 20_000),
        in_envelope(b"[[], {}, {}]", headers={"task": ESCAPE, "id": "1"}, properties=properties),
        in_envelope(b"[[], {}, {}]", headers={"task": "balance.check", "id": f"1{ESCAPE}"}, properties=properties),
        in_envelope(named, headers={"task": "balance.check", "id": "1", "argsrepr": ESCAPE}, properties=properties),
        json.dumps(ESCAPE, ensure_ascii=False).encode(),
        f"no message {ESCAPE}".encode(),
    ]
