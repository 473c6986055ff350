"""With Celery's own consumer, too, a usage message that can't be read is kept: a dead letter, not a line in a log."""

import json

import pytest
import redis

from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_faults import message
from tests.delivery.test_worker import in_envelope
from tests.sample_events import event

pytestmark = pytest.mark.usefixtures("acme")


def test_what_the_guard_can_not_read_is_kept_in_both_of_celerys_protocols(queue: redis.Redis, start_worker: StartWorker, rows: Rows) -> None:
    """Arguments that are none, and a typed value that nobody can read: with the task in the headers, and with the task in the body."""
    typed = {"__type__": "pickle", "__value__": "x"}
    queue.lpush("usage", in_envelope(json.dumps("no arguments").encode(), "usage.record"))
    queue.lpush("usage", in_envelope(json.dumps([[typed], {}, {}]).encode(), "usage.record"))
    for arguments in ("x", [typed]):
        old: dict[str, object] = {"task": "usage.record", "id": "1", "args": arguments, "kwargs": {}}
        queue.lpush("usage", in_envelope(json.dumps(old).encode(), headers={}))
    for no_task in (["usage.record"], {"a": 1}, None):  # what names no task is refused, and ends nobody
        queue.lpush("usage", in_envelope(json.dumps({"task": no_task, "id": "1", "args": "x"}).encode(), headers={}))
    queue.lpush("usage", message(event()))
    worker = start_worker(TOLLBOOK_INTAKE="celery").ready()
    eventually(lambda: rows("SELECT FROM event_keys"), "the event behind them is recorded")
    eventually(lambda: len(rows("SELECT 1 FROM dead_letters")) == 4, "each is a dead letter")
    assert worker.output().count("guard.message_refused") == 3
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"malformed_message"}


@pytest.mark.parametrize("queue_name", ["checks", "maintenance"])
def test_a_task_that_is_no_text_is_refused_on_every_queue(queue_name: str, queue: redis.Redis, start_worker: StartWorker, rows: Rows) -> None:
    """A list in the place of a task's name ends nobody: what comes behind it is done."""
    for headers in ({"task": ["usage.record"], "id": "1"}, {"task": {"a": 1}, "id": "2"}):
        queue.lpush(queue_name, in_envelope(b"[[], {}, {}]", headers=headers))
    queue.lpush("usage", message(event()))
    worker = start_worker().ready()
    eventually(lambda: worker.output().count("guard.message_refused") == 2, "both are refused")
    eventually(lambda: rows("SELECT FROM event_keys"), "usage goes on")
    assert worker.terminate() == 0
