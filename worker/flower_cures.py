"""Four cures for Flower, as it comes with version 2.2.

Its page about the broker asks RabbitMQ's management interface, and sends the broker's login there in the clear (port 15672) although
the broker's own URL is `amqps://`. Its `/metrics` is open to whoever reaches the port, although it names tasks and workers;
`/healthcheck` says nothing and stays open. Without a login it would stand open on every address of the host. And before a Redis Cluster, which
can't be served, it would connect anew every second.
"""

import sys
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from core.config import configuration
from core.errors import Misconfigured
from worker.preflight import refuse, refuse_cluster, served_broker


def cure_flower() -> None:
    """Applies the cures, once, in a process that has Flower loaded: Celery's command line loads it before the app."""
    if (broker := sys.modules.get("flower.utils.broker")) is not None:
        _ask_by_tls(broker.RabbitMQ)
    if (application := sys.modules.get("flower.app")) is not None:
        _refuse_at_the_start(application.Flower)
    if (monitor := sys.modules.get("flower.views.monitor")) is not None and not hasattr(monitor.Metrics.get, "__wrapped__"):
        from tornado.web import authenticated  # noqa: PLC0415 - loaded with Flower, which few processes have

        monitor.Metrics.get = authenticated(monitor.Metrics.get)


def _ask_by_tls(rabbitmq: Any) -> None:
    """With `amqps://` it asks by TLS (port 15671), unless Flower's own `--broker-api` names where."""
    original = rabbitmq.__init__

    def init(client: Any, broker_url: str, http_api: str | None, **options: Any) -> None:
        if not http_api and broker_url.startswith("amqps://"):
            http_api = f"https://{urlsplit(broker_url).hostname}:15671/api/"
        original(client, broker_url, http_api, **options)

    rabbitmq.__init__ = init


def _refuse_at_the_start(flower: Any) -> None:
    """Ends it with exit code 78, as a worker, before a Redis Cluster, or where it would be open to others without a login."""
    original = flower.__init__

    def init(application: Any, *arguments: Any, **options: Any) -> None:
        try:
            refuse_cluster(served_broker(configuration().require_broker_url()))
            _refuse_openness(options.get("options"))
        except Misconfigured as error:
            refuse(str(error))
        original(application, *arguments, **options)

    flower.__init__ = init


def _refuse_openness(options: Any) -> None:
    if options.basic_auth or options.auth or options.unix_socket or _is_loopback(options.address):
        return
    raise Misconfigured(
        "Flower can end workers and send tasks, and asks nobody who they are: set FLOWER_BASIC_AUTH=name:password, or --address=127.0.0.1"
        " where you trust everybody on this host"
    )


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:  # empty, for every address; or a name
        return False
