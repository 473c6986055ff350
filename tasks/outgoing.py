"""Queues that somebody else empties: plain JSON, as any program can read it, in a bounded number of messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Producer

_ANSWER_SECONDS = 5  # RabbitMQ stops reading from publishers while its memory is full


class RedisQueue:
    """A list of Redis or Valkey: messages are pushed on the left, whoever reads takes them from the right (`BRPOP`)."""

    def __init__(self, channel: Any, name: str, messages_max: int) -> None:
        self._client, self._name, self._messages_max = channel.client, name, messages_max

    def room(self) -> int:
        """How many messages it may take now."""
        return self._messages_max - int(self._client.llen(self._name))

    def put(self, bodies: Sequence[bytes]) -> None:
        """Pushes all of them or none, by one command."""
        self._client.lpush(self._name, *bodies)


class AmqpQueue:
    """A quorum queue of RabbitMQ; each message is persistent and confirmed."""

    def __init__(self, channel: Any, name: str, messages_max: int) -> None:
        self._channel, self._name, self._messages_max = channel, name, messages_max
        self._producer = Producer(channel)

    def room(self) -> int:
        """How many messages it may take now; the queue exists afterwards."""
        declared = self._channel.queue_declare(queue=self._name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
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
    with app.connection_for_write() as connection:
        connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
        channel = connection.channel()
        yield (RedisQueue if connection.transport.driver_type == "redis" else AmqpQueue)(channel, name, messages_max)
