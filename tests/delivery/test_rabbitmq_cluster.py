"""Three RabbitMQ nodes of which one is lost: what was confirmed is there, and the worker goes on with the others."""

from collections.abc import Callable, Iterator

import amqp
import pytest
from celery import Celery

from lab.process import temporary_dir
from lab.proxy import Proxy
from lab.rabbitmq_cluster import RabbitCluster
from tests.conftest import Rows
from tests.delivery.brokers import QUEUES
from tests.delivery.conftest import StartWorker, eventually, require_rabbitmq
from tests.delivery.test_faults import books_hold_exactly
from tests.sample_events import event
from worker.intake.amqp_connection import connected, declare, publish_confirmed

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[RabbitCluster]:
    """A cluster that the module's tests share."""
    require_rabbitmq()
    with temporary_dir() as folder:
        cluster = RabbitCluster(folder / "cluster")
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill_all()


@pytest.fixture
def cluster(running_cluster: RabbitCluster) -> RabbitCluster:
    """The cluster with all nodes, and with the queues, empty."""
    running_cluster.start()
    eventually(running_cluster.is_whole, "it is whole")
    with connected(running_cluster.url()) as channel:
        declare(channel, QUEUES)
        for name in QUEUES:  # a quorum queue that is deleted and made again at once is refused at times
            channel.queue_purge(name)
    return running_cluster


@pytest.fixture
def proxy(cluster: RabbitCluster) -> Iterator[Proxy]:
    """What stands before the cluster, led to the node that leads the queue `usage`."""
    with Proxy(cluster.url(cluster.leader_of("usage"))) as proxy:
        yield proxy


@pytest.fixture
def broker_url(cluster: RabbitCluster, proxy: Proxy) -> str:
    """The cluster as the worker sees it: one host."""
    return proxy.url(cluster.url())


def publish(cluster: RabbitCluster, number: int, bodies: list[str]) -> None:
    """Through one node, each confirmed."""
    with connected(cluster.url(number)) as channel:
        publish_confirmed(channel, (("usage.json", amqp.Message(body, delivery_mode=2)) for body in bodies))


def taken(cluster: RabbitCluster, number: int) -> list[str]:
    """Takes all that waits, through one node."""
    bodies = []
    with connected(cluster.url(number)) as channel:
        while (message := channel.basic_get("usage.json", no_ack=True)) is not None:
            bodies.append(bytes(message.body).decode())
    return bodies


def test_what_was_confirmed_outlives_the_leaders_node_again_and_again(cluster: RabbitCluster) -> None:
    """The node that leads a quorum queue is killed, comes back and catches up, and then the next leader is killed: every message is there."""
    told: list[str] = []
    for round_number in range(2):
        leader = cluster.leader_of("usage.json")
        bodies = [f"{round_number}-{n}" for n in range(100)]
        publish(cluster, leader, bodies)
        cluster.kill(leader)
        assert not cluster.is_whole()
        other = cluster.leader_of("usage.json")
        assert other != leader
        more = [f"{round_number}-{n} by two" for n in range(100)]
        publish(cluster, other, more)
        told += bodies + more
        cluster.start(leader)
        eventually(cluster.is_whole, "it is whole again")
    cluster.kill(cluster.leader_of("usage.json"))
    assert taken(cluster, cluster.leader_of("usage.json")) == told
    cluster.start()


def test_a_stopped_cluster_starts_again_as_one(cluster: RabbitCluster) -> None:
    """Stopped and started the nodes are one cluster again, on whatever ports, with every message."""
    bodies = [str(n) for n in range(100)]
    publish(cluster, 1, bodies)
    cluster.stop()
    assert cluster.running() == []
    cluster.start()
    eventually(cluster.is_whole, "it is whole")
    cluster.leader_of("usage.json")
    assert taken(cluster, 2) == bodies


@pytest.mark.usefixtures("acme")
def test_the_worker_and_a_producer_go_on_without_the_leaders_node(
    cluster: RabbitCluster, proxy: Proxy, start_worker: StartWorker, rows: Rows
) -> None:
    """A stock Celery producer that knows all nodes, and a worker behind a load balancer, lose the node that leads: each event is recorded once."""
    worker = start_worker(TOLLBOOK_INTAKE_BATCH_MESSAGES="20").ready()
    events = [event() for _ in range(600)]
    with Celery("producer", broker=cluster.urls(), set_as_current=False) as producer:
        producer.conf.update(task_create_missing_queue_type="quorum", broker_transport_options={"confirm_publish": True})
        for number, fields in enumerate(events):
            if number == 300:
                leader = cluster.leader_of("usage")
                cluster.kill(leader)
                proxy.lead_to(cluster.url(cluster.leader_of("usage")))
            producer.send_task("usage.record", [fields], queue="usage")
    eventually(recorded(rows, 600), "every event is recorded")
    books_hold_exactly(rows, events)
    eventually(lambda: is_empty(cluster), "every message is acknowledged")
    assert worker.process.poll() is None
    cluster.start(leader)


def recorded(rows: Rows, n: int) -> Callable[[], bool]:
    """Tells whether so many events are in the books."""
    return lambda: bool(rows("SELECT count(*) n FROM transactions WHERE transaction_type = 'DEBIT'")[0]["n"] == n)


def is_empty(cluster: RabbitCluster) -> bool:
    """Whether no usage message waits or is in hand."""
    told = cluster.nodes[cluster.running()[0]].control("list_queues", "name", "messages")
    return not any(line.split()[0] in QUEUES[:4] and line.split()[1] != "0" for line in told.splitlines() if len(line.split()) == 2)
