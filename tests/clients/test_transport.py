"""What the client's transport publishes is confirmed, or an error: whatever the broker does meanwhile."""

import base64
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec, module_from_spec
from time import monotonic
from typing import Any

import pytest
import redis
from amqp.transport import SSLTransport
from celery import Celery
from tollbook_client.envelope import BATCH_BYTES_MAX, EventTooLarge, task_message
from tollbook_client.tls import Tls
from tollbook_client.transport import NotDelivered, Transport

from lab.process import temporary_dir
from lab.proxy import Proxy
from tests.certificates import HOST, Authority, by_tls
from tests.clients.conftest import sent_events
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import both_brokers
from worker.intake.amqp_connection import connected

EVENT = b'{"event_id":"1"}'


@pytest.fixture
def open_transport(broker_url: str) -> Iterator[Callable[..., Transport]]:
    """Makes transports, which are closed after the test."""
    made: list[Transport] = []

    def make(url: str = broker_url, **options: Any) -> Transport:
        made.append(Transport(url, **{"timeout_seconds": 2.0, "patience_seconds": 0.0, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@both_brokers
def test_events_go_in_as_few_messages_as_hold_them(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """At most 1,000 events and 768 KiB to a message, all in their order; one that is too long is named before any is sent."""
    transport = open_transport()
    many = [b'{"event_id":"%d"}' % n for n in range(2500)]
    transport.publish(many)
    assert broker.waiting("usage") == 3
    assert [event["event_id"] for event in sent_events(broker)] == [str(n) for n in range(2500)]
    long = [b'{"event_id":"%d","description":"%s"}' % (n, b"x" * 500_000) for n in range(3)]
    transport.publish(long)
    assert broker.waiting("usage") == 3
    sent_events(broker)
    with pytest.raises(EventTooLarge) as refused:
        transport.publish([EVENT, b"x" * (BATCH_BYTES_MAX + 1)])
    assert refused.value.index == 1
    transport.publish([])
    assert broker.waiting("usage") == 0


def test_the_envelope_is_that_of_a_celery_client(producer: Celery, queue: redis.Redis, open_transport: Callable[..., Transport]) -> None:
    """Nothing stands elsewhere than in a stock client's message, nothing is missing that the worker reads, and `reply_to` is as asked for."""
    producer.send_task("usage.record_batch", kwargs={"events": [{"event_id": "1"}]}, queue="usage", ignore_result=True)
    open_transport(outcomes="chat").publish([EVENT])
    entries: Any = queue.lrange("usage", 0, -1)
    ours, theirs = (json.loads(entry) for entry in entries)
    bodies = [json.loads(base64.b64decode(one.pop("body"))) for one in (ours, theirs)]
    assert bodies[0] == bodies[1]
    assert ours.keys() == theirs.keys()
    assert set(ours["headers"]) - set(theirs["headers"]) == set()
    assert set(ours["properties"]) - set(theirs["properties"]) == set()
    assert (ours["content-type"], ours["content-encoding"]) == (theirs["content-type"], theirs["content-encoding"])
    assert ours["headers"]["task"] == theirs["headers"]["task"]
    assert ours["properties"]["reply_to"] == "tollbook.outcomes.chat"


def test_only_queues_that_are_served(broker_url: str) -> None:
    """No message is made for another queue, and no transport of a URL or a name that can't be used."""
    with pytest.raises(ValueError, match="usagee"):
        task_message("usagee", "usage.record", b"{}")
    for url in ("http://x", "redis://a;redis://b", "redis://a,b/0", "rediss://a?ssl_cert_reqs=none", "sqs://"):
        with pytest.raises(ValueError, match="URL"):
            Transport(url)
    for url in ("redis://:pass/word@a/0", "amqp://user:pass#word@a//"):
        with pytest.raises(ValueError, match="URL") as refused:
            Transport(url)
        assert "'pass'" not in str(refused.value)
    with pytest.raises(ValueError, match="outcomes"):
        Transport(broker_url, outcomes="a b")
    Transport("rediss://a/0?ssl_cert_reqs=required").close()


@both_brokers
def test_a_connection_that_was_lost_is_made_anew(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """After a reset, and after `close`, the next call connects and delivers."""
    with Proxy(broker.url) as proxy:
        transport = open_transport(proxy.url(broker.url))
        transport.publish([EVENT])
        assert proxy.cut() >= 1
        transport.publish([EVENT])
        transport.close()
        transport.publish([EVENT])
        transport.close()
    assert len(sent_events(broker)) == 3


@both_brokers
def test_a_broker_that_hangs_is_waited_for_no_longer_than_said(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """A link on which nothing comes any more, old or new, ends in NotDelivered within the timeouts; afterwards it delivers."""
    with Proxy(broker.url) as proxy:
        transport = open_transport(proxy.url(broker.url), timeout_seconds=0.5)
        transport.publish([EVENT])
        proxy.half_open()
        proxy.delay(3600)
        began = monotonic()
        with pytest.raises(NotDelivered) as lost:
            transport.publish([EVENT])
        assert not lost.value.refused
        assert monotonic() - began < 30, "not for as long as the broker likes"
        proxy.delay(0)
        transport.publish([EVENT])
        transport.close()


@both_brokers
def test_an_answer_that_was_lost_counts_for_nothing(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """A message whose confirmation is swallowed is sent again: at least once, never less."""
    with Proxy(broker.url) as proxy:
        transport = open_transport(proxy.url(broker.url), patience_seconds=10.0)
        transport.publish([EVENT])
        swallowed = proxy.swallow(lambda data: data.startswith(b":") if broker.url.startswith("redis") else b"\0\x3c\0\x50" in data)
        transport.publish([b'{"event_id":"2"}'])
        assert swallowed.is_set()
        transport.close()
    assert [event["event_id"] for event in sent_events(broker)] == ["1", "2", "2"]


@both_brokers
def test_a_child_leaves_its_parents_connection_alone(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """After a fork both deliver, and that the child closes ends nothing of the parent's."""
    transport = open_transport()
    transport.publish([EVENT])
    if (pid := os.fork()) == 0:
        transport.publish([EVENT])
        transport.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    connection = transport._connection
    transport.publish([EVENT])
    assert transport._connection is connection
    assert len(sent_events(broker)) == 3


@both_brokers
def test_threads_share_a_transport(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """What many threads publish at once over one transport arrives, each event once."""
    transport = open_transport()

    def publish(k: int) -> None:
        for n in range(20):
            transport.publish([b'{"event_id":"%d-%d"}' % (k, n)])

    threads = [threading.Thread(target=publish, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event["event_id"] for event in sent_events(broker)) == sorted(f"{k}-{n}" for k in range(4) for n in range(20))


@both_brokers
def test_close_ends_a_publish_that_waits(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """A call that would go on trying is ended by `close` in another thread, with NotDelivered."""
    with Proxy(broker.url) as proxy:
        proxy.refuse()
        transport, ended = open_transport(proxy.url(broker.url), patience_seconds=3600.0), list[str]()

        def wait() -> None:
            try:
                transport.publish([EVENT])
            except NotDelivered as error:
                ended.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        while not ended and thread.is_alive():
            transport.close()
        thread.join()
    assert len(ended) == 1


@both_brokers
def test_a_refused_login_is_told_at_once(broker: Broker, open_transport: Callable[..., Transport]) -> None:
    """A wrong password is nothing that another attempt helps against: NotDelivered says so without using its patience."""
    transport = open_transport(broker.url.replace("@", "x@"), patience_seconds=3600.0)
    with pytest.raises(NotDelivered) as told:
        transport.publish([EVENT])
    assert told.value.refused


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_queue_that_is_missing_is_made(rabbit: RabbitBroker, open_transport: Callable[..., Transport]) -> None:
    """A message that fits in no queue is no success: the queue is made, of the worker's kind, also where it goes missing between two calls."""
    transport = open_transport()
    for _ in range(2):
        with connected(rabbit.url) as channel:
            channel.queue_delete("usage")
        transport.publish([EVENT])
        assert rabbit.waiting("usage") == 1
    rabbit.declare()


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_login_for_the_queues_exchange_alone(rabbit: RabbitBroker, open_transport: Callable[..., Transport]) -> None:
    """A producer that may write to the exchange `usage` alone, as docs/checks.md has it, delivers; where the queue is missing it is told so."""
    control = rabbit.server.control
    control("add_user", "narrow", "password")
    control("set_permissions", "-p", "/", "narrow", "^$", "^usage$", "^$")
    try:
        with connected(rabbit.url) as channel:
            channel.exchange_declare("usage", "direct", durable=True, auto_delete=False)
            channel.queue_bind("usage", "usage", "usage")
        transport = open_transport(f"amqp://narrow:password@{rabbit.url.rpartition('@')[2]}")
        transport.publish([EVENT])
        assert len(sent_events(rabbit)) == 1
        with connected(rabbit.url) as channel:
            channel.queue_delete("usage")
        with pytest.raises(NotDelivered, match="start a worker once"):
            transport.publish([EVENT])
    finally:
        control("delete_user", "narrow")
        with connected(rabbit.url) as channel:
            channel.exchange_delete("usage")
        rabbit.declare()


@both_brokers
def test_tls_believes_only_whom_it_is_told_to(broker: Broker, open_transport: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch) -> None:
    """By TLS it delivers to a broker whose authority it is given and whose host is right; any other is a refusal that no retry follows."""
    own = find_spec("amqp.transport")
    assert own is not None
    assert own.loader is not None
    fresh = module_from_spec(own)
    own.loader.exec_module(fresh)
    # As in a producer's process: in this one another test may have started the worker's app, which sees to all TLS of its process.
    monkeypatch.setattr(SSLTransport, "_wrap_socket", fresh.SSLTransport._wrap_socket)
    with temporary_dir() as folder:
        ours, stranger = Authority(folder, "ours"), Authority(folder, "stranger")
        certificate = ours.issue("client")
        with Proxy(broker.url, tls=ours.server_context(asks=ours)) as proxy:
            good = by_tls(broker.url, HOST, proxy.port)
            shown = str(certificate)
            open_transport(good, tls=Tls(ca=str(ours.file), certificate=shown)).publish([EVENT])
            open_transport(good, tls=Tls(verify=False, certificate=shown)).publish([EVENT])
            assert len(sent_events(broker)) == 2
            for url, ca in ((good, stranger), (by_tls(broker.url, "127.0.0.1", proxy.port), ours)):
                with closing(open_transport(url, tls=Tls(ca=str(ca.file), certificate=shown), patience_seconds=3600.0)) as refused:
                    with pytest.raises(NotDelivered) as told:
                        refused.publish([EVENT])
                    assert told.value.refused


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hun/ter2@127.0.0.1:1/0",
        "redis://:12/hunter2@127.0.0.1:1/0",
        "redis://hun/ter2",
        "redis://:hun?ter2@127.0.0.1:1/0",
        "redis://:hun#ter2@127.0.0.1:1/0",
        "redis://:hun[ter2@127.0.0.1:1/0",
        "redis://:hunter2%@127.0.0.1:1/0",
        "amqp://user:12/hunter2@127.0.0.1:1/",
    ],
)
def test_a_password_that_ends_its_url_is_told_by_no_error(url: str) -> None:
    """It is refused before anything is connected, with what helps."""
    with pytest.raises(ValueError, match="%2F") as caught:
        Transport(url)
    told = "".join(traceback.format_exception(caught.value))
    assert "hun" not in told.replace("test_a_password", "")
    assert "ter2" not in told
