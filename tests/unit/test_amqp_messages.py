"""Messages off RabbitMQ: frames in whatever pieces they come, and what of a message is read without decoding it."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from core.events.envelope import _opened, open_envelope
from core.rejection import Rejection
from worker.amqp_transport import cure_amqp_transport
from worker.intake.amqp_frames import Content, _frames, _Tcp
from worker.intake.amqp_message import CeleryEntry

BODY = b'[[{"a": 1}], {}, {}]'
STOCK = {"content_type": "application/json", "content_encoding": "utf-8"}
CELERY = {"lang": "py", "task": "usage.record", "id": "1", "retries": 0, "timelimit": [None, None], "ignore_result": False, "stamps": {}}

cure_amqp_transport()  # as the app does


def entry(headers: dict[Any, Any] | None, **properties: Any) -> CeleryEntry:
    """A message of the queue `usage` with these properties, as a client of AMQP writes them."""
    message: Any = amqp.Message(b"", application_headers=headers, **properties)
    return CeleryEntry("usage", BODY, properties=message._serialize_properties())


@pytest.mark.parametrize(
    "headers", [CELERY, dict(sorted(CELERY.items())), CELERY | {"x": Decimal("1.5"), "b": 2**40, "at": datetime(2026, 1, 1, tzinfo=UTC)}]
)
def test_a_stock_message_is_read_without_its_envelope(headers: dict[str, Any]) -> None:
    """Of what Celery sends, in its own order of headers or in the broker's, task and body are told at once."""
    one = entry(headers, **STOCK, delivery_mode=2, priority=0, correlation_id="1", reply_to="2")
    assert one.parts() == ("usage.record", BODY, None)
    assert [bytes(argument) for argument in open_envelope(one).args] == [b'{"a": 1}']


@pytest.mark.parametrize(
    "odd",
    [
        entry(None),
        entry(CELERY | {"compression": "gzip"}, **STOCK),
        entry(CELERY | {"task": 5}, **STOCK),
        entry(CELERY | {"task": b"\xff"}, **STOCK),
        entry({"id": "1"}, **STOCK),
        entry(CELERY, **STOCK | {"content_encoding": "binary"}),
        entry(CELERY, content_type="text/plain"),
        CeleryEntry("usage", BODY),
        CeleryEntry("usage", BODY, properties=entry(CELERY, **STOCK).properties[:60]),
    ],
)
def test_anything_else_is_read_out_of_its_envelope(odd: CeleryEntry) -> None:
    """Compressed, of another type, without a task or unreadable: nothing is told at once, so that the envelope decides."""
    assert odd.parts() is None
    assert json.loads(odd.whole())["headers"].get("lang") in ("py", None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31) + 1, 2**62) | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["task", "compression", "lang", "argsrepr", "x-delivery-count"]) | st.text(max_size=12)
TEXTS = st.sampled_from([None, "application/json", "utf-8", "APPLICATION/JSON", "text/plain"])


@given(st.dictionaries(NAMES, VALUES | st.just("usage.record"), max_size=8), TEXTS, TEXTS)
def test_what_is_told_at_once_is_what_the_envelope_says(headers: dict[str, Any], content_type: str | None, content_encoding: str | None) -> None:
    """Whatever the properties are: nothing is told at once, or the same task and body as the opened envelope has."""
    one = entry(headers, content_type=content_type, content_encoding=content_encoding)
    told = one.parts()
    if told is not None:
        assert told == _opened(one.whole())


class Pieces:
    """A socket that gives what was put into it in these pieces, and then has nothing for now."""

    def __init__(self, wire: bytes, sizes: Iterator[int]) -> None:
        self._wire, self._sizes = wire, sizes

    def recv(self, size: int) -> bytes:
        """A piece."""
        piece = self._wire[: min(size, next(self._sizes))]
        if not piece:
            raise TimeoutError
        self._wire = self._wire[len(piece) :]
        return piece


def sent(channel: int, method: tuple[int, int], args: bytes, message: amqp.Message | None, wire: bytearray) -> None:
    """A method with its message, as py-amqp writes it in frames of at most 4,096 bytes."""
    connection: Any = SimpleNamespace(frame_max=4096, bytes_sent=0)
    write: Any = frame_writer(connection, SimpleNamespace(write=wire.extend))
    write(1, channel, method, args, message)


@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=4), st.lists(st.integers(1, 5000), min_size=1))
def test_frames_in_any_pieces_are_the_messages_that_were_sent(bodies: list[bytes], sizes: list[int]) -> None:
    """Deliveries and a fetched message of any size, with a heartbeat and an answer between them, arrive whole and in order."""
    wire = bytearray()
    for tag, body in enumerate(bodies):
        sent(1, amqp.spec.Basic.Deliver, dumps("sLbss", ("usage", tag, tag % 2, "", "usage")), amqp.Message(body, priority=3), wire)
        wire += b"\x08\x00\x00\x00\x00\x00\x00\xce"
    sent(1, amqp.spec.Basic.GetOk, dumps("Lbssl", (9, True, "", "usage.dead", 0)), amqp.Message(b"alone"), wire)
    sent(1, amqp.spec.Basic.ConsumeOk, dumps("s", ("usage",)), None, wire)
    seen: list[Any] = []
    connection: Any = SimpleNamespace(bytes_recv=0, on_delivery=lambda *delivery: seen.append(delivery))
    on_frame = _frames(connection, lambda *method: seen.append(method))
    transport = _Tcp("localhost")
    transport.sock = Pieces(bytes(wire), iter(sizes * (len(wire) + 1)))
    with suppress(TimeoutError):
        while True:
            on_frame(transport.read_frame())
    *deliveries, got, answer = seen
    assert deliveries == [("usage", tag, tag % 2 == 1, b"\x08\x00\x03", body) for tag, body in enumerate(bodies)]
    assert (got[1], type(got[3]), got[3].body) == (amqp.spec.Basic.GetOk, Content, b"alone")
    assert (answer[1], answer[3]) == (amqp.spec.Basic.ConsumeOk, None)
    assert connection.bytes_recv >= len(seen)
    assert not transport._ahead[transport._at :]


def test_a_closed_connection_is_an_error_and_a_silent_one_a_timeout() -> None:
    """Whoever asks for a frame learns that the broker has hung up, and that the connection is no more; silence changes nothing."""
    ours, brokers = socket.socketpair()
    transport = _Tcp("localhost")
    transport.sock, transport.connected = ours, True
    with ours, brokers:
        with pytest.raises(TimeoutError), transport.having_timeout(0.001):
            transport.read_frame()
        with pytest.raises(TimeoutError), transport.having_timeout(0):
            transport.read_frame()
        assert transport.connected
        assert not transport.has_more()
        brokers.close()
        assert transport.has_more()
        with pytest.raises(ConnectionResetError):
            transport.read_frame()
    assert not transport.connected


def test_what_is_too_large_or_broken_keeps_its_whole_envelope() -> None:
    """A stock message whose body is above 1 MiB or no Celery body is refused with its envelope, made only then."""
    for body, reason in ((b"x" * (1024 * 1024 + 1), "message_too_large"), (b"{", "malformed_message")):
        opened = open_envelope(CeleryEntry("usage", body, properties=entry(CELERY, **STOCK).properties))
        assert isinstance(opened.defect, Rejection)
        assert opened.defect.reason.value == reason
        assert json.loads(opened.entry())["headers"] == CELERY
