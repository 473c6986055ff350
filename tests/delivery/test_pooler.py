"""Workers behind PgBouncer in transaction mode: nothing is lost, nothing is recorded twice, nobody ends."""

from collections.abc import Callable

import pytest

from lab.pgbouncer import IGNORED_OPTIONS
from tests.conftest import DatabaseUrls, Rows, StartPooler
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_faults import books_hold_exactly, kill_amid_a_batch, message
from tests.sample_events import event

Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("options", [IGNORED_OPTIONS, "ignore_startup_parameters = extra_float_digits"], ids=["ignored", "refused"])
def test_two_workers_behind_a_pooler_record_each_event_once(
    options: str, start_pooler: StartPooler, database_urls: DatabaseUrls, broker: Broker, start_worker: StartWorker,
    rows: Rows, counts: Counts, is_drained: IsDrained,
) -> None:  # fmt: skip
    """They share its four sessions; the pooler is killed under load and comes back, and one worker is killed with a batch in hand."""
    pooler = start_pooler(options)
    behind = {"DATABASE_URL": pooler.url(database_urls.worker), "TOLLBOOK_INTAKE_BATCH_MESSAGES": "20"}
    workers = [start_worker(name=f"w{n}", **behind).ready() for n in range(2)]
    events = [event(price_chf=f"0.{n:06}") for n in range(1, 3001)]
    for start in range(0, 3000, 1000):
        seen = counts()["recorded"]
        broker.put("usage", *map(message, events[start : start + 1000]), *map(message, events[start : start + 100]))
        eventually(lambda: counts()["recorded"] > seen, "events are recorded")  # noqa: B023 - used at once
        pooler.restart()
    broker.put("usage", *map(message, events[:200]))
    kill_amid_a_batch(workers.pop(), broker)
    eventually(is_drained, "every message is acknowledged")
    books_hold_exactly(rows, events)
    assert workers[0].process.poll() is None
    assert workers[0].terminate() == 0
