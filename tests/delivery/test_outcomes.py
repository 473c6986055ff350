"""Refused and parked events come back to a producer that asks for it, on real brokers; numbers and journal tell what never came."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
import redis
from celery import Celery

from tests.conftest import Rows
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.sample_events import event
from tests.scene import PutSettings
from worker.intake.amqp_connection import connected, publish_confirmed

QUEUE = "tollbook.outcomes.shop"


@pytest.fixture
def read(broker: Broker) -> Callable[[], list[dict[str, Any]]]:
    """Takes every outcome off the producer's queue, the oldest first."""
    if isinstance(broker, RabbitBroker):
        with connected(broker.url) as channel:
            channel.queue_delete(QUEUE)

    def taken() -> Iterator[bytes]:
        if isinstance(broker, RabbitBroker):
            with connected(broker.url) as channel:
                while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
                    yield message.body
        else:
            with redis.Redis.from_url(broker.url) as client:
                while (popped := client.brpop([QUEUE], timeout=0.01)) is not None:
                    yield popped[1]

    return lambda: list(map(json.loads, taken()))


@both_brokers
def test_a_producer_is_told_what_was_refused(
    broker: Broker, start_worker: StartWorker, producer: Celery, put_settings: PutSettings, rows: Rows, read: Callable[[], list[dict[str, Any]]]
) -> None:
    """Through the property `reply_to` of a Celery message, on RabbitMQ of plain JSON too; a queue that a producer has to declare is waited for."""
    put_settings(users=["ada"])
    start_worker().ready()
    wrong, parked = event(price_chf="-1"), event(mandate_id="stranger")
    options: dict[str, Any] = {"queue": "usage", "ignore_result": True}
    producer.send_task("usage.record_batch", kwargs={"events": [event(), wrong, parked]}, **options, reply_to=QUEUE)
    producer.send_task("usage.record", kwargs={"event": event(price_chf="-2")}, **options)
    producer.send_task("usage.record", kwargs={"event": event(price_chf="-3")}, **options, reply_to="usage.json")
    told = {wrong["event_id"]: "rejected", parked["event_id"]: "parked"}
    if isinstance(broker, RabbitBroker):
        plain = event(user_id=...)
        told[plain["event_id"]] = "rejected"
        with connected(broker.url) as channel:
            publish_confirmed(channel, [("usage.json", amqp.Message(json.dumps(plain).encode(), reply_to=QUEUE))])
    eventually(lambda: rows("SELECT count(*) AS n FROM outcome_messages") == [{"n": len(told)}], "they are settled")
    producer.send_task("outcomes.publish", queue="maintenance", ignore_result=True)
    if isinstance(broker, RabbitBroker):
        eventually(lambda: broker.waiting("maintenance") == 0, "it is done")
        with connected(broker.url) as channel:
            channel.queue_declare(QUEUE, durable=True, auto_delete=False)
    found: dict[object, object] = {}

    def all_told() -> bool:
        producer.send_task("outcomes.publish", queue="maintenance", ignore_result=True)
        found.update((one["event_id"], one["outcome"]) for one in read())
        return len(found) >= len(told)

    eventually(all_told, "they are told")
    assert found == told
    eventually(lambda: rows("SELECT FROM outcome_messages") == [], "nothing waits any more")
    assert rows("SELECT count(*) AS n FROM dead_letters") == [{"n": len(told) - 1 + 2}]


def test_the_jobs_do_their_work_in_a_worker(start_worker: StartWorker, producer: Celery, put_settings: PutSettings, rows: Rows) -> None:
    """What came is merged by the job, and what is missing for long is a finding that goes when the number comes; with Celery's own consumer, too."""
    put_settings(users=["ada"])
    start_worker(TOLLBOOK_PRODUCER_GAP_SECONDS="0.001", TOLLBOOK_INTAKE="celery").ready()

    def send(number: int) -> None:
        producer.send_task("usage.record", kwargs={"event": event(producer_id="p1", producer_seq=number)}, queue="usage", ignore_result=True)

    def merged(findings: int) -> bool:
        producer.send_task("producers.merge", queue="maintenance", ignore_result=True)
        return rows("SELECT count(*) AS n FROM reconcile_findings WHERE invariant = 'C1' AND resolved_at IS NULL") == [{"n": findings}]

    send(1)
    send(3)
    eventually(lambda: merged(1), "the gap is a finding")
    send(2)
    eventually(lambda: merged(0), "it is filled")
    producer.send_task("usage.record", kwargs={"event": event(price_chf="-1")}, queue="usage", reply_to=QUEUE, ignore_result=True)
    eventually(lambda: rows("SELECT queue FROM outcome_messages") == [{"queue": QUEUE}], "the refused one is to be told")
    assert rows("SELECT highest, incomplete FROM producers") == [{"highest": 3, "incomplete": False}]
