"""A worker whose own clock is wrong records what is timely, and refuses what isn't: the database's clock is the one that counts."""

from datetime import UTC, datetime, timedelta

import pytest
import redis

from lab.clock import JumpingClock
from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_faults import message
from tests.sample_events import event

pytestmark = pytest.mark.usefixtures("acme")


@pytest.mark.parametrize("hours", [-2, 48, -24 * 420])
def test_a_clock_that_jumps_in_a_worker_decides_nothing(
    hours: int, jumping_clock: JumpingClock, queue: redis.Redis, start_worker: StartWorker, rows: Rows
) -> None:
    """Two hours back, two days or more than a year ahead: what happened now is recorded, what is to happen in an hour is of the future."""
    worker = start_worker(**jumping_clock.environment()).ready()
    jumping_clock.jump(hours * 3600)
    now = datetime.now(UTC)
    timely, early, late = (event(occurred_at=(now + apart).isoformat()) for apart in (timedelta(), timedelta(hours=1), timedelta(days=-401)))
    queue.lpush("usage", *map(message, (timely, early, late)))
    eventually(lambda: len(rows("SELECT 1 FROM dead_letters")) == 2, "two are refused")
    assert rows("SELECT event_id FROM event_keys") == [{"event_id": timely["event_id"]}]
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"future", "too_late"}
    assert worker.terminate() == 0
