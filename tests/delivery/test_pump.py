"""The pump's loop on a real Valkey, with doors that fail on purpose."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from celery import Celery

from core.config import Configuration
from core.errors import Misconfigured, StorageUnavailable
from core.events.message import Message
from core.events.outcome import BatchResult, Outcome
from tests.conftest import IsolatedConfiguration
from tests.delivery.conftest import eventually
from worker.intake.pump import Pump, State
from worker.intake.redis_source import STARTS, RedisSource, connect
from worker.intake.reporter import Reporter
from worker.intake.source import BrokerUnavailable, Claim

Handle = Callable[[Sequence[Message], str], BatchResult]


class StartPump:
    """Starts pumps on the test's broker, and stops them after the test."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._started: list[Pump] = []
        self.fatal: list[str] = []

    def __call__(self, handle: Handle, **fields: object) -> Pump:
        """A started pump with this door; `fields` vary its configuration."""
        config: Configuration = IsolatedConfiguration(intake_visibility_seconds=1.0, **fields)  # type: ignore[arg-type]
        source = RedisSource(connect(self._url), ["usage.json"], worker="w@test", visibility_seconds=config.intake_visibility_seconds)
        reporter = Reporter(Celery("test", broker=self._url, set_as_current=False), "w@test", lambda: False)
        pump = Pump("test", source, handle, reporter, config, worker="w@test", ask_books=lambda: None, on_fatal=self.fatal.append)
        self._started.append(pump)
        pump.start()
        return pump

    def stop(self) -> None:
        """Stops them all."""
        for pump in self._started:
            pump.stop()
            pump.join(20)


@pytest.fixture
def start_pump(broker_url: str) -> Iterator[StartPump]:
    """Starts pumps."""
    starter = StartPump(broker_url)
    yield starter
    starter.stop()


def recorded(messages: Sequence[Message], _worker: str) -> BatchResult:
    """A door that is content with everything."""
    return BatchResult([Outcome.RECORDED] * len(messages))


def test_a_door_that_always_fails_does_not_empty_the_queue(start_pump: StartPump, queue: redis.Redis) -> None:
    """After an unexpected error the pump pauses for longer and longer, most messages stay where they are, and none is acknowledged."""
    failures: list[int] = []

    def broken(messages: Sequence[Message], _worker: str) -> BatchResult:
        failures.append(len(messages))
        raise RuntimeError("a fault of ours")

    queue.lpush("usage.json", *["{}"] * 100)
    pump = start_pump(broken, intake_batch_messages=1)
    eventually(lambda: len(failures) >= 3, "it has failed three times")
    assert pump.progress.state in (State.FAILING, State.RUNNING)
    assert queue.llen("usage.json") > 80
    assert "a fault of ours" in pump.progress.last_error
    start_pump.stop()
    claimed = [queue.llen(key) - 2 for key in queue.scan_iter("tollbook.claim:*")]  # beside the name of the queue and the number
    assert queue.llen("usage.json") + sum(claimed) == 100, "every message is there"


def test_an_absent_database_is_no_start(start_pump: StartPump, queue: redis.Redis) -> None:
    """While the database is away, the start of a claim that was taken over is taken back, so that no outage makes a crash loop."""

    def absent(_messages: Sequence[Message], _worker: str) -> BatchResult:
        raise StorageUnavailable("no answer")

    queue.rpush("tollbook.claim:dead", "usage.json", "1", "{}")
    queue.zadd("tollbook.claims", {"dead": 1})
    pump = start_pump(absent)
    eventually(lambda: pump.progress.state is State.WAITING_FOR_DATABASE, "it waits for the database")
    assert set(queue.hvals(STARTS)) == {b"0"}


def test_a_misconfigured_door_stops_the_pump_and_keeps_the_messages(start_pump: StartPump, queue: redis.Redis) -> None:
    """What only an operator can mend ends the pump once, with every message back in its queue."""

    def forbidden(_messages: Sequence[Message], _worker: str) -> BatchResult:
        raise Misconfigured("no right to insert")

    queue.lpush("usage.json", "a", "b")
    pump = start_pump(forbidden)
    pump.join(20)
    assert start_pump.fatal == ["no right to insert"]
    assert queue.lrange("usage.json", 0, -1) == [b"b", b"a"]
    assert queue.zcard("tollbook.claims") == 0


def test_odd_claims_stop_neither_takeovers_nor_claims(start_pump: StartPump, queue: redis.Redis) -> None:
    """Keys that no worker of ours wrote are told and passed over; the pump lives and the queue is emptied."""
    for name in ("odd", "odder"):
        queue.rpush(f"tollbook.claim:{name}", "x")
        queue.zadd("tollbook.claims", {name: 1})
    queue.lpush("usage.json", "{}")
    pump = start_pump(recorded)
    eventually(lambda: pump.progress.messages == 1, "the message is recorded")
    assert pump.is_alive()


def test_a_stopped_pump_claims_nothing_more(start_pump: StartPump, queue: redis.Redis) -> None:
    """A stop that comes while a batch is in hand lets this batch finish and takes no other."""
    pumps: list[Pump] = []

    def stops_meanwhile(messages: Sequence[Message], worker: str) -> BatchResult:
        eventually(lambda: pumps, "the pump is known")
        pumps[0].stop()
        return recorded(messages, worker)

    queue.rpush("tollbook.claim:dead", "usage.json", "1", "{}")
    queue.zadd("tollbook.claims", {"dead": 1})
    queue.lpush("usage.json", "{}")
    pumps.append(start_pump(stops_meanwhile))
    pumps[0].join(20)
    assert pumps[0].progress.messages == 1
    assert queue.llen("usage.json") == 1
    assert queue.zcard("tollbook.claims") == 0


def test_an_error_is_forgotten_once_work_goes_on(start_pump: StartPump, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pump waited for is told while it waits, and no longer when the broker answers again, though there is nothing to do."""
    away = [True]
    claim = RedisSource.claim

    def claims(self: RedisSource, messages_max: int, bytes_max: int) -> Claim | None:
        if away[0]:
            raise BrokerUnavailable("gone")
        return claim(self, messages_max, bytes_max)

    monkeypatch.setattr(RedisSource, "claim", claims)
    pump = start_pump(recorded)
    eventually(lambda: pump.progress.last_error == "gone", "it tells what it waits for")
    away[0] = False
    eventually(lambda: pump.progress.state is State.IDLE and pump.progress.last_error == "", "it has forgotten it")


def test_an_abandoned_batch_is_told_until_something_is_recorded(start_pump: StartPump, queue: redis.Redis) -> None:
    """An idle pump still tells of the batch that it had to leave, until one succeeds."""
    failing = [True]

    def door(messages: Sequence[Message], worker: str) -> BatchResult:
        if failing[0]:
            raise RuntimeError("a fault of ours")
        return recorded(messages, worker)

    queue.lpush("usage.json", "{}")
    pump = start_pump(door)
    eventually(lambda: pump.progress.state is State.IDLE, "it has nothing to do")
    assert pump.progress.last_error == "a fault of ours"
    failing[0] = False
    queue.lpush("usage.json", "{}")
    eventually(lambda: pump.progress.messages >= 1 and not pump.progress.last_error, "it has recorded")
