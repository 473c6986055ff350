"""Two versions of the worker at once on one queue and one database, as in every rolling update: the code as it is, and the
same code writing the next payload hash version, which the older one can't compute.
"""

from collections.abc import Callable
from decimal import Decimal
from random import Random

import pytest
import redis
from celery import Celery

from core.database.database import Database
from core.directory.sql.mirror import Mandate, put_mandates
from core.events.payload import PAYLOAD_HASHES
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, WorkerProcess, eventually
from tests.delivery.test_faults import books_hold_exactly, kill_amid_a_batch, message
from tests.delivery.test_hard_faults import pause, resume
from tests.sample_events import event

Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]
NEXT = "tests.delivery.next_version_app"
SMALL = {"TOLLBOOK_INTAKE_BATCH_MESSAGES": "20"}

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def versions(start_worker: StartWorker) -> dict[str, WorkerProcess]:
    """A worker of each version, both serving the same queues."""
    workers = {"old": start_worker(name="old", **SMALL), "new": start_worker(name="new", app=NEXT, **SMALL)}
    return {name: worker.ready() for name, worker in workers.items()}


@pytest.fixture
def settled_by(versions: dict[str, WorkerProcess], queue: redis.Redis, is_drained: IsDrained) -> Callable[..., None]:
    """Sends events and has them settled by the worker of one version, while that of the other is stopped."""

    def settle(name: str, *events: dict[str, object]) -> None:
        other = versions["new" if name == "old" else "old"]
        pause(other)
        queue.lpush("usage", *map(message, events))
        eventually(is_drained, f"the {name} version settles everything")
        resume(other)

    return settle


def test_what_one_version_recorded_the_other_knows(
    settled_by: Callable[..., None], rows: Rows, counts: Counts, owner_database: Database, producer: Celery
) -> None:
    """Each version meets the keys of the other, recorded and parked: the same billed fields are a duplicate, however the event
    is spelled, others are a conflict that tells the difference; and what one parked is released once.
    """
    first = {name: event(event_id=f"by-{name}", price_chf="0.1") for name in ("old", "new")}
    parked = {name: event(event_id=f"parked-by-{name}", mandate_id="later", price_chf="0.2") for name in ("old", "new")}
    for name in ("old", "new"):
        settled_by(name, first[name], parked[name])
    assert counts() == {"recorded": 2, "duplicate": 0, "conflict": 0, "rejected": 0, "parked": 2}
    for name, other in (("old", "new"), ("new", "old")):
        copies = [{**one, "description": "again", "price_chf": 0.1 if one is first[other] else 0.2} for one in (first[other], parked[other])]
        contradictions = [{**one, "price_chf": "7", "model": "another"} for one in (first[other], parked[other])]
        settled_by(name, *copies, *contradictions)
    assert counts() == {"recorded": 2, "duplicate": 4, "conflict": 4, "rejected": 0, "parked": 2}
    letters = rows("SELECT reason, difference FROM dead_letters")
    assert [letter["reason"] for letter in letters] == ["conflict"] * 4
    assert {frozenset(letter["difference"]) for letter in letters} == {frozenset({"price_chf", "model"})}
    with owner_database.transaction() as connection:
        put_mandates(connection, [Mandate("later", "Later", None, enabled=True, time_zone="UTC")])
    settled_by("new", *parked.values())
    producer.send_task("parked.release", queue="maintenance")
    eventually(lambda: rows("SELECT count(*) n FROM parked_events") == [{"n": 0}], "the parked events are released")
    books_hold_exactly(rows, [*first.values(), *parked.values()])
    assert {row["hash_version"] for row in rows("SELECT DISTINCT hash_version FROM event_keys")} == {1, max(PAYLOAD_HASHES) + 1}


def test_both_versions_drain_one_queue(
    versions: dict[str, WorkerProcess],
    queue: redis.Redis,
    broker: Broker,
    start_worker: StartWorker,
    rows: Rows,
    counts: Counts,
    is_drained: IsDrained,
) -> None:
    """Side by side on a queue with copies and contradictions, and one of each version killed with a batch in hand: of each event
    one delivery is recorded, its equals are duplicates, all others conflicts, and both versions have recorded some.
    """
    random = Random(60)
    events = [event(price_chf=f"0.{n:06}") for n in range(1, 1501)]
    others = [{**one, "price_chf": f"1.{n:06}"} for n, one in enumerate(random.sample(events, 300))]
    deliveries = [*events, *random.sample(events, 500), *others, *random.sample(others, 100)]
    random.shuffle(deliveries)
    for name, app in (("old", "worker.app"), ("new", NEXT)):
        queue.lpush("usage", *map(message, deliveries[:1200]))
        kill_amid_a_batch(versions[name], broker)
        start_worker(name=f"{name}-again", app=app, **SMALL)
        deliveries = deliveries[1200:] + deliveries[:1200]
    eventually(is_drained, "every message is acknowledged")
    found = {row["event_id"]: row["amount"] for row in rows("SELECT event_id, amount FROM transactions WHERE transaction_type = 'DEBIT'")}
    winners = [one for one in [*events, *others] if found[str(one["event_id"])] == Decimal(str(one["price_chf"]))]
    books_hold_exactly(rows, winners)
    equal = sum(found[str(one["event_id"])] == Decimal(str(one["price_chf"])) for one in deliveries)
    outcomes = counts()
    assert (outcomes["recorded"], outcomes["rejected"], outcomes["parked"]) == (1500, 0, 0)
    assert outcomes["duplicate"] >= equal - 1500
    assert outcomes["conflict"] >= len(deliveries) - equal
    assert {row["hash_version"] for row in rows("SELECT DISTINCT hash_version FROM event_keys")} == {1, max(PAYLOAD_HASHES) + 1}
