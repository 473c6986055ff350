"""What somebody who may write to the channel of control commands can have a worker do."""

from typing import Any

import pytest
from celery import Celery

from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, eventually
from tests.sample_events import event

pytestmark = pytest.mark.usefixtures("acme")
HARMFUL: dict[str, dict[str, Any]] = {
    "election": {"id": "1", "topic": "task", "action": {"task": "movement.top_up", "args": [], "kwargs": {}, "options": {"queue": "movements"}}},
    "revoke": {"task_id": "1"},
    "revoke_by_stamped_headers": {"headers": {"a": ["b"]}},
    "terminate": {"signal": "KILL", "task_id": "1"},
    "rate_limit": {"task_name": "balance.check", "rate_limit": "1/h"},
    "time_limit": {"task_name": "balance.check", "hard": 1},
    "add_consumer": {"queue": "usage"},
    "cancel_consumer": {"queue": "checks"},
    "pool_grow": {"n": 1000},
    "pool_shrink": {"n": 1},
    "pool_restart": {"modules": ["antigravity"], "reload": True},
    "autoscale": {"max": 1000, "min": 0},
    "memdump": {},
    "memsample": {},
    "objgraph": {"num": 1},
}


def test_a_worker_obeys_what_asks_and_nothing_that_harms(producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """Each of Celery's other commands is an error, to the caller too; the worker goes on as before."""
    worker = start_worker().ready()
    for name, arguments in HARMFUL.items():
        replies: Any = producer.control.broadcast(name, arguments=arguments, reply=True, timeout=2)
        assert replies, name
        assert "error" in replies[0]["w@test"], (name, replies)
    assert producer.control.inspect(timeout=5).ping()
    producer.send_task("usage.record", kwargs={"event": event()}, queue="usage", ignore_result=True)
    eventually(lambda: rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'"), "usage is recorded")
    assert worker.process.poll() is None


def test_the_commands_that_are_obeyed_are_listed() -> None:
    """A command that a new Celery brings is not obeyed before somebody has looked at it."""
    from celery.worker.control import Panel

    from worker.app import app
    from worker.remote_control import OBEYED

    assert app.main == "tollbook"
    assert Panel.data.keys() <= OBEYED
    assert not HARMFUL.keys() & OBEYED
