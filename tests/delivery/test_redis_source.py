"""Claims over the lists of a real Valkey."""

from collections.abc import Callable

import pytest
import redis

from lab.process import temporary_dir
from lab.valkey import ValkeyServer
from worker.intake.redis_source import RedisSource, connect
from worker.intake.source import BrokerUnavailable, Claim


@pytest.fixture
def source(broker_url: str) -> Callable[..., RedisSource]:
    """Makes sources of the test's broker."""

    def make(queues: tuple[str, ...] = ("usage", "usage.json"), visibility_seconds: float = 60.0) -> RedisSource:
        return RedisSource(connect(broker_url), queues, worker="w@test", visibility_seconds=visibility_seconds)

    return make


def bodies(claim: Claim | None) -> list[bytes]:
    """The messages of a claim."""
    return [entry.body for entry in claim.entries] if claim else []


def test_a_claim_takes_the_oldest_messages_and_holds_them(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """What is claimed is in no queue any more, but in the claim, in the order it was pushed."""
    queue.lpush("usage", "a", "b", "c")
    claim = source().claim(2, 1000)
    assert bodies(claim) == [b"a", b"b"]
    assert queue.lrange("usage", 0, -1) == [b"c"]
    assert claim
    assert queue.lrange(f"tollbook.claim:{claim.id}", 0, -1) == [b"usage", b"2", b"a", b"b"]


def test_a_claim_serves_every_priority_and_both_queues(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """The lists that kombu makes for priorities are emptied like the queue itself, each entry with its queue's name."""
    queue.lpush("usage", "plain")
    queue.lpush("usage\x06\x169", "low")
    queue.lpush("usage.json", "{}")
    claim = source().claim(10, 1000)
    assert claim
    assert {(e.queue, e.body) for e in claim.entries} == {("usage", b"plain"), ("usage", b"low"), ("usage.json", b"{}")}


def test_a_claim_stops_at_the_message_that_reaches_the_byte_limit(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Large messages make a small claim, and even one beyond the limit is taken alone."""
    queue.lpush("usage", "x" * 60, "y" * 60, "z")
    assert bodies(source().claim(10, 100)) == [b"x" * 60, b"y" * 60]
    queue.lpush("usage", "w" * 500)
    assert bodies(source().claim(10, 100)) == [b"z", b"w" * 500]


def test_a_lost_reply_is_asked_for_again(source: Callable[..., RedisSource], queue: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim whose reply never arrived is returned by the next call, and nothing more is taken."""
    queue.lpush("usage", "a", "b")
    one = source()
    script = one._claim_script

    def answer_is_lost(**arguments: object) -> None:
        script(**arguments)
        raise redis.ConnectionError("reset by peer")

    monkeypatch.setattr(one, "_claim_script", answer_is_lost)
    with pytest.raises(BrokerUnavailable):
        one.claim(1, 1000)
    monkeypatch.setattr(one, "_claim_script", script)
    assert bodies(one.claim(5, 1000)) == [b"a"]
    assert queue.zcard("tollbook.claims") == 1


def test_acknowledging_removes_every_trace(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """After the acknowledgement, which may be repeated, the broker holds nothing of the claim."""
    queue.lpush("usage", "a")
    one = source()
    claim = one.claim(5, 1000)
    assert claim
    one.acknowledge(claim)
    one.acknowledge(claim)
    assert queue.keys("*") == []


def test_giving_back_puts_the_messages_next_in_turn(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Messages given back are claimed before those that came later, in their old order; a repetition changes nothing."""
    queue.lpush("usage", "a", "b")
    one = source()
    claim = one.claim(5, 1000)
    assert claim
    queue.lpush("usage", "c")
    one.give_back(claim)
    one.give_back(claim)
    assert bodies(one.claim(5, 1000)) == [b"a", b"b", b"c"]


def test_a_silent_claim_is_taken_over_and_a_live_one_is_not(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Only a claim without a sign of life for the visibility time changes hands, with all of its messages."""
    queue.lpush("usage", "a", "b")
    claim = source().claim(5, 1000)
    assert claim
    assert source().take_over() is None
    queue.zadd("tollbook.claims", {claim.id: 1})
    taken = source().take_over()
    assert taken
    assert (bodies(taken), taken.taken_over, taken.starts) == ([b"a", b"b"], True, 0)
    assert source().take_over() is None
    queue.zadd("tollbook.claims", {taken.id: 1})
    source().touch(taken)
    assert source().take_over() is None


def test_starts_are_counted_outside_of_the_process(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Each takeover counts a start, and tells who takes the claim how many there were; an excused start doesn't count."""
    queue.lpush("usage", "a")
    claim = source().claim(5, 1000)
    for starts in (0, 1, 2):
        assert claim
        queue.zadd("tollbook.claims", {claim.id: 1})
        claim = source().take_over()
        assert claim
        assert claim.starts == starts
    assert claim
    source().excuse(claim)
    queue.zadd("tollbook.claims", {claim.id: 1})
    claim = source().take_over()
    assert claim
    assert claim.starts == 2
    source().acknowledge(claim)
    assert queue.keys("*") == []


def test_a_split_claim_comes_back_message_by_message(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Splitting makes claims of one message that can be taken over at once, each with its queue, and loses none."""
    queue.lpush("usage", "a", "b")
    queue.lpush("usage.json", "c")
    claim = source().claim(5, 1000)
    assert claim
    source().split(claim)
    singles = [source().take_over() for _ in range(3)]
    assert sorted((e.queue, e.body) for s in singles if s for e in s.entries) == [("usage", b"a"), ("usage", b"b"), ("usage.json", b"c")]
    assert source().take_over() is None


def test_a_list_of_a_wrong_type_harms_no_other(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """A key that is no list is left alone; the other queues are served and nothing is lost."""
    queue.lpush("usage", "a")
    queue.set("usage.json", "no list")
    claim = source().claim(5, 1000)
    assert bodies(claim) == [b"a"]
    assert claim
    assert queue.llen(f"tollbook.claim:{claim.id}") == 3


def test_an_old_holder_can_do_no_harm_after_a_takeover(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """Acknowledging, touching and giving back a claim that somebody took over hits nothing: the taker's messages stay claimed."""
    queue.lpush("usage", "a")
    old = source()
    lost = old.claim(5, 1000)
    assert lost
    queue.zadd("tollbook.claims", {lost.id: 1})
    taken = source().take_over()
    assert taken
    assert taken.id != lost.id
    old.touch(lost)
    old.give_back(lost)
    old.acknowledge(lost)
    assert queue.llen("usage") == 0
    assert queue.zrange("tollbook.claims", 0, -1) == [taken.id.encode()]
    assert queue.lrange(f"tollbook.claim:{taken.id}", 0, -1) == [b"usage", b"1", b"a"]


def test_a_strange_key_among_the_claims_blocks_nobody(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """What is no claim is a named error at its turn, and the dead worker's claim behind it is taken over next."""
    queue.lpush("usage", "a")
    claim = source().claim(5, 1000)
    assert claim
    queue.set("tollbook.claim:text", "no list")
    queue.rpush("tollbook.claim:odd", "x")
    queue.zadd("tollbook.claims", {"text": 1, "odd": 2, claim.id: 3})
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            source().take_over()
    assert bodies(source().take_over()) == [b"a"]


def test_a_broker_that_refuses_writes_is_not_an_empty_queue(source: Callable[..., RedisSource], queue: redis.Redis) -> None:
    """On a read-only replica claiming is an error to wait for, not an idle queue; nothing is taken."""
    queue.lpush("usage", "a")
    queue.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(BrokerUnavailable, match="replica"):
            source().claim(5, 1000)
    finally:
        queue.replicaof("NO", "ONE")
    assert bodies(source().claim(5, 1000)) == [b"a"]


def test_a_broker_whose_memory_is_full_is_still_drained() -> None:
    """At `maxmemory` with `noeviction`, when every other write is refused, messages can be claimed, kept alive, given back and acknowledged."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="no")
        server.start()
        try:
            client = connect(server.url())
            client.lpush("usage", *[b"x" * 1000] * 200)
            client.config_set("maxmemory", "1kb")
            with pytest.raises(redis.RedisError):
                client.set("any", "other write")
            one = RedisSource(client, ["usage"], worker="w@test", visibility_seconds=60)
            drained = 0
            given_back = one.claim(50, 10**6)
            assert given_back
            one.touch(given_back)
            one.give_back(given_back)
            while claim := one.claim(50, 10**6):
                drained += len(claim.entries)
                one.acknowledge(claim)
            assert drained == 200
            client.close()
        finally:
            server.stop()
