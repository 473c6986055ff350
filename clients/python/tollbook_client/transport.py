"""Messages to the broker, each confirmed: Redis, Valkey or RabbitMQ, by kombu alone."""

import random
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import amqp
import redis
from amqp.exceptions import MessageNacked
from kombu import Connection, Producer
from kombu.exceptions import KombuError

from tollbook_client.envelope import Message, batches
from tollbook_client.errors import ClientError
from tollbook_client.forking import tell_of_forks
from tollbook_client.logins import ENCODE, refuse_raw_password
from tollbook_client.tls import RedisTransport, Tls

OUTCOMES_PREFIX = "tollbook.outcomes."
PAUSE_SECONDS_MAX = 2.0
_QUORUM = {"x-queue-type": "quorum"}  # as the worker declares it: RabbitMQ refuses whoever differs
_NO_ROUTE = 312
_ERRORS = (amqp.AMQPError, MessageNacked, KombuError, redis.RedisError, OSError)
_REFUSALS = (
    amqp.AccessRefused,
    amqp.NotAllowed,
    amqp.PreconditionFailed,
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
)
_SCHEMES = ("redis://", "rediss://", "redis+socket://", "amqp://", "amqps://")
_SAID_ANYWAY = frozenset({"ssl_cert_reqs=required", "ssl_cert_reqs=cert_required", "ssl_check_hostname=true"})
_OUTCOMES_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_abandoned: list[object] = []  # a parent's connections, in its forked child: to end one properly would end it for the parent


class NotDelivered(ClientError):
    """The broker did not confirm: it is unknown whether it has the events. Send them again, with the same ids.

    Attributes:
        refused: whether it needs a person (a wrong password, a missing right, a certificate), so that trying again soon is no use.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Transport:
    """Publishes events to the queue `usage`; `publish` returns once the broker has confirmed.

    Any number of threads may share one; they take turns. After a fork the child connects anew, and the parent's connection stays as it was.

    Args:
        broker_url: redis://, rediss://, redis+socket://, amqp:// or amqps://; one server.
        tls: for rediss:// and amqps://.
        outcomes: name of the queue `tollbook.outcomes.NAME` on which refused and parked events are to be told; None: nowhere.
        timeout_seconds: how long one answer of the broker is waited for.
        patience_seconds: for how long a failed attempt is repeated, over new connections; at least once. A call of `publish` ends within
            this time and that of its last attempt, which is three answers for one message, and one more for each further one.

    Raises:
        ValueError: the URL or the name can't be used; the message says what would do.
    """

    def __init__(
        self,
        broker_url: str,
        *,
        tls: Tls | None = None,
        outcomes: str | None = None,
        timeout_seconds: float = 5.0,
        patience_seconds: float = 10.0,
    ) -> None:
        if outcomes is not None and not _OUTCOMES_NAME.fullmatch(outcomes):
            raise ValueError("outcomes: a name has 1 to 64 of A-Z a-z 0-9 . _ -")
        self.url, self.tls = _served(broker_url), tls or Tls()
        self.reply_to = f"{OUTCOMES_PREFIX}{outcomes}" if outcomes else None
        self.timeout_seconds, self.patience_seconds = timeout_seconds, patience_seconds
        self._own_exchanges = False
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._connection: Any = None
        self._channel: Any = None
        tell_of_forks(self)

    @property
    def is_amqp(self) -> bool:
        """Whether the broker is RabbitMQ."""
        return self.url.startswith("amqp")

    def publish(self, bodies: Sequence[bytes]) -> None:
        """Returns once the broker has confirmed all events, in as few messages as hold them. To repeat a call is safe.

        Args:
            bodies: each the JSON object of one event, which is not looked into: what is no JSON spoils its whole message.

        Raises:
            NotDelivered: the broker did not confirm all of them; it may have any.
            EventTooLarge: one is too long; none was sent.
        """
        self.send(list(batches(bodies)))

    def send(self, messages: Sequence[Message], *, reply_to: str | None = None) -> None:
        """As `publish`, of messages that are ready; what is confirmed isn't sent again by a retry within this call.

        Raises:
            NotDelivered: the broker did not confirm all of them; it may have any.
        """
        waiting = deque(messages)
        if not waiting:
            return
        deadline = time.monotonic() + self.patience_seconds
        with self._lock:
            for attempt in range(10**6):
                if self._attempted(waiting, reply_to or self.reply_to, again=attempt == 0 or time.monotonic() < deadline):
                    return
                if self._closing.wait(random.uniform(0.5, 1) * min(0.1 * 2**attempt, PAUSE_SECONDS_MAX)):  # noqa: S311 - spreads retries
                    raise NotDelivered("the transport was closed while it waited for the broker")

    def connection(self, timeout_seconds: float | None = None) -> Any:
        """A further kombu connection to the same broker, which the caller connects and ends; no answer is waited for longer than the timeout."""
        seconds = timeout_seconds or self.timeout_seconds
        options = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "socket_keepalive": True, "max_connections": 2}
        amqp_options = {"confirm_publish": True, "client_properties": {"connection_name": "tollbook-client"}}
        kind: dict[str, Any] = {"transport": RedisTransport} if self.url.startswith("redis") and "+" not in self.url else {}
        return Connection(
            self.url,
            heartbeat=0,  # nobody would send ours; and the broker's would look like answers
            connect_timeout=seconds,
            ssl=self.tls.options(self.url),
            transport_options=amqp_options if self.is_amqp else options,
            **kind,
        )

    def close(self) -> None:
        """Ends the connection. A `publish` that waits for the broker in another thread raises NotDelivered. Repeatable."""
        self._closing.set()
        with self._lock:
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                with suppress(*_ERRORS):
                    connection.release()
            self._closing.clear()

    def _attempted(self, waiting: deque[Message], reply_to: str | None, *, again: bool) -> bool:
        """Whether all messages are confirmed now; False where it is to be tried again."""
        try:
            self._publish(waiting, reply_to)
        except Exception as error:
            self._drop()
            if not again or not self._may_be_mended(error):
                raise NotDelivered(_told(error), refused=_is_refusal(error)) from error
            return False
        except BaseException:  # whatever interrupted: what the broker answers later must not count for another message
            self._drop()
            raise
        return True

    def _publish(self, waiting: deque[Message], reply_to: str | None) -> None:
        """Sends from the left, and takes out what is confirmed."""
        if self._connection is None:
            self._connect()
        properties: dict[str, Any] = {"reply_to": reply_to} if reply_to else {}
        with self._opened() as channel:
            producer = Producer(channel, auto_declare=False)
            while waiting:
                message = waiting[0]
                producer.publish(
                    message.body,
                    exchange=message.queue if self._own_exchanges else "",
                    routing_key=message.queue,
                    mandatory=True,  # what fits in no queue would be confirmed and gone
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers=message.headers,
                    correlation_id=message.id,
                    delivery_mode=2,
                    timeout=self.timeout_seconds,
                    confirm_timeout=self.timeout_seconds,
                    **properties,
                )
                waiting.popleft()

    def _connect(self) -> None:
        self._connection = connection = self.connection()
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        if not self.is_amqp:
            self._channel = connection.channel()
            return
        connection.connection.sock.settimeout(self.timeout_seconds)
        if self.reply_to is not None and self.reply_to.startswith(OUTCOMES_PREFIX):  # the worker tells only queues that are there
            channel = connection.channel()
            channel.queue_declare(self.reply_to, durable=True, auto_delete=False, arguments=_QUORUM)
            channel.close()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """A channel. RabbitMQ numbers the messages of each: one of its own for each call, so that no late answer counts for another message."""
        if self._channel is not None:
            yield self._channel
            return
        channel = self._connection.channel()
        yield channel
        with suppress(*_ERRORS):  # what it had to tell is confirmed
            channel.close()

    def _may_be_mended(self, error: Exception) -> bool:
        """Whether another attempt may help; makes the queue, or takes the queue's own exchange, where that does."""
        if isinstance(error, amqp.AccessRefused) and not self._own_exchanges and "amq.default" in str(error):
            self._own_exchanges = True  # a login that may write to the exchanges of the producers' queues alone
            return True
        if getattr(error, "reply_code", None) == _NO_ROUTE:
            with suppress(*_ERRORS), self.connection() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
                connection.connection.sock.settimeout(self.timeout_seconds)
                channel: Any = connection.channel()
                channel.queue_declare("usage", durable=True, auto_delete=False, arguments=_QUORUM)
            return True
        return not _is_refusal(error)

    def _drop(self) -> None:
        """Forgets the connection, whatever state it is in, without a word to the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.collect()

    def forked(self) -> None:
        """In a child process: nothing of the parent's is used, locks included, which another of its threads may have held."""
        _abandoned.append((self._connection, self._channel))
        self._connection = self._channel = None
        self._lock, self._closing = threading.Lock(), threading.Event()


def _served(url: str) -> str:
    """The URL without what says only what is done anyway.

    Raises:
        ValueError: it names no broker that is served.
    """
    if not url.startswith(_SCHEMES):
        raise ValueError(f"the broker's URL begins with one of {', '.join(_SCHEMES)}")
    refuse_raw_password(url, "the broker's URL", at_signs=99)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # whose message would tell a part of the password
        raise ValueError(f"the broker's URL has no number for a port; {ENCODE}") from None
    if parts.scheme in ("redis", "rediss") and (path := parts.path.strip("/")) and not (path.isascii() and path.isdecimal()):
        raise ValueError(f"the broker's URL has no number for the database after the host, such as /0; {ENCODE}")
    if ";" in url or "," in url.partition("://")[2].partition("/")[0].rpartition("@")[2]:
        raise ValueError("the broker's URL names one server; for a cluster, a load balancer in front of it")
    plain, _, query = url.partition("?")
    if not query or url.startswith("redis+socket://"):
        return url
    if not set(query.lower().split("&")) <= _SAID_ANYWAY:
        raise ValueError("the broker's URL takes no options after the question mark; what concerns TLS is said by `Tls`")
    return plain


def _is_refusal(error: BaseException | None) -> bool:
    """Whether only a person can help."""
    while error is not None:
        if isinstance(error, _REFUSALS) or type(error).__name__ == "SSLCertVerificationError":
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(error: Exception) -> str:
    if getattr(error, "reply_code", None) == _NO_ROUTE:
        return "the broker has no queue `usage`, and this login may not make it: start a worker once"
    return f"the broker did not confirm: {str(error) or type(error).__name__}"
