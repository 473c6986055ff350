"""What takes minutes: dozens of deaths over tens of thousands of events, and a long backlog in little memory."""

import base64
from collections.abc import Callable
from random import Random

import pytest

from lab.proxy import Proxy
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_faults import balances_agree, books_hold_exactly, kill_amid_a_batch, message
from tests.delivery.test_worker import in_envelope
from tests.sample_events import body_of, event

Counts = Callable[[], dict[str, int]]
MIB_MAX = 200
DRAIN_SECONDS = 600

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("acme"), pytest.mark.timeout(1800)]


@both_brokers
def test_thirty_killed_workers_lose_and_double_nothing(
    broker: Broker, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: Callable[[], bool]
) -> None:
    """60,000 events, every fifth of them twice, on two workers of which thirty are killed with a batch in hand: each event once."""
    random = Random(30)
    events = [event(user_id=random.choice(["ada", "bob"]), price_chf=f"0.{n:06}") for n in range(1, 60_001)]
    copies = [*events, *random.sample(events, 12_000)]
    random.shuffle(copies)
    part = len(copies) // 30
    workers = [start_worker(name=f"w{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="50").ready() for n in range(2)]
    for n in range(30):
        broker.put("usage", *map(message, copies[n * part : (n + 1) * part]))
        kill_amid_a_batch(workers.pop(0), broker)
        workers.append(start_worker(name=f"r{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="50").ready())
    eventually(is_drained, "every message is acknowledged", seconds=DRAIN_SECONDS)
    books_hold_exactly(rows, events)
    outcomes = counts()
    assert outcomes["recorded"] == 60_000
    assert outcomes["duplicate"] >= 12_000
    assert outcomes["conflict"] == outcomes["rejected"] == outcomes["parked"] == 0
    assert [worker.process.poll() for worker in workers] == [None, None]


def backlog(first: int, n: int) -> list[bytes]:
    """Celery messages of one event each, numbered from `first`, made out of one."""
    body = b"[[" + body_of(event(event_id="backlog-NNNNNNN", price_chf="0.01")) + b"], {}, {}]"
    head, tail = in_envelope(b"BODY").split(base64.b64encode(b"BODY"))
    return [head + base64.b64encode(body.replace(b"NNNNNNN", b"%07d" % number)) + tail for number in range(first, first + n)]


@both_brokers
def test_a_million_queued_events_are_drained_in_little_memory(
    broker: Broker, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: Callable[[], bool]
) -> None:
    """A million queued events are recorded by one worker that never holds more than 200 MiB, and hardly more at the end than after a tenth."""
    for first in range(0, 1_000_000, 10_000):
        broker.put("usage", *backlog(first, 10_000))
    worker = start_worker().ready()
    eventually(lambda: counts()["recorded"] >= 100_000, "a tenth is recorded", seconds=DRAIN_SECONDS)
    early = worker.peak_mib()
    eventually(is_drained, "every message is acknowledged", seconds=DRAIN_SECONDS)
    late = worker.peak_mib()
    assert counts() == {"recorded": 1_000_000, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 0}
    (sums,) = rows("SELECT count(DISTINCT event_id) n, sum(amount) amount FROM transactions WHERE transaction_type = 'DEBIT'")
    assert (sums["n"], sums["amount"]) == (1_000_000, 10_000)
    balances_agree(rows)
    assert late <= MIB_MAX, f"{late:.0f} MiB"
    assert late - early <= 16, f"{early:.0f} MiB after a tenth, {late:.0f} MiB at the end"


@both_brokers
def test_a_half_open_link_to_the_broker_is_noticed_within_a_minute(
    broker_kind: str, broker: Broker, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """With its own patience too the worker gives up links that carry nothing any more, and drains on over new ones."""
    with Proxy(broker.url) as proxy:
        worker = start_worker(CELERY_BROKER_URL=proxy.url(broker.url), TOLLBOOK_INTAKE_BATCH_MESSAGES="20").ready()
        events = [event() for _ in range(1000)]
        broker.put("usage", *map(message, events))
        eventually(lambda: broker.waiting("usage") < 1000, "it has begun")
        assert proxy.half_open() >= 2
        eventually(is_drained, "every message is acknowledged", seconds=60)
        books_hold_exactly(rows, events)
        if broker_kind == "rabbitmq":
            eventually(lambda: worker.says("Connection to broker lost"), "Celery's own consumer has noticed")
        assert worker.terminate() == 0
