"""Connections to RabbitMQ, the queues that the worker declares there, and what its refusals mean for an operator."""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import amqp
from amqp.exceptions import MessageNacked
from kombu import Connection
from kombu.exceptions import KombuError

from core.errors import Misconfigured
from worker.tls import certificate_refusal, tls_options

ERRORS = (amqp.AMQPError, MessageNacked, KombuError, OSError)
DEAD_SUFFIX = ".dead"
QUORUM = {"x-queue-type": "quorum"}  # the only argument: whoever declares a queue with other ones is refused by the broker (406)
ANSWER_SECONDS = 15.0
_CONNECT_SECONDS = 5.0


def is_amqp(url: str) -> bool:
    """Whether a broker URL names RabbitMQ."""
    return url.startswith(("amqp://", "amqps://"))


def connect(url: str, *, heartbeat_seconds: int) -> Connection:
    """A connection that waits for no answer longer than 15 seconds.

    Args:
        url: amqp:// or amqps://.
        heartbeat_seconds: the broker closes the connection after twice this time without a sign of life; 0: never.
    """
    connection = Connection(
        url,
        transport="worker.intake.amqp_frames:Transport",
        heartbeat=heartbeat_seconds,
        connect_timeout=_CONNECT_SECONDS,
        ssl=tls_options(url) or False,
        transport_options={"client_properties": {"connection_name": "tollbook-intake"}},
    )
    connection.connect()
    connection.connection.sock.settimeout(ANSWER_SECONDS)
    return connection


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A channel of a connection of its own, for as long as the `with` block lasts."""
    connection = connect(url, heartbeat_seconds=0)
    try:
        yield connection.default_channel
        hang_up(connection)
    finally:
        connection.collect()


def hang_up(connection: Any) -> None:
    """Says goodbye, so that the broker has heard everything before and warns of nothing; never raises for what can't be reached."""
    with suppress(*ERRORS):
        connection.connection.close()
    connection.collect()


def publish_confirmed(channel: Any, messages: Iterable[tuple[str, amqp.Message]], *, seconds: float = ANSWER_SECONDS) -> None:
    """Puts messages into queues; returns when the broker has confirmed each of them.

    Args:
        channel: one of the connection on which it is done; the broker counts the messages of each channel, so each call has its own.
        messages: each with the name of its queue.
        seconds: how long to wait for the next confirmation.

    Raises:
        AMQPError, OSError: some may be in their queues, and none is known to be.
    """
    waiting: set[int] = set()

    def confirmed(tag: int, multiple: bool) -> None:
        waiting.difference_update([number for number in waiting if number <= tag] if multiple else [tag])

    def refused(tag: int, _multiple: bool) -> None:
        raise MessageNacked(f"message {tag}")

    own = channel.connection.channel()
    own.confirm_select()
    own.events["basic_ack"].add(confirmed)
    own.events["basic_nack"].add(refused)
    for number, (queue, message) in enumerate(messages, 1):
        waiting.add(number)
        own.basic_publish(message, routing_key=queue, mandatory=True)
    while waiting:
        own.connection.drain_events(timeout=seconds)
    own.close()


def declare(channel: Any, queues: Collection[str]) -> None:
    """Sees to it that the queues exist: durable, of the type quorum, with no other argument. Repeatable."""
    for queue in queues:
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=QUORUM)


def refusal(error: Exception) -> Misconfigured | None:
    """What an operator must do about RabbitMQ's refusal; none if it is nothing but an outage."""
    if isinstance(error, amqp.PreconditionFailed):
        return Misconfigured(
            f"a queue exists with other arguments than x-queue-type=quorum: {error.reply_text}; see who declares it, and then run"
            f" `tollbook intake migrate {_named_in(error)}` (docs/operations.md#rabbitmq)"
        )
    if isinstance(error, amqp.AccessRefused) and "Login was refused" in str(error.reply_text):
        return Misconfigured(f"the broker refuses the login: {error.reply_text}; check CELERY_BROKER_URL")
    if isinstance(error, amqp.AccessRefused):
        return Misconfigured(f"the broker's login lacks a permission: {error.reply_text}; grant it (docs/operations.md#rabbitmq)")
    if isinstance(error, amqp.NotAllowed):
        return Misconfigured(f"the broker refuses the virtual host: {error.reply_text}; make it and grant the login, or check CELERY_BROKER_URL")
    return certificate_refusal(error)


def _named_in(error: amqp.PreconditionFailed) -> str:
    found = re.search(r"queue '([\w.]+)'", str(error.reply_text))
    return found[1] if found else "QUEUE"
