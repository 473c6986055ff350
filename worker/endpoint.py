"""What a worker tells over HTTP: `/metrics` for Prometheus, `/live` and `/ready` for whoever runs it."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import REGISTRY, start_http_server

from core.config import Configuration
from core.metrics import WORKER_INFO
from core.schema.revision import head
from core.version import __version__
from worker.books_metrics import BooksMetrics
from worker.broker_metrics import BrokerMetrics
from worker.health import Health
from worker.preflight import served_broker

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def serve(config: Configuration, health: Health) -> None:
    """Listens on the configured port, in threads of its own, until the process ends.

    Raises:
        OSError: the port can't be listened on.
    """
    server, _ = start_http_server(config.metrics_port, config.metrics_host)
    server.set_app(with_health(server.get_app(), health))
    health.begin()
    WORKER_INFO.labels(__version__, head()).set(1)
    REGISTRY.register(BooksMetrics())
    REGISTRY.register(BrokerMetrics(served_broker(config.require_broker_url())))


def with_health(metrics: Any, health: Health) -> Application:
    """A WSGI application that answers `/live` and `/ready`, and leaves every other path to `metrics`."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/live":
                name, missing = "live", health.stuck()
            case "/ready":
                name, missing = "ready", health.missing()
            case _:
                return metrics(environ, start_response)  # type: ignore[no-any-return]
        body = json.dumps({name: not missing, "missing": missing}).encode() + b"\n"
        status = "503 Service Unavailable" if missing else "200 OK"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    return answer
