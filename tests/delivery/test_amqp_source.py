"""Claims over the queues of a real RabbitMQ."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest

from core.errors import Misconfigured
from core.events.envelope import QueueEntry, open_envelope
from lab.proxy import Proxy
from tests.certificates import HOST, Authority, by_tls
from tests.delivery.brokers import RabbitBroker
from tests.delivery.conftest import eventually
from worker.amqp_transport import cure_amqp_transport
from worker.intake.amqp_connection import connected, publish_confirmed
from worker.intake.amqp_source import REDELIVERIES_MAX, AmqpSource
from worker.intake.source import BrokerUnavailable, Claim

MakeSource = Callable[..., AmqpSource]

pytestmark = pytest.mark.parametrize("broker_kind", ["rabbitmq"])


@pytest.fixture
def source(rabbit: RabbitBroker) -> Iterator[MakeSource]:
    """Makes sources of the test's broker, closed after the test."""
    made: list[AmqpSource] = []

    def make(url: str = rabbit.url, prefetch_messages: int = 100, may_start: Callable[[], bool] = lambda: True) -> AmqpSource:
        options: dict[str, Any] = {"worker": "w@test", "visibility_seconds": 60.0, "prefetch_messages": prefetch_messages, "may_start": may_start}
        made.append(AmqpSource(url, ["usage", "usage.json"], **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def claimed(source: AmqpSource, messages_max: int = 100, bytes_max: int = 10_000) -> Claim:
    """The next claim, as soon as something is there."""
    claim: Claim = eventually(lambda: source.claim(messages_max, bytes_max), "something is claimed")
    return claim


def bodies(claim: Claim | None) -> list[bytes]:
    """The messages of a claim."""
    return [entry.body for entry in claim.entries] if claim else []


def redelivered(rabbit: RabbitBroker, source: MakeSource, times: int) -> None:
    """Whatever waits is delivered so many times and given back."""
    for _ in range(times):
        one = source()
        eventually(lambda: bodies(one.claim(100, 10_000)), "it is delivered")  # noqa: B023 - used at once
        one.close()
        eventually(lambda: rabbit.in_hand() == 0, "it is back")


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        ("a classic queue", "`tollbook intake migrate usage`"),
        ("the password", "refuses the login"),
        ("the virtual host", "refuses the virtual host"),
    ],
)
@pytest.mark.parametrize("asks", ["claim", "take_over"])
def test_a_refusal_at_the_first_contact_is_the_operators(source: MakeSource, rabbit: RabbitBroker, refuses: str, says: str, asks: str) -> None:
    """Whoever started while the broker was away, and so unchecked, ends at the first refusal that only an operator can lift."""
    url = rabbit.url
    if refuses == "a classic queue":
        with connected(url) as channel:
            channel.queue_delete("usage")
            channel.queue_declare("usage", durable=True, auto_delete=False)
    elif refuses == "the password":
        url = url.replace("guest:", "guest:not", 1)
    else:
        url = url.rstrip("/") + "/nowhere"
    one = source(url)
    with pytest.raises(Misconfigured, match=says):
        one.claim(100, 10_000) if asks == "claim" else one.take_over()


def test_somebody_else_in_the_brokers_place_at_the_first_contact_is_outwaited(source: MakeSource, rabbit: RabbitBroker, tmp_path: Path) -> None:
    """A certificate of a stranger is no word of the broker, which may come back: nothing ends, and nothing is claimed."""
    with Proxy(rabbit.url, tls=Authority(tmp_path, "stranger").server_context()) as proxy:
        one = source(by_tls(rabbit.url, HOST, proxy.port))
        for asks in (one.take_over, lambda: one.claim(100, 10_000)):
            with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                asks()


def test_a_claim_takes_the_oldest_messages_and_the_broker_keeps_them(source: MakeSource, rabbit: RabbitBroker) -> None:
    """Messages are claimed in the order in which they came, up to the limits, and are the broker's until they are acknowledged."""
    rabbit.put("usage.json", b"a" * 60, b"b" * 60, b"c")
    one = source()
    first = claimed(one, bytes_max=100)
    assert bodies(first) == [b"a" * 60, b"b" * 60]
    assert rabbit.in_hand() == 3
    one.acknowledge(first)
    assert bodies(claimed(one)) == [b"c"]
    eventually(lambda: rabbit.in_hand() == 1, "the others are acknowledged")


def test_acknowledging_removes_a_claim_and_nothing_else(source: MakeSource, rabbit: RabbitBroker) -> None:
    """What was delivered ahead of the claim's end stays, and a repetition changes nothing."""
    rabbit.put("usage.json", *[b"%d" % n for n in range(10)])
    one = source()
    first = claimed(one, messages_max=4)
    one.acknowledge(first)
    one.acknowledge(first)
    one.close()
    eventually(lambda: rabbit.waiting("usage.json") == 6, "six are left")
    assert bodies(claimed(source())) == [b"%d" % n for n in range(4, 10)]


def test_an_abandoned_claim_is_never_acknowledged_with_a_later_one(source: MakeSource, rabbit: RabbitBroker) -> None:
    """A claim that nobody acknowledged or gave back comes again before the next messages, however many are settled after it."""
    rabbit.put("usage.json", b"a", b"b", b"c", b"d")
    one = source()
    assert bodies(claimed(one, messages_max=2)) == [b"a", b"b"]
    seen: list[bytes] = []
    while len(seen) < 4:
        again = claimed(one)
        seen += bodies(again)
        one.acknowledge(again)
    assert sorted(seen) == [b"a", b"b", b"c", b"d"]
    eventually(rabbit.is_drained, "everything is acknowledged")


def test_a_claim_whose_connection_is_lost_comes_again(source: MakeSource, rabbit: RabbitBroker) -> None:
    """Between claim and acknowledgement the broker closes the connection: acknowledging hits nothing, and the messages are delivered anew."""
    rabbit.put("usage.json", b"a", b"b")
    one, other = source(), source()
    lost = claimed(one)
    rabbit.server.control("close_all_connections", "test")
    again = claimed(other)
    assert bodies(again) == bodies(lost)
    for _ in range(2):
        try:
            one.acknowledge(lost)
        except BrokerUnavailable:
            continue
    other.acknowledge(again)
    eventually(rabbit.is_drained, "everything is acknowledged once")
    other.close()
    rabbit.put("usage.json", b"c")
    eventually(lambda: _without_error(one) == [b"c"], "the first one goes on")


def _without_error(source: AmqpSource) -> list[bytes]:
    try:
        return bodies(source.claim(10, 10_000))
    except BrokerUnavailable:
        return []


def test_giving_back_works_from_another_thread(source: MakeSource, rabbit: RabbitBroker) -> None:
    """Messages given back wait again at once, in their old order, also what was delivered ahead of them; a repetition changes nothing."""
    rabbit.put("usage.json", b"a", b"b", b"c")
    one = source()
    claim = claimed(one, messages_max=2)
    for _ in range(2):
        giving = threading.Thread(target=one.give_back, args=[claim])
        giving.start()
        giving.join()
    eventually(lambda: rabbit.waiting("usage.json") == 3, "they wait again")
    assert bodies(claimed(source())) == [b"a", b"b", b"c"]


def test_a_sign_of_life_is_sent_for_the_claim_in_hand(source: MakeSource, rabbit: RabbitBroker) -> None:
    """A touch reaches the broker; once the connection is gone, it is an error or nothing, and the claim is no longer in hand."""
    rabbit.put("usage.json", b"a")
    with Proxy(rabbit.url) as proxy:
        one = source(proxy.url(rabbit.url))
        claim = claimed(one)
        one.touch(claim)
        proxy.refuse()

        def is_lost() -> bool:
            try:
                one.touch(claim)
            except BrokerUnavailable:
                return True
            return False

        eventually(is_lost, "the loss is noticed")
        one.touch(claim)
        one.acknowledge(claim)
    eventually(lambda: rabbit.waiting("usage.json") == 1, "the message waits again")


def test_a_message_redelivered_too_often_is_taken_alone_and_its_starts_are_counted(source: MakeSource, rabbit: RabbitBroker) -> None:
    """After three redeliveries a message goes into the dead-letter queue of its queue; from there it comes alone, and each delivery counts."""
    rabbit.put("usage.json", b"suspect")
    redelivered(rabbit, source, REDELIVERIES_MAX + 1)
    rabbit.put("usage.json", b"innocent")
    one = source()
    claim = claimed(one)
    assert bodies(claim) == [b"innocent"]
    one.acknowledge(claim)
    assert rabbit.waiting("usage.json.dead") == 1
    for starts in range(3):
        alone = source().take_over()
        assert alone
        assert (bodies(alone), alone.entries[0].queue, alone.taken_over, alone.starts) == ([b"suspect"], "usage.json", True, starts)
        rabbit.server.control("close_all_connections", "the worker dies")
        eventually(lambda: rabbit.waiting("usage.json.dead") == 1, "it waits again")
    last = source()
    alone = last.take_over()
    assert alone
    last.acknowledge(alone)
    last.close()
    eventually(rabbit.is_drained, "everything is acknowledged")


def test_no_start_is_counted_while_work_can_not_be_done(source: MakeSource, rabbit: RabbitBroker) -> None:
    """While the database is away nothing is taken out of a dead-letter queue, so that no outage makes a crash loop."""
    rabbit.put("usage.json.dead", b"a")
    assert source(may_start=lambda: False).take_over() is None
    claim = source().take_over()
    assert claim
    assert claim.starts == 0


def test_each_call_waits_for_the_confirmations_of_its_own_messages(rabbit: RabbitBroker) -> None:
    """Several calls over one channel: each returns, and no earlier than the broker has confirmed what that call published."""
    with connected(rabbit.url) as channel:
        for number in range(1, 4):
            publish_confirmed(channel, [("usage.json", amqp.Message(b"a"))], seconds=5)
            assert rabbit.waiting("usage.json") == number


def test_a_producer_can_not_pretend_deliveries(source: MakeSource, rabbit: RabbitBroker) -> None:
    """The header in which the broker counts is the broker's: what a producer writes there changes nothing."""
    with connected(rabbit.url) as channel:
        publish_confirmed(channel, [("usage.json", amqp.Message(b"a", application_headers={"x-delivery-count": 99}))])
    assert bodies(claimed(source())) == [b"a"]


def test_what_can_not_be_put_aside_holds_nobody_up(source: MakeSource, rabbit: RabbitBroker) -> None:
    """While the broker's memory is full it takes no message: suspects stay where they are, unacknowledged, and the others are drained."""
    rabbit.put("usage.json", b"suspect")
    redelivered(rabbit, source, REDELIVERIES_MAX + 1)
    rabbit.put("usage.json", b"a", b"b")
    alarm = "{{resource_limit, memory, node()}, []}"
    rabbit.server.control("eval", f"rabbit_alarm:set_alarm({alarm}).")
    try:
        one = source()
        claim = claimed(one)
        assert bodies(claim) == [b"a", b"b"]
        one.acknowledge(claim)
        eventually(lambda: rabbit.in_hand() == 1, "the suspect alone is left")
    finally:
        rabbit.server.control("eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")
    one.close()
    later = source()
    eventually(lambda: later.claim(10, 1000) is None and rabbit.waiting("usage.json.dead") >= 1, "it is put aside")


def test_what_the_client_library_can_not_read_is_a_message_with_a_defect(source: MakeSource, rabbit: RabbitBroker) -> None:
    """A content type that is not UTF-8 and headers that JSON doesn't have cost nobody but the message itself."""
    cure_amqp_transport()

    class Odd(amqp.Message):
        def _serialize_properties(self) -> bytes:
            return bytes(super()._serialize_properties().replace(b"ODD", b"\xff\xfe\xff"))  # type: ignore[misc]

    odd = [
        Odd(b"x", content_type="ODD"),
        amqp.Message(b"x", content_type="application/json", application_headers={"task": 5, "bytes": b"\xff", "text": "\udcff"}),
        amqp.Message(b"", content_type="application/json", application_headers={"task": "usage.record"}),
    ]
    with connected(rabbit.url) as channel:
        publish_confirmed(channel, [("usage", message) for message in odd])
    one = source()
    entries: list[QueueEntry] = []
    while len(entries) < 3:
        claim = claimed(one)
        entries += claim.entries
        one.acknowledge(claim)
    defects = [open_envelope(entry).defect for entry in entries]
    assert [defect.reason.value for defect in defects if defect] == ["unsupported_content", "malformed_message", "malformed_message"]
