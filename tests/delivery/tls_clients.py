"""Tries each client of the broker that a process of the program may use, and prints what became of each, as JSON.

Run with the environment of a worker; a process of its own, since a process has one configuration.
"""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from celery.bin import celery as _command  # noqa: F401 - loads Flower, as Celery's command line does
from flower.utils.broker import Broker as FlowerBroker

from worker.app import app
from worker.intake.amqp_connection import connected, is_amqp
from worker.intake.redis_source import connect
from worker.preflight import served_broker

URL = served_broker(os.environ["CELERY_BROKER_URL"])


def pump() -> None:
    """The pump's own connection."""
    if is_amqp(URL):
        with connected(URL):
            return
    connect(URL).ping()


def celery(**options: Any) -> None:
    """Celery's half: its consumer, remote control, events, answers, alerts and beat all connect like this."""
    with app.connection_for_write(**options) as connection:
        connection.connect()
        connection.default_channel  # noqa: B018 - on Redis it is the channel that connects


def celery_with_careless_options() -> None:
    """As with `celery -b rediss://…`, which leaves Celery's own options as they were for another URL."""
    host = {"server_hostname": urlsplit(URL).hostname} if is_amqp(URL) else {}  # kombu makes 127.0.0.1 of `localhost`
    celery(ssl={"ssl_cert_reqs": "none"} | host)


def flower() -> None:
    """The client of Flower's page about the broker."""
    client: Any = FlowerBroker(URL, http_api=None, broker_options=app.conf.broker_transport_options, broker_use_ssl=app.conf.broker_use_ssl)
    asyncio.run(client.queues(["usage"]))


def outcome(client: Callable[[], None]) -> str:
    """`connected`, or why not."""
    try:
        client()
    except Exception as error:  # noqa: BLE001 - whatever a client raises
        return f"refused: {error}"
    return "connected"


if __name__ == "__main__":
    clients = [pump, celery, celery_with_careless_options, *([] if is_amqp(URL) else [flower])]
    print(json.dumps({client.__name__: outcome(client) for client in clients}))  # noqa: T201 - for the test that started it
