"""The same single-event messages on RabbitMQ: workers that empty a quorum queue."""

from collections.abc import Iterator
from dataclasses import replace

import amqp

from lab.bench.drains import Drained, empty
from lab.bench.traffic import celery_message, events
from lab.process import temporary_dir
from lab.rabbitmq import RabbitServer, amqp_message
from lab.services import RunningServer, Services
from worker.intake.amqp_connection import connected, declare, publish_confirmed


def drain_rabbitmq(services: Services, n: int, processes: int) -> Drained:
    """Real workers empty a queue of `n` events of a RabbitMQ node of its own; measured from the first tenth to the last one."""
    with temporary_dir() as folder:
        server = RabbitServer(folder / "rabbitmq")
        server.start()
        try:
            with connected(server.url()) as channel:
                declare(channel, ["usage"])
                publish_confirmed(channel, _messages(n))
            assert server.pid
            node = RunningServer(server.pid, server.port, started=True)
            return empty(replace(services, broker_url=server.url(), valkey=node), n, processes)
        finally:
            server.stop()


def _messages(n: int) -> Iterator[tuple[str, amqp.Message]]:
    return (("usage", amqp_message(celery_message("usage.record", event))) for event in events(n))
