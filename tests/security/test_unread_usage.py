"""With Celery's own consumer, too, a usage message that can't be read is kept: a dead letter, not a line in a log."""

import json

import pytest
import redis

from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_worker import in_envelope

pytestmark = pytest.mark.usefixtures("acme")


def test_what_the_guard_can_not_read_is_kept_in_both_of_celerys_protocols(queue: redis.Redis, start_worker: StartWorker, rows: Rows) -> None:
    """Arguments that are none, and a typed value that nobody can read: with the task in the headers, and with the task in the body."""
    typed = {"__type__": "pickle", "__value__": "x"}
    queue.lpush("usage", in_envelope(json.dumps("no arguments").encode(), "usage.record"))
    queue.lpush("usage", in_envelope(json.dumps([[typed], {}, {}]).encode(), "usage.record"))
    for arguments in ("x", [typed]):
        old: dict[str, object] = {"task": "usage.record", "id": "1", "args": arguments, "kwargs": {}}
        queue.lpush("usage", in_envelope(json.dumps(old).encode(), headers={}))
    start_worker(TOLLBOOK_INTAKE="celery").ready()
    eventually(lambda: len(rows("SELECT 1 FROM dead_letters")) == 4, "each is a dead letter")
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"malformed_message"}
