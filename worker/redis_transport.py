"""Five cures for kombu's Redis transport, which carries every queue but those of the pump, and remote control.

As it comes with kombu 5.7, it believes whoever answers on `rediss://`, a worker ends when its broker dies with acknowledgements
under way, and at any entry of a queue that is no message; it takes a message's own word for the queue that it came out of; and it decodes an entry
of any length, and takes none any more while a key of another type stands under the name of one of its lists. The pump doesn't use this
transport.
"""

import binascii
from base64 import b64decode
from functools import wraps
from queue import Empty
from time import monotonic
from typing import Any

import structlog
from kombu.transport import redis as kombu_redis
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from core.printable import shown
from worker.queue_limits import entry_bytes_max
from worker.tls import TlsConnection, tls_context

log = structlog.get_logger()

_NO_LIST = "tollbook.none"  # what is waited for while there is no list to wait for
_FOREIGN_SECONDS = 30.0  # how soon a key that was no list is looked at again


def cure_redis_transport() -> None:
    """Applies the cures to this process, once."""
    _verify_the_broker()
    _outlive_the_broker()
    _deliver_only_messages()
    _take_from_lists_alone()


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
            b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            return False
    return True


def _take_from_lists_alone() -> None:
    """What stands under a list's name and is no list is told in the log and left out, and so is an entry that is too long to be decoded."""
    channel: Any = kombu_redis.Channel
    original_read = channel._brpop_read  # noqa: SLF001

    def start(self: Any, timeout: Any = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        foreign = self.__dict__.get("foreign_keys", ((), 0.0))
        skipped = foreign[0] if monotonic() < foreign[1] else ()
        keys = [key for step in self.priority_steps for queue in queues if (key := self._q_for_pri(queue, step)) not in skipped]
        self.client.response_callbacks["BRPOP"] = lambda reply: _bounded(self, reply)  # it gets the reply before kombu decodes it
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self.client.connection.send_command("BRPOP", *(keys or [_NO_LIST]), timeout or self.brpop_timeout or 0)

    @wraps(original_read)
    def read(self: Any, **options: Any) -> Any:
        try:
            return original_read(self, **options)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self.foreign_keys = (_foreign_keys(self), monotonic() + _FOREIGN_SECONDS)
            raise Empty from None

    channel._brpop_start, channel._brpop_read, channel._size = start, read, _size  # noqa: SLF001


def _bounded(channel: Any, reply: Any) -> Any:
    """What BRPOP took, but for an entry that is too long to be decoded."""
    if not reply:
        return None
    name, entry = reply
    queue = name.decode(errors="backslashreplace").rsplit(channel.sep, 1)[0]
    if len(entry) <= entry_bytes_max(queue):
        return name, entry
    log.error("broker.entry_dropped", queue=queue, bytes=len(entry), entry=shown(entry, 500))
    return None


def _foreign_keys(channel: Any) -> frozenset[str]:
    """The lists of a channel's queues that are none."""
    keys = [channel._q_for_pri(queue, step) for queue in channel.active_queues for step in channel.priority_steps]  # noqa: SLF001
    with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.type(key)
        types = dict(zip(keys, pipeline.execute(), strict=True))
    foreign = {key: kind.decode() for key, kind in types.items() if kind not in (b"list", b"none")}
    for key, kind in foreign.items():
        log.error("broker.key_is_no_list", key=shown(key), type=kind, cure="look at it and delete it: whatever is sent there is refused")
    return frozenset(foreign)


def _size(channel: Any, queue: str) -> int:
    """How much waits in a queue's lists; what is no list holds nothing."""
    with channel.conn_or_acquire() as client, client.pipeline() as pipeline:
        for step in channel.priority_steps:
            pipeline.llen(channel._q_for_pri(queue, step))  # noqa: SLF001
        return sum(size for size in pipeline.execute(raise_on_error=False) if isinstance(size, int))
