"""Events that were refused or parked come back to whoever asked for it (`outcomes`)."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tollbook_client.answers import Outcome, outcome_in
from tollbook_client.transport import Transport

_PREFETCHED_MAX = 100
log = logging.getLogger("tollbook_client.outcomes")


def taken(transport: Transport, queue: str, wait_seconds: float) -> Iterator[Outcome]:
    """Takes one after the other off the queue; ends when none has come for so long. Connects for itself, and declares the queue.

    What is no outcome is told in the log and left out: somebody else wrote to the queue.

    On RabbitMQ one is gone from the queue when the next is asked for, on Redis when it is yielded.

    Raises:
        amqp.AMQPError, redis.RedisError, kombu.exceptions.KombuError, OSError: the broker can't be asked. Call it again.
    """
    with transport.connection(transport.timeout_seconds + wait_seconds) as connection:
        if transport.is_amqp:
            yield from _over_amqp(connection, queue, wait_seconds)
            return
        client = connection.default_channel.client
        while (found := client.brpop([queue], timeout=wait_seconds)) is not None:
            yield from _outcomes(queue, found[1])


def _over_amqp(connection: Any, queue: str, wait_seconds: float) -> Iterator[Outcome]:
    connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    came: list[Any] = []
    channel = connection.channel()
    channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(0, _PREFETCHED_MAX, False)
    channel.basic_consume(queue, callback=came.append)
    while True:
        deadline = time.monotonic() + wait_seconds
        while not came and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                connection.drain_events(timeout=left)
        if not came:
            return
        message = came.pop(0)
        yield from _outcomes(queue, message.body)
        channel.basic_ack(message.delivery_tag)


def _outcomes(queue: str, body: bytes | str) -> Iterator[Outcome]:
    outcome = outcome_in(body)
    if outcome is None:
        log.warning("what came from %s is no outcome: %s", queue, ascii(body[:200]))
    else:
        yield outcome
