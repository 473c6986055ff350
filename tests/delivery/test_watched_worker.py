"""A real worker, watched: over HTTP by whoever runs it and by Prometheus, and by Flower through its events."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from celery import Celery
from celery.events import EventReceiver
from prometheus_client.parser import text_string_to_metric_families

from lab.process import free_port
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, WorkerProcess, both_brokers, eventually
from tests.sample_events import body_of, event


def asked(port: int, path: str) -> tuple[int, str]:
    """Status and body of what the worker answers; 0 while it doesn't."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except URLError:
        return 0, ""


def samples(port: int) -> dict[str, float]:
    """What `/metrics` tells, by name and labels."""
    _, body = asked(port, "/metrics")
    return {
        f"{one.name}{json.dumps(one.labels) if one.labels else ''}": one.value
        for family in text_string_to_metric_families(body)
        for one in family.samples
    }


@contextmanager
def flower_hears(producer: Celery) -> Iterator[list[dict[str, Any]]]:
    """The task events that the broker gives out meanwhile, as Flower receives them."""
    heard: list[dict[str, Any]] = []
    stopping = threading.Event()

    def listen() -> None:
        with producer.connection_for_read() as connection:
            receiver = EventReceiver(connection, handlers={"*": heard.append}, app=producer)
            while not stopping.is_set():
                with suppress(TimeoutError):
                    receiver.capture(limit=None, timeout=1, wakeup=True)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        stopping.set()
        thread.join()


@both_brokers
@pytest.mark.usefixtures("acme")
def test_a_worker_tells_how_it_is(broker: Broker, broker_kind: str, producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """It is live and ready while it consumes, not ready while paused; its metrics are complete before anything came."""
    port = free_port()
    worker = start_worker(TOLLBOOK_METRICS_PORT=str(port)).ready()
    eventually(lambda: asked(port, "/ready")[0] == 200, "it is ready")
    assert asked(port, "/live") == (200, '{"live": true, "missing": []}\n')
    told = eventually(lambda: found if "tollbook_open_holds" in (found := samples(port)) else None, "the books have answered")
    assert told['tollbook_events_total{"outcome": "parked"}'] == 0
    assert told['tollbook_queue_messages{"queue": "usage"}'] == 0
    assert any(name.startswith("tollbook_worker_info{") for name in told)
    producer.control.broadcast("intake_pause", reply=True, timeout=10)
    _, body = eventually(lambda: one if (one := asked(port, "/ready"))[0] == 503 else None, "it is not ready")
    assert set(json.loads(body)["missing"]) == {"intake-1: paused", "intake-2: paused"}
    assert asked(port, "/live")[0] == 200
    broker.put("usage.json", body_of(event()))

    def waiting() -> dict[str, float] | None:
        found = samples(port)
        return found if found.get('tollbook_queue_messages{"queue": "usage.json"}') == 1 else None

    told = eventually(waiting, "the message that waits is told")
    assert ('tollbook_queue_oldest_seconds{"queue": "usage.json"}' in told) == (broker_kind == "redis")
    producer.control.broadcast("intake_resume", reply=True, timeout=10)
    eventually(lambda: rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'"), "it goes on")
    assert worker.terminate() == 0


@pytest.mark.usefixtures("acme", "broker")
def test_flower_hears_of_jobs_that_did_something(producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """A job that finds nothing to do is not told, one that worked is with its whole story, and so is one that failed."""
    port = free_port()
    worker: WorkerProcess = start_worker("-Q", "maintenance", TOLLBOOK_METRICS_PORT=str(port)).ready()
    eventually(lambda: asked(port, "/ready")[0] == 200, "a worker without usage queues is ready by its consumer")

    def done(task: str) -> str:
        return str(producer.send_task(task, queue="maintenance", ignore_result=True).id)

    with flower_hears(producer) as heard:
        eventually(lambda: any(one["type"] == "worker-heartbeat" for one in heard), "events are heard")
        idle = done("parked.release")
        working = done("books.housekeep")
        eventually(lambda: [one for one in heard if one.get("uuid") == working and one["type"] == "task-succeeded"], "the work is told")
        rows("ALTER TABLE rollup_pending RENAME TO gone")
        failing = done("usage.rollup")
        eventually(lambda: [one for one in heard if one.get("uuid") == failing and one["type"] == "task-failed"], "the failure is told")
        rows("ALTER TABLE gone RENAME TO rollup_pending")
    assert [one["type"] for one in heard if one.get("uuid") == working] == ["task-received", "task-started", "task-succeeded"]
    assert [one["type"] for one in heard if one.get("uuid") == failing] == ["task-received", "task-started", "task-failed"]
    assert not [one for one in heard if one.get("uuid") == idle]
    assert worker.terminate() == 0
