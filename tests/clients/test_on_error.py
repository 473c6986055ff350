"""Nothing that `on_error` does ends the thread that sends, or holds it up."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from tollbook_client.sending import Sender
from tollbook_client.transport import Transport

NOBODY = "redis://127.0.0.1:1/0"
Told = list[dict[str, Any]]


@pytest.fixture
def told() -> Told:
    """What `on_error` was given."""
    return []


@pytest.fixture
def open_sender(told: Told) -> Callable[[Callable[[], object]], Sender]:
    """Makes a sender whose broker is away, and whose `on_error` does something of its own."""

    def make(then: Callable[[], object]) -> Sender:
        def on_error(events: Told, _: Exception) -> None:
            told.extend(events)
            then()

        transport = Transport(NOBODY, patience_seconds=0)
        return Sender(transport, None, batch_events_max=1, batch_seconds=0, queue_events_max=10, retry_seconds=0, on_error=on_error)

    return make


def put(sender: Sender, event_id: str) -> None:
    """Has an event sent."""
    sender.put(1, lambda: [b'{"event_id":"%s"}' % event_id.encode()], 0)


def test_an_exit_in_on_error_ends_nothing(open_sender: Callable[[Callable[[], object]], Sender], told: Told) -> None:
    """`sys.exit` would end the sending thread alone, which nobody would notice: what is recorded afterwards is settled all the same."""
    sender = open_sender(lambda: sys.exit(1))
    for event_id in ("first", "second"):
        put(sender, event_id)
        assert sender.flush(20)
    sender.close(0)
    assert [event["event_id"] for event in told] == ["first", "second"]


def test_on_error_may_flush_and_close(open_sender: Callable[[Callable[[], object]], Sender], told: Told) -> None:
    """It is what a flush waits for, so that one within it can't: it says so at once."""
    flushed: list[bool] = []

    def flush_and_close() -> None:
        flushed.append(sender.flush(None))
        sender.close(60)

    sender = open_sender(flush_and_close)
    put(sender, "first")
    assert sender.flush(20)
    assert (flushed, [event["event_id"] for event in told]) == ([False], ["first"])
