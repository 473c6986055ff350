"""Three cures for what carries everything on RabbitMQ: py-amqp, and Celery's worker on it.

As py-amqp comes with version 5.4, a message whose properties it can't decode (a content type that is not UTF-8, a time beyond the
year 9999) is an exception instead of a message, at each delivery anew: nobody behind it would ever be served. It compares no host
name with the certificate unless each connection is told which. And Celery 5.7, where it sees a quorum queue, declares 28 queues for
tasks with an `eta`, which it can't use for messages of the default exchange.
"""

from collections.abc import Callable
from typing import Any

import structlog
from amqp import serialization, spec
from amqp.transport import SSLTransport
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from core.printable import shown
from worker.tls import amqp_socket

log = structlog.get_logger()

Decode = Callable[[bytes, int], tuple[dict[str, Any], int]]


def cure_amqp_transport() -> None:
    """Applies the cures to this process, once."""
    setattr(SSLTransport, "_wrap_socket", amqp_socket)  # noqa: B010 - whatever URL and options a connection with TLS is made with
    _receive_what_is_unreadable()
    setattr(DelayedDelivery, "include_if", lambda _step, _consumer: False)  # noqa: B010 - mypy forbids the plain way


def _receive_what_is_unreadable() -> None:
    """Such a message arrives with a content type that says so, and is refused for it."""
    properties: Any = serialization.PROPERTY_CLASSES
    original: Decode = properties[spec.Basic.CLASS_ID]
    if getattr(original, "cured", False):
        return

    def decode(buffer: bytes, offset: int) -> tuple[dict[str, Any], int]:
        try:
            return original(buffer, offset)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes raise in a decoder
            log.warning("broker.properties_unreadable", error=shown(str(error)))
            return {"content_type": f"unreadable properties: {type(error).__name__}"}, len(buffer)

    decode.cured = True  # type: ignore[attr-defined]
    properties[spec.Basic.CLASS_ID] = decode
