"""What came off a RabbitMQ queue. Its envelope, in the form in which kombu puts a message into Redis, is made where somebody asks for it."""

import json
from struct import Struct, error
from typing import Any

import amqp
import msgspec
from amqp import serialization, spec

from core.events.envelope import Parts, QueueEntry

OUTCOMES = b"tollbook.outcomes."

# Headers that the broker itself adds, other ones at each delivery: without them a redelivered message has the same bytes.
_BROKERS_HEADERS = ("x-delivery-count", "x-death", "x-first-death-", "x-last-death-")

# What every stock Celery producer's properties begin with: flags that say so, content type, content encoding. Then come the headers.
_FLAGS, _STOCK = 0b1110_0000, b"\x10application/json\x05utf-8"
_LENGTH = Struct(">I").unpack_from
_LONG_STRING = ord("S")
_SIZES = dict.fromkeys(b"tbB", 1) | dict.fromkeys(b"sUu", 2) | dict.fromkeys(b"Iif", 4) | dict.fromkeys(b"LldT", 8) | {ord("D"): 5, ord("V"): 0}


class CeleryEntry(QueueEntry, frozen=True, gc=False):
    """A message of the queue `usage`: its body, and its properties as the bytes that came."""

    properties: bytes = b""

    def whole(self) -> bytes:
        """See `QueueEntry`: kombu's envelope."""
        return _envelope(read_properties(self.properties), self.body)

    def parts(self) -> Parts | None:
        """See `QueueEntry`: those of what a stock producer sends, with nothing else of its twenty headers read."""
        try:
            task = _stock_task(self.properties)
        except (error, IndexError, KeyError, UnicodeDecodeError):
            return None
        return None if task is None else Parts(task, self.body, self.reply_to)


def entry_of(queue: str, properties: bytes, body: bytes) -> QueueEntry:
    """What came off a queue; the property `reply_to` is read only where it may name a queue for outcomes, since all stock producers send one."""
    reply_to = read_properties(properties).get("reply_to") if OUTCOMES in properties else None
    if queue == "usage":
        return CeleryEntry(queue, body, reply_to, properties)
    return QueueEntry(queue, body, reply_to)


def _stock_task(properties: bytes) -> str | None:
    at = 2 + len(_STOCK)
    if properties[0] & _FLAGS != _FLAGS or not properties.startswith(_STOCK, 2) or b"\x0bcompression" in properties:
        return None
    (size,) = _LENGTH(properties, at)
    at += 4
    end = at + size
    while at < end <= len(properties):
        kind_at = at + 1 + properties[at]
        kind, is_task = properties[kind_at], properties.startswith(b"\x04task", at)
        at = kind_at + 1
        if kind in b"SxFA":
            (size,) = _LENGTH(properties, at)
            at += 4
        else:
            size = _SIZES[kind]
        if is_task:
            return properties[at : at + size].decode() if kind == _LONG_STRING else None
        at += size
    return None


def read_properties(properties: bytes) -> dict[str, Any]:
    """Every property by name, the headers under `application_headers`; what is unreadable has a content type that says so."""
    read: dict[str, Any] = serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID](properties, 0)[0]
    return read


def _envelope(properties: dict[str, Any], body: bytes) -> bytes:
    envelope: dict[str, Any] = {"body": body, "headers": headers_of(properties), "properties": {"body_encoding": "base64"}}
    for name in ("content_type", "content_encoding"):
        if properties.get(name):
            envelope[name.replace("_", "-")] = properties[name]
    for name in ("correlation_id", "reply_to", "message_id", "app_id", "priority", "delivery_mode"):
        if properties.get(name) is not None:
            envelope["properties"][name] = properties[name]
    try:
        return msgspec.json.encode(envelope)  # bytes become base64
    except (TypeError, ValueError):  # a header that JSON doesn't have: it must not cost the message
        headers = json.loads(json.dumps(envelope["headers"], default=repr, skipkeys=True))
        return json.dumps(msgspec.to_builtins(envelope | {"headers": {}}) | {"headers": headers}).encode()


def headers_of(properties: dict[str, Any]) -> dict[str, Any]:
    """The headers as the producer set them."""
    headers: dict[str, Any] = properties.get("application_headers") or {}
    return {name: value for name, value in headers.items() if not name.startswith(_BROKERS_HEADERS)}


def copy_of(properties: bytes, body: bytes) -> amqp.Message:
    """The message for another queue, as its producer sent it, but nothing expires on its way to the books."""
    read = read_properties(properties)
    kept = {name: value for name, value in read.items() if name != "expiration"}
    return amqp.Message(body, **kept | {"application_headers": headers_of(read), "delivery_mode": 2})


def deliveries_of(properties: bytes, *, redelivered: bool) -> int:
    """How often a quorum queue has delivered it before, to somebody who never acknowledged it."""
    if not redelivered:
        return 0
    count = (read_properties(properties).get("application_headers") or {}).get("x-delivery-count")
    return count if isinstance(count, int) else 1
