"""py-amqp's connection, read in large pieces and with the properties of messages left as the bytes that came.

As it comes, py-amqp asks the socket nine times for a message and makes a dictionary of its twenty headers, of which the intake needs
one: that cost more than everything else that the worker does for an event.
"""

import select
from collections.abc import Callable
from ssl import SSLWantReadError
from struct import Struct
from typing import Any

from amqp import spec
from amqp.exceptions import UnexpectedFrame
from amqp.method_framing import frame_handler
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

from worker.tls import amqp_socket

OnDelivery = Callable[[str, int, bool, bytes, bytes], None]

_READ_BYTES = 64 * 1024
_HEADER, _BODY_BYTES, _TAG = Struct(">BHI").unpack_from, Struct(">4xQ").unpack_from, Struct(">Q?").unpack_from
_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME, _FRAME_END = 1, 2, 3, 0xCE
_WITH_CONTENT = {Struct(">HH").pack(*method): method for method in (spec.Basic.Deliver, spec.Basic.GetOk, spec.Basic.Return)}


class Content:
    """A fetched or returned message, in place of py-amqp's."""

    def __init__(self, properties: bytes, body: bytes) -> None:
        self.properties, self.body = properties, body
        self.delivery_info: dict[str, Any] = {}


class _ReadingAhead:
    """A transport that reads whatever is there, up to 64 KiB, and gives frames out of it."""

    sock: Any
    connected: bool
    _ahead, _at = b"", 0

    def read_frame(self) -> tuple[int, int, bytes]:
        """The next frame: type, channel and payload. After a timeout the next call goes on where this one stopped.

        Raises:
            TimeoutError: there is no whole one yet.
            OSError, UnexpectedFrame: the connection is lost.
        """
        while True:
            ahead, at = self._ahead, self._at
            if len(ahead) - at > 7:
                kind, channel, size = _HEADER(ahead, at)
                end = at + 7 + size
                if end < len(ahead):
                    break
            self._read_on()
        if ahead[end] != _FRAME_END:
            raise UnexpectedFrame(f"a frame ends with {ahead[end]:#04x}")
        self._at = end + 1
        return kind, channel, ahead[at + 7 : end]

    def has_more(self) -> bool:
        """Whether there is something to read at once."""
        if self._at < len(self._ahead):
            return True
        at_once = select.poll()
        at_once.register(self.sock, select.POLLIN)
        return bool(at_once.poll(0))

    def _read_on(self) -> None:
        try:
            more = self.sock.recv(_READ_BYTES)
            if not more:
                raise ConnectionResetError("the broker closed the connection")
        except (TimeoutError, BlockingIOError, SSLWantReadError):  # nothing is there now
            raise
        except OSError:
            self.connected = False
            raise
        self._ahead, self._at = self._ahead[self._at :] + more, 0


class _Tcp(_ReadingAhead, TCPTransport):  # type: ignore[misc]
    pass


class _Tls(_ReadingAhead, SSLTransport):  # type: ignore[misc]
    _wrap_socket = amqp_socket


class _Connection(pyamqp.Connection):
    on_delivery: OnDelivery  # queue (the consumer's tag), delivery tag, redelivered, properties, body

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"frame_handler": _frames})

    def Transport(self, host: str, connect_timeout: Any, ssl: Any = False, *timeouts: Any, **options: Any) -> Any:  # noqa: N802 - py-amqp's name
        """What py-amqp's own `Transport` makes, reading ahead."""
        options |= zip(("read_timeout", "write_timeout"), timeouts, strict=True)
        return (_Tls if ssl else _Tcp)(host, connect_timeout=connect_timeout, ssl=ssl, **options)


class Transport(pyamqp.Transport):
    """For `kombu.Connection(transport=…)`."""

    Connection = _Connection


def _frames(connection: Any, callback: Callable[..., None]) -> Callable[[tuple[int, int, bytes]], bool]:
    """What py-amqp calls for each frame; true where it ended something. Only one channel of the connection gets messages."""
    others = frame_handler(connection, callback)
    method, properties, body, missing = b"", b"", list[bytes](), 0

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        nonlocal method, properties, body, missing
        kind, channel, payload = frame
        if kind == _METHOD_FRAME and payload[:4] in _WITH_CONTENT:
            method, body = payload, []
        elif kind == _HEADER_FRAME and method:
            (missing,), properties = _BODY_BYTES(payload), payload[12:]
        elif kind == _BODY_FRAME and method:
            body.append(payload)
            missing -= len(payload)
        else:
            return bool(others(frame))
        connection.bytes_recv += 1
        if kind == _METHOD_FRAME or missing:
            return False
        ended, method = method, b""
        whole, signature = b"".join(body), _WITH_CONTENT[ended[:4]]
        if signature is spec.Basic.Deliver:
            end = 5 + ended[4]
            connection.on_delivery(ended[5:end].decode(), *_TAG(ended, end), properties, whole)
        else:
            callback(channel, signature, ended, Content(properties, whole))
        return True

    return on_frame
