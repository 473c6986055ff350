"""What came off a RabbitMQ queue, in the form in which kombu puts a message into Redis: one form for envelopes and dead letters."""

import json
from typing import Any

import amqp
import msgspec

# Headers that the broker itself adds, other ones at each delivery: without them a redelivered message has the same bytes.
_BROKERS_HEADERS = ("x-delivery-count", "x-death", "x-first-death-", "x-last-death-")


def body_of(message: amqp.Message) -> bytes:
    """The body as it came."""
    return message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else bytes(message.body)


def envelope_of(message: amqp.Message) -> bytes:
    """The whole message as kombu's envelope: its headers, its content type and encoding, and its body in base64."""
    properties: dict[str, Any] = message.properties
    envelope: dict[str, Any] = {"body": body_of(message), "headers": headers_of(message), "properties": {"body_encoding": "base64"}}
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


def headers_of(message: amqp.Message) -> dict[str, Any]:
    """The headers as the producer set them."""
    headers: dict[str, Any] = message.properties.get("application_headers") or {}
    return {name: value for name, value in headers.items() if not name.startswith(_BROKERS_HEADERS)}


def deliveries_of(message: amqp.Message) -> int:
    """How often a quorum queue has delivered it before, to somebody who never acknowledged it."""
    if not message.delivery_info["redelivered"]:
        return 0
    count = (message.properties.get("application_headers") or {}).get("x-delivery-count")
    return count if isinstance(count, int) else 1
