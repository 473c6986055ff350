"""Events wait in memory, bounded, and each is settled once: confirmed, or given to whoever asked for it."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tollbook_client.errors import Closed, QueueFull
from tollbook_client.journal import Journal
from tollbook_client.sending import Sender
from tollbook_client.transport import NotDelivered

from tests.delivery.conftest import eventually

Event = dict[str, Any]


class Broker:
    """Stands where the transport does: takes what it is given, refuses, or hangs."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.refusals = 0
        self.refused = 0
        self.hang = threading.Event()
        self.hang.set()
        self.closed = 0

    def publish(self, bodies: Sequence[bytes]) -> None:
        """As the transport's."""
        self.hang.wait()
        if self.refused < self.refusals:
            self.refused += 1
            raise NotDelivered("refused")
        self.taken.append([json.loads(body)["n"] for body in bodies])

    def close(self) -> None:
        """As the transport's."""
        self.closed += 1


@pytest.fixture
def broker() -> Broker:
    """One that takes everything."""
    return Broker()


@pytest.fixture
def undelivered() -> list[tuple[int, str]]:
    """What `on_error` was given."""
    return []


@pytest.fixture
def open_sender(broker: Broker, undelivered: list[tuple[int, str]]) -> Callable[..., Sender]:
    """Makes senders of the test's broker."""

    def make(**options: Any) -> Sender:
        def told(events: list[Event], error: Exception) -> None:
            undelivered.extend((event["n"], str(error)) for event in events)

        defaults: Event = {"batch_events_max": 3, "batch_seconds": 60, "queue_events_max": 100, "retry_seconds": 60, "on_error": told}
        return Sender(broker, options.pop("journal", None), **defaults | options)  # type: ignore[arg-type]

    return make


def put(sender: Sender, *numbers: int, wait_seconds: float = 0.0) -> None:
    """Has the sender send events with these numbers."""
    sender.put(len(numbers), lambda: [b'{"n":%d}' % n for n in numbers], wait_seconds)


def test_a_batch_leaves_when_it_is_full_or_wanted(broker: Broker, open_sender: Callable[..., Sender]) -> None:
    """In the order in which they were put; `flush` and `close` don't wait for a batch to fill."""
    sender = open_sender()
    put(sender, 1, 2)
    put(sender, 3, 4)
    eventually(lambda: broker.taken == [[1, 2, 3]], "a full batch leaves by itself")
    assert sender.flush(30)
    assert broker.taken == [[1, 2, 3], [4]]
    put(sender, *range(5, 10))
    sender.close(30)
    assert broker.taken[2:] == [[5, 6, 7], [8, 9]]
    assert broker.closed == 1
    quick = open_sender(batch_seconds=0.01)
    put(quick, 10)
    eventually(lambda: broker.taken[-1] == [10], "its time comes")
    quick.close(30)


def test_a_full_queue_is_the_callers_error(broker: Broker, open_sender: Callable[..., Sender]) -> None:
    """Whoever finds no room waits for it; then nothing of what he put was taken over. What is on its way counts."""
    sender = open_sender(queue_events_max=4)
    broker.hang.clear()
    put(sender, 1, 2, 3)
    with pytest.raises(QueueFull, match="3 events wait"):
        put(sender, 4, 5, wait_seconds=0.01)
    with pytest.raises(QueueFull, match="5 events at once"):
        put(sender, *range(5), wait_seconds=600)
    waiting = threading.Thread(target=put, args=(sender, 4, 5), kwargs={"wait_seconds": 600})
    waiting.start()
    broker.hang.set()
    waiting.join(30)
    sender.close(30)
    assert sorted(n for batch in broker.taken for n in batch) == [1, 2, 3, 4, 5]
    with pytest.raises(Closed):
        put(sender, 6)


def test_a_broker_that_refuses_for_a_while_gets_it_later(broker: Broker, open_sender: Callable[..., Sender], undelivered: list[Any]) -> None:
    """The same batch is sent again until it is taken, and the next ones after it."""
    broker.refusals = 3
    sender = open_sender()
    put(sender, *range(6))
    assert sender.flush(60)
    assert (broker.taken, undelivered) == ([[0, 1, 2], [3, 4, 5]], [])
    sender.close(30)


def test_what_is_not_taken_in_time_is_given_back(broker: Broker, open_sender: Callable[..., Sender], undelivered: list[Any]) -> None:
    """Once, with the reason; and the next ones are tried all the same."""
    broker.refusals = 1
    sender = open_sender(retry_seconds=0)
    put(sender, *range(6))
    assert sender.flush(30)
    assert (undelivered, broker.taken) == ([(0, "refused"), (1, "refused"), (2, "refused")], [[3, 4, 5]])
    sender.close(30)


def test_what_hangs_at_the_end_is_given_back_once(broker: Broker, open_sender: Callable[..., Sender], undelivered: list[Any]) -> None:
    """Also the batch that is on its way, whose fate nobody knows; when the broker answers after all it isn't settled a second time."""
    sender = open_sender()
    broker.hang.clear()
    put(sender, *range(5))
    assert not sender.flush(0.01)
    sender.close(0.01)
    assert sorted(n for n, _ in undelivered) == [0, 1, 2, 3, 4]
    broker.hang.set()
    eventually(lambda: broker.closed, "the thread ends")
    sender.close(30)
    assert (broker.taken, len(undelivered)) == ([[0, 1, 2]], 5)


def test_an_on_error_that_fails_loses_nothing(broker: Broker, open_sender: Callable[..., Sender], caplog: pytest.LogCaptureFixture) -> None:
    """The events are logged whole, as they are where nobody asks for them, and sending goes on."""

    def failing(*_: object) -> None:
        raise RuntimeError("no disk either")

    for on_error in (failing, None):
        broker.refused, broker.refusals = 0, 1
        sender = open_sender(retry_seconds=0, on_error=on_error)
        with caplog.at_level(logging.ERROR, "tollbook_client"):
            put(sender, 1, 2)
            sender.close(30)
            assert [record.getMessage() for record in caplog.records if "not delivered" in record.getMessage()] == [
                'event not delivered (refused): {"n": 1}',
                'event not delivered (refused): {"n": 2}',
            ]
        caplog.clear()


def test_nothing_is_sent_that_is_not_in_the_journal(
    broker: Broker, open_sender: Callable[..., Sender], undelivered: list[Any], tmp_path: Path
) -> None:
    """Each event stands there once, however often it is sent; where it can't be written it is given back, unsent."""
    broker.refusals = 2
    path = tmp_path / "sent.jsonl"
    sender = open_sender(journal=Journal(path))
    put(sender, 1, 2)
    sender.close(30)
    assert (path.read_text().splitlines(), broker.taken) == (['{"n":1}', '{"n":2}'], [[1, 2]])
    folder = tmp_path / "gone"
    folder.mkdir()
    without = open_sender(journal=Journal(folder / "sent.jsonl"), retry_seconds=0)
    (folder / "sent.jsonl").unlink()
    folder.rmdir()
    put(without, 3)
    without.close(30)
    assert [n for n, error in undelivered if "No such file" in error] == [3]
    assert broker.taken == [[1, 2]]


def test_a_sender_that_is_dropped_still_sends(broker: Broker, open_sender: Callable[..., Sender]) -> None:
    """Nobody waits for it, but what it had is sent, and its thread ends."""
    sender = open_sender()
    put(sender, 1)
    sender.retire()
    eventually(lambda: broker.closed, "the thread ends")
    assert broker.taken == [[1]]
