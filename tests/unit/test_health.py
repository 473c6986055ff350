"""Whether a worker lives and works: told at once, whatever hangs."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from prometheus_client import Counter

import core.metrics
import tasks
import worker.health
import worker.intake.intake
import worker.refreshed
from core.config import Configuration
from core.errors import StorageUnavailable
from tests.conftest import IsolatedConfiguration
from worker.closed_labels import closed_labels, count_from_zero
from worker.endpoint import with_health
from worker.health import Health
from worker.intake.intake import Intake
from worker.intake.pump import Progress, State
from worker.job_request import did_nothing
from worker.refreshed import Refreshed

ROOT = Path(__file__).resolve().parents[2]


class FakePump:
    """A pump of which only what it tells is there."""

    def __init__(self, state: State = State.IDLE, *, alive: bool = True) -> None:
        self.name, self.progress, self._alive = "intake-1", Progress(state), alive

    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._alive


def intake_of(*pumps: Any) -> Intake:
    """An intake with these pumps, not started."""
    config: Configuration = IsolatedConfiguration()
    return Intake(pumps, ["usage"], config)


def worker_of(*pumps: Any, connected: bool = True) -> Any:
    """What a health looks at of a worker."""
    consumer = SimpleNamespace(connection=SimpleNamespace(connected=connected), task_consumer=object())
    return SimpleNamespace(intake=intake_of(*pumps) if pumps else None, consumer=consumer)


def answered(path: str, health: Health) -> tuple[str, dict[str, Any]]:
    """Status and body of the endpoint's answer."""
    statuses: list[str] = []
    body = b"".join(with_health(lambda *_: [b"{}"], health)({"PATH_INFO": path}, lambda status, _headers: statuses.append(status)))
    return statuses[0], json.loads(body)


def test_a_worker_that_consumes_with_a_database_is_ready() -> None:
    """With pumps that consume, a connected consumer and a database that answered, nothing is missing; without pumps the consumer suffices."""
    for one in (worker_of(FakePump()), worker_of(FakePump(State.RUNNING)), worker_of()):
        health = Health(one, lambda: None)
        health.ask_once()
        assert answered("/ready", health) == ("200 OK", {"ready": True, "missing": []})
        assert answered("/live", health) == ("200 OK", {"live": True, "missing": []})


@pytest.mark.parametrize("state", [State.STARTING, State.PAUSED, State.WAITING_FOR_DATABASE, State.WAITING_FOR_BROKER, State.FAILING])
def test_a_pump_that_does_not_consume_is_missing(state: State) -> None:
    """Who waits or is paused lives, but isn't ready, and says why."""
    health = Health(worker_of(FakePump(state)), lambda: None)
    health.ask_once()
    assert answered("/ready", health) == ("503 Service Unavailable", {"ready": False, "missing": [f"intake-1: {state.value}"]})
    assert answered("/live", health)[0] == "200 OK"


def test_a_hanging_database_is_told_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose database has not answered for long, or refuses, isn't ready; asking costs no question to it."""
    released = threading.Event()

    def hanging() -> None:
        released.wait()

    health = Health(worker_of(), hanging)
    assert health.missing() == ["database: has not answered yet"]
    health.begin()
    assert health.missing() == ["database: has not answered yet"]
    released.set()

    def away() -> None:
        raise StorageUnavailable("away")

    health = Health(worker_of(), away)
    health.ask_once()
    assert health.missing() == ["database: away"]

    def broken() -> None:
        raise ValueError("a fault of ours")

    health = Health(worker_of(), broken)
    health.ask_once()
    assert health.missing() == ["database: ValueError: a fault of ours"]
    health = Health(worker_of(), lambda: None)
    health.ask_once()
    monkeypatch.setattr(worker.health, "ANSWER_SECONDS", -1.0)
    assert health.missing() == ["database: has not answered for 0 s"]


def test_a_consumer_without_broker_is_missing() -> None:
    """Before Celery's consumer is connected, and while it isn't, the worker isn't ready."""
    health = Health(worker_of(connected=False), lambda: None)
    health.ask_once()
    assert health.missing() == ["consumer: not connected to the broker"]
    assert Health(SimpleNamespace(), lambda: None).missing()[0] == "consumer: not connected to the broker"


def test_a_pump_that_ended_or_hangs_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ended by itself, or goes on nowhere, ends the process's life; one that was stopped or paused doesn't."""
    assert answered("/live", Health(worker_of(FakePump(State.RUNNING, alive=False)))) == (
        "503 Service Unavailable",
        {"live": False, "missing": ["intake-1: its thread has ended"]},
    )
    assert Health(worker_of(FakePump(State.STOPPED, alive=False))).stuck() == []
    monkeypatch.setattr(worker.intake.intake, "STILL_SECONDS", -1.0)
    assert Health(worker_of(FakePump(State.PAUSED))).stuck() == []
    assert "has stood still" in Health(worker_of(FakePump(State.RUNNING))).stuck()[0]


def test_rate_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded more than half a minute ago is in the rate since the start alone."""
    now = [1000.0]
    monkeypatch.setattr(worker.intake.intake, "monotonic", lambda: now[0])
    pump = FakePump()
    intake = intake_of(pump)
    intake._backlog = dict  # type: ignore[method-assign]
    pump.source = SimpleNamespace(foreign=dict)  # type: ignore[attr-defined]
    pump.progress.events["recorded"] = 300
    for _ in range(30):
        now[0] += 1
        intake._count()
    assert intake.progress()["rate"] == intake.progress()["rate_since_start"] == 10.0
    for _ in range(30):
        now[0] += 1
        intake._count()
    assert (intake.progress()["rate"], intake.progress()["rate_since_start"]) == (0.0, 5.0)


def test_what_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a read hangs the others are told nothing, or the answer before; it is read by one thread, and once per interval."""
    monkeypatch.setattr(worker.refreshed, "PATIENCE_SECONDS", 0.01)
    released, reads = threading.Event(), list[int]()

    def read() -> int:
        reads.append(1)
        released.wait()
        return 7

    refreshed = Refreshed(read)
    assert (refreshed.latest(), refreshed.latest(), len(reads)) == (None, None, 1)
    monkeypatch.setattr(worker.refreshed, "PATIENCE_SECONDS", 60.0)
    threading.Timer(0.0, released.set).start()
    assert (refreshed.latest(), refreshed.latest(), len(reads)) == (7, 7, 1)


def test_a_read_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the answer before is not told any more."""
    answers: list[int | None] = [None, 7]
    refreshed = Refreshed(answers.pop, every_seconds=0)
    assert (refreshed.latest(), refreshed.latest()) == (7, None)


def test_labelled_counters_tell_zero_from_the_start() -> None:
    """Each labelled counter has its closed list of labels, and each of them is there before anything was counted."""
    app = Celery("test", set_as_current=False, include=[f"tasks.{module.name}" for module in iter_modules(tasks.__path__)])
    app.loader.import_default_modules()
    labelled = {metric for metric in vars(core.metrics).values() if isinstance(metric, Counter) and metric._labelnames}
    closed = {counter: list(labels) for counter, labels in closed_labels(app).items()}
    assert closed.keys() == labelled
    assert ("view.balance_at", "not_found") in closed[core.metrics.REQUESTS]
    count_from_zero(app)
    for counter, labels in closed.items():
        assert {tuple(map(str, one)) for one in labels} <= set(counter._metrics)


def test_nothing_done_is_known_by_what_a_job_returns() -> None:
    """None, 0 and an empty list are nothing; what is cut short, or any count of a job that was due, is something."""
    assert all(did_nothing(text) for text in ("None", "0", "[]", "{}"))
    assert not any(did_nothing(text) for text in ("3", "['2026-01-31']", "{'I1': 0}", "{'I1': 0, 'I2'...", ""))


def test_every_scheduled_task_is_a_job() -> None:
    """Whatever the schedule asks for tells Flower nothing while there is nothing to do."""
    script = (
        "from worker.app import app; from tasks.job import Job; app.loader.import_default_modules();"
        "print([n['task'] for n in app.conf.beat_schedule.values() if not isinstance(app.tasks[n['task']], Job)])"
    )
    environment = {"PATH": os.environ["PATH"], "CELERY_BROKER_URL": "redis://127.0.0.1:1", "TOLLBOOK_ALERTS_QUEUE_MAX": "1"}
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "[]\n"
