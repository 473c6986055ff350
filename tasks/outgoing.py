"""Queues that somebody else empties: plain JSON, as any program can read it, in a bounded number of messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery
from kombu import Producer

_ANSWER_SECONDS = 5  # RabbitMQ stops reading from publishers while its memory is full


class RedisQueue:
    """A list of Redis or Valkey: messages are pushed on the left, whoever reads takes them from the right (`BRPOP`).

    With `expire_seconds` it vanishes when nothing was pushed for so long.
    """

    def __init__(self, channel: Any, name: str, messages_max: int, expire_seconds: int | None = None) -> None:
        self._client, self._name, self._messages_max, self._expire_seconds = channel.client, name, messages_max, expire_seconds

    def room(self) -> int:
        """How many messages it may take now."""
        return self._messages_max - int(self._client.llen(self._name))

    def put(self, bodies: Sequence[bytes]) -> None:
        """Pushes all of them or none, by one command."""
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.lpush(self._name, *bodies)
            if self._expire_seconds is not None:
                pipeline.expire(self._name, self._expire_seconds)
            pipeline.execute()


class AmqpQueue:
    """A queue of RabbitMQ; each message is persistent and confirmed. It is declared as a quorum queue unless it is somebody else's."""

    def __init__(self, channel: Any, name: str, messages_max: int, *, of_somebody_else: bool = False) -> None:
        self._channel, self._name, self._messages_max, self._of_somebody_else = channel, name, messages_max, of_somebody_else
        self._producer = Producer(channel)

    def room(self) -> int:
        """How many messages it may take now; none while somebody else has not declared it. Ours exists afterwards."""
        arguments = None if self._of_somebody_else else {"x-queue-type": "quorum"}
        try:
            declared = self._channel.queue_declare(
                queue=self._name, passive=self._of_somebody_else, durable=True, auto_delete=False, arguments=arguments
            )
        except NotFound:  # the broker has closed the channel
            return 0
        return self._messages_max - int(declared.message_count)

    def put(self, bodies: Sequence[bytes]) -> None:
        """Returns once the broker has confirmed the last of them; after an error it may have the first ones."""
        for body in bodies:
            self._producer.publish(
                body,
                exchange="",
                routing_key=self._name,
                mandatory=True,  # a queue that was deleted meanwhile must be an error: its messages would be confirmed and gone
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                timeout=_ANSWER_SECONDS,
                confirm_timeout=_ANSWER_SECONDS,
            )


@contextmanager
def outgoing_queue(app: Celery, name: str, messages_max: int) -> Iterator[RedisQueue | AmqpQueue]:
    """The queue `name` of the app's broker, of whichever kind that is, which is to hold `messages_max` messages at most.

    Raises:
        Exception: the broker can't be reached, as its client library puts it.
    """
    with _connected(app) as connection:
        yield (RedisQueue if connection.transport.driver_type == "redis" else AmqpQueue)(connection.channel(), name, messages_max)


@contextmanager
def producers_queue(app: Celery, name: str, messages_max: int, expire_seconds: int) -> Iterator[RedisQueue | AmqpQueue]:
    """As `outgoing_queue`, a queue that a producer has named: on RabbitMQ it has to declare it, on Redis it expires when nothing more comes.

    So whoever may send usage can't have any number of queues made.
    """
    with _connected(app) as connection, connection.channel() as channel:
        if connection.transport.driver_type == "redis":
            yield RedisQueue(channel, name, messages_max, expire_seconds)
        else:
            yield AmqpQueue(channel, name, messages_max, of_somebody_else=True)


@contextmanager
def _connected(app: Celery) -> Iterator[Any]:
    with app.connection_for_write() as connection:
        connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
        yield connection
