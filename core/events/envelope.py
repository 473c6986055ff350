"""From a queue entry's bytes to a message: Celery's protocol 2 and 1 in kombu's envelope, decoded without kombu.

Anything else (no JSON, foreign content types, compressed or oversized bodies) becomes a message with a defect, so that
it goes the same way to the dead letters as an event that can't be recorded.
"""

import binascii
from typing import Any, Literal, NamedTuple

import msgspec

from core.events.message import RECORD, Message, called_with, message_with, told_on
from core.printable import shown
from core.rejection import Reason, Rejection

PLAIN_QUEUE = "usage.json"
MESSAGE_BYTES_MAX = 1024 * 1024
_ENTRY_BYTES_MAX = MESSAGE_BYTES_MAX * 4 // 3 + 64 * 1024  # base64, and generous headers


class _Headers(msgspec.Struct, gc=False):
    task: str | None = None
    compression: str | None = None


class _Properties(msgspec.Struct, gc=False):
    body_encoding: str | None = None
    reply_to: Any = None


class _Envelope(msgspec.Struct, rename="kebab", gc=False):
    body: str
    content_type: str = "application/json"
    content_encoding: str | None = "utf-8"
    headers: _Headers = msgspec.field(default_factory=_Headers)
    properties: _Properties = msgspec.field(default_factory=_Properties)


class _StockHeaders(msgspec.Struct, gc=False):
    task: str
    compression: None = None


class _StockProperties(msgspec.Struct, gc=False):
    body_encoding: Literal["base64"]
    reply_to: str | None = None


class _StockEnvelope(msgspec.Struct, rename="kebab", gc=False):
    """What every stock producer sends: read with its base64 in one go."""

    body: bytes
    content_type: Literal["application/json"]
    content_encoding: Literal["utf-8"]
    headers: _StockHeaders
    properties: _StockProperties


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_STOCK = msgspec.json.Decoder(_StockEnvelope)
_NOT_READ = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Parts(NamedTuple):
    """What of a Celery message the intake needs: its task (none in protocol 1), its body, and the queue on which its sender wants answers."""

    task: str | None
    body: bytes
    reply_to: object = None


class QueueEntry(msgspec.Struct, frozen=True, gc=False):
    """One queue entry as it came off the broker; `reply_to` is what its properties name, where these aren't part of the body."""

    queue: str
    body: bytes
    reply_to: str | None = None

    def whole(self) -> bytes:
        """All of it, for the dead letter of what can't be read."""
        return self.body

    def parts(self) -> Parts | None:
        """The parts of a Celery message in ordinary form; where it isn't one for certain, none, and `whole` is to be opened."""
        if len(self.body) > _ENTRY_BYTES_MAX:
            return None
        try:
            stock = _STOCK.decode(self.body)
        except _NOT_READ:
            return None
        return Parts(stock.headers.task, stock.body, stock.properties.reply_to)


def open_entry(entry: QueueEntry) -> Message:
    """The message in a queue entry, plain JSON or Celery's; never raises: what can't be read is a message with a defect."""
    return _plain_message(entry) if entry.queue == PLAIN_QUEUE else open_envelope(entry)


def open_kept(queue: str, task: str, body: bytes) -> Message:
    """The message that a dead letter keeps whole, out of a queue entry or of what Celery itself called `task` with; never raises."""
    if not queue and not body.startswith(b'{"body":'):
        return called_with(body, task)
    return open_entry(QueueEntry(queue, body))


def open_envelope(entry: QueueEntry) -> Message:
    """The Celery message in a queue entry; never raises."""
    try:
        task, body, reply_to = _parts(entry)
    except Rejection as refusal:
        defect = refusal
    except _NOT_READ as error:
        defect = Rejection(Reason.MALFORMED_MESSAGE, f"is not a Celery message: {shown(str(error))}")
    else:
        return message_with(entry.queue, entry.whole, task, body, RECORD, told_on(reply_to))
    return Message(entry.queue, entry.whole, RECORD, defect=defect, told_on=told_on(entry.reply_to))


def _plain_message(entry: QueueEntry) -> Message:
    """The plain JSON in a queue entry; never raises."""
    defect = None
    if len(entry.body) > MESSAGE_BYTES_MAX:
        defect = Rejection(Reason.MESSAGE_TOO_LARGE, f"{len(entry.body)} bytes; at most {MESSAGE_BYTES_MAX} are accepted")
    return Message(entry.queue, entry.whole, RECORD, plain=True, defect=defect, told_on=told_on(entry.reply_to))


def _parts(entry: QueueEntry) -> Parts:
    parts = entry.parts() or _opened(entry.whole())
    if len(parts.body) > MESSAGE_BYTES_MAX:
        raise Rejection(Reason.MESSAGE_TOO_LARGE, f"{len(parts.body)} bytes; a body of at most {MESSAGE_BYTES_MAX} is accepted")
    return parts


def _opened(entry: bytes) -> Parts:
    """The parts out of kombu's envelope."""
    if len(entry) > _ENTRY_BYTES_MAX:
        raise Rejection(Reason.MESSAGE_TOO_LARGE, f"{len(entry)} bytes; a body of at most {MESSAGE_BYTES_MAX} is accepted")
    envelope = _ENVELOPE.decode(entry)
    if envelope.headers.compression:
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"the body is compressed ({shown(envelope.headers.compression)})")
    if envelope.content_type.lower() != "application/json":
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"content type is not application/json (got {shown(envelope.content_type)})")
    if (envelope.content_encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"content encoding is not utf-8 (got {shown(envelope.content_encoding)})")
    return Parts(envelope.headers.task, _body(envelope), envelope.properties.reply_to)


def _body(envelope: _Envelope) -> bytes:
    encoding = envelope.properties.body_encoding
    if encoding in (None, "utf-8", ""):
        return envelope.body.encode("utf-8", "surrogatepass")
    if encoding != "base64":
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"body encoding is neither base64 nor utf-8 (got {shown(encoding)})")
    try:
        return binascii.a2b_base64(envelope.body, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Rejection(Reason.MALFORMED_MESSAGE, "the body is not base64") from None
