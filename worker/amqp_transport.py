"""A cure for py-amqp, which carries everything on RabbitMQ.

As it comes with version 5.4, a message whose properties it can't decode (a content type that is not UTF-8, a time beyond the year
9999) is an exception instead of a message, at each delivery anew: nobody behind it would ever be served.
"""

from collections.abc import Callable
from typing import Any

import structlog
from amqp import serialization, spec

from core.domain.rejection import shown

log = structlog.get_logger()

Decode = Callable[[bytes, int], tuple[dict[str, Any], int]]


def cure_amqp_transport() -> None:
    """Applies the cure to this process, once: such a message arrives with a content type that says so, and is refused for it."""
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
