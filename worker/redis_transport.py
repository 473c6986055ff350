"""Four cures for kombu's Redis transport, which carries every queue but those of the pump, and remote control.

As it comes with kombu 5.7, it believes whoever answers on `rediss://`, a worker ends when its broker dies with acknowledgements
under way, and at any entry of a queue that is no message; and it takes a message's own word for the queue that it came out of. The
pump doesn't use this transport.
"""

import binascii
import json
from base64 import b64decode
from functools import wraps
from typing import Any

import structlog
from kombu.transport import redis as kombu_redis
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import ConnectionError as RedisConnectionError

from core.domain.rejection import shown
from worker.tls import TlsConnection, tls_context

log = structlog.get_logger()


def cure_redis_transport() -> None:
    """Applies the cures to this process, once."""
    _verify_the_broker()
    _outlive_the_broker()
    _deliver_only_messages()


def _verify_the_broker() -> None:
    """Whatever URL and options a connection with TLS is made with; the second one is of Flower's page about the broker."""
    kombu_redis.Channel.connection_class_ssl = TlsConnection
    setattr(RedisSSLContext, "get", lambda _context: tls_context())  # noqa: B010 - mypy forbids the plain way


def _outlive_the_broker() -> None:
    """A closed channel asks its lost connection for a host name, and the AttributeError ends the worker: make it a connection error."""
    original = kombu_redis.Channel._connparams  # type: ignore[attr-defined]  # noqa: SLF001

    @wraps(original)
    def connparams(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the channel is closed")
        return original(self, *args, **kwargs)

    kombu_redis.Channel._connparams = connparams  # type: ignore[attr-defined]  # noqa: SLF001


def _deliver_only_messages() -> None:
    """An entry that can't be decoded is told in the log and left out; the others say truly which queue they came out of.

    What they say decides what they may ask for (worker/guard.py), and where they are put back.
    """
    original_loads, original_deliver = kombu_redis.loads, kombu_redis.Transport._deliver  # type: ignore[attr-defined]  # noqa: SLF001

    def loads(text: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original_loads(text, *args, **kwargs)
        except (ValueError, RecursionError):
            return None

    def deliver(self: Any, message: Any, queue: Any) -> Any:
        if not is_message(message):
            log.error("broker.entry_dropped", queue=queue, entry=shown(message, 500))
            return None
        properties = message["properties"]
        properties["delivery_info"] = {**properties["delivery_info"], "exchange": "", "routing_key": queue}
        return original_deliver(self, message, queue)

    kombu_redis.loads = loads  # type: ignore[attr-defined]
    kombu_redis.Transport._deliver = deliver  # type: ignore[method-assign]  # noqa: SLF001


def is_message(message: Any) -> bool:
    """Whether Celery's consumer can take this without ending the worker: an envelope, and for a task a body of three parts."""
    properties = message.get("properties") if isinstance(message, dict) else None
    if (
        not isinstance(properties, dict)
        or not isinstance(properties.get("delivery_tag"), str)
        or not isinstance(properties.get("delivery_info"), dict)
    ):
        return False
    headers, body = message.get("headers") or {}, message.get("body", "")
    if not isinstance(headers, dict) or not isinstance(body, str):
        return False
    if properties.get("body_encoding") == "base64":
        try:
            body = b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            return False
    if "task" not in headers or message.get("content-type") != "application/json":
        return True
    try:
        parts = json.loads(body)
    except (ValueError, RecursionError):
        return True  # Celery itself copes with a body that it can't decode
    return isinstance(parts, list) and len(parts) == 3 and isinstance(parts[0], list) and isinstance(parts[1], dict) and isinstance(parts[2], dict)
