"""A cure for Flower's page about the broker, which on RabbitMQ asks the management interface.

As it comes with Flower 2.2, it sends the broker's login there in the clear (port 15672) although the broker's own URL is `amqps://`.
"""

import sys
from typing import Any
from urllib.parse import urlsplit


def cure_flower() -> None:
    """With `amqps://` it asks by TLS (port 15671), unless Flower's own `--broker-api` names where; applied once, where Flower is loaded."""
    flower = sys.modules.get("flower.utils.broker")  # by Celery's command line, before it loads the app
    if flower is None:
        return
    original = flower.RabbitMQ.__init__

    def init(client: Any, broker_url: str, http_api: str | None, **options: Any) -> None:
        if not http_api and broker_url.startswith("amqps://"):
            http_api = f"https://{urlsplit(broker_url).hostname}:15671/api/"
        original(client, broker_url, http_api, **options)

    flower.RabbitMQ.__init__ = init
