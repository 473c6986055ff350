"""What must be right before a worker takes its first message; what can only be set right by an operator ends it."""

import os
import sys
from collections.abc import Collection
from typing import Any, NoReturn
from urllib.parse import urlsplit

import redis
import structlog
from celery import bootsteps
from celery.signals import beat_init
from redis.exceptions import AuthenticationError, AuthorizationError

from core.config import configuration
from core.errors import Misconfigured, NotTrusted, StorageUnavailable
from core.storage.database import database
from core.storage.migrate import require_current
from worker.installation import check_installation, check_name
from worker.intake.amqp_connection import ERRORS, connected, declare, is_amqp, refusal
from worker.intake.redis_source import connect
from worker.tls import UNVERIFIED, certificate_refusal, check_tls, is_unverified

log = structlog.get_logger()

_REFUSED = (AuthenticationError, AuthorizationError)


class Preflight(bootsteps.Step):
    """Runs before the pool and the intake: exit 78 (EX_CONFIG) with one line that says what to do."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            check_broker(configuration().require_broker_url(), list(worker.app.amqp.queues))
            if check_books():
                check_installation()
        except Misconfigured as error:
            refuse(str(error))


def served_broker(url: str) -> str:
    """`url` as every client takes it, if it names a kind of broker that is served and TLS is set up for it; nothing is connected.

    Raises:
        Misconfigured: it does not; the message says what would.
    """
    if is_amqp(url):
        return _served_rabbitmq(check_tls(url))
    if not url.startswith(("redis://", "rediss://", "redis+socket://")):
        raise Misconfigured(
            f"CELERY_BROKER_URL: {url.split(':', 1)[0]}:// is not served; use redis:// or rediss:// (Redis 6.2+ or Valkey),"
            " amqp:// or amqps:// (RabbitMQ)"
        )
    url = check_tls(url)
    path, query = urlsplit(url).path.strip("/"), urlsplit(url).query
    if query and url.startswith("redis://"):
        raise Misconfigured(f"CELERY_BROKER_URL: redis:// takes no options after the question mark (got ?{query})")
    if not url.startswith("redis+socket://") and path and not path.isdigit():
        raise Misconfigured(f"CELERY_BROKER_URL: the database after the host is a number, such as /0 (got /{path})")
    try:
        connect(url).close()
    except (ValueError, KeyError) as error:
        raise Misconfigured(f"CELERY_BROKER_URL can't be used: {error}") from None
    return url


def _served_rabbitmq(url: str) -> str:
    scheme = url.split(":", 1)[0]
    try:
        parts = urlsplit(url)
        port_and_host = parts.port, parts.hostname
    except ValueError as error:
        raise Misconfigured(f"CELERY_BROKER_URL can't be used: {error}") from None
    if ";" in url or not port_and_host[1]:
        raise Misconfigured(f"CELERY_BROKER_URL: {scheme}:// names one host; for a cluster, a load balancer in front of it")
    if parts.query:
        raise Misconfigured(f"CELERY_BROKER_URL: {scheme}:// takes no options after the question mark (got ?{parts.query})")
    return url


def check_broker(url: str, queues: Collection[str]) -> None:
    """Returns if the broker may hold usage events, or can't be asked now (the worker waits for it).

    Raises:
        Misconfigured: its certificate is refused; it refuses the login; Redis may evict messages when its memory is full; RabbitMQ has
            no such virtual host, refuses to declare `queues`, or has one of them declared in another way.
    """
    url = served_broker(url)
    if is_unverified(url):
        log.warning("broker.unverified", error=UNVERIFIED)
    if is_amqp(url):
        _check_rabbitmq(url, queues)
    else:
        _check_redis(url)


def _check_rabbitmq(url: str, queues: Collection[str]) -> None:
    try:
        with connected(url) as channel:
            declare(channel, queues)
    except ERRORS as error:
        if (refused := refusal(error)) is not None:
            raise refused from None
        log.warning("preflight.broker_unavailable", error=f"{type(error).__name__}: {error}")


def _check_redis(url: str) -> None:
    client = connect(url)
    try:
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except _REFUSED as error:
        raise Misconfigured(f"the broker refuses the login: {error}; check CELERY_BROKER_URL") from None
    except redis.ResponseError as error:
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error) or "invalid username-password" in str(error):
            raise Misconfigured(f"the broker refuses the login: {error}; check CELERY_BROKER_URL") from None
        log.warning("preflight.broker_policy_unknown", error=str(error))
        return
    except redis.RedisError as error:
        if (refused := certificate_refusal(error)) is not None:
            raise refused from None
        log.warning("preflight.broker_unavailable", error=str(error))
        return
    finally:
        client.close()
    if policy != "noeviction":
        raise Misconfigured(f"the broker evicts messages when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction")


def check_books() -> bool:
    """Whether the database is at this program's revision; false if it can't be asked now (the worker waits for it).

    Raises:
        Misconfigured: it refuses the login, its certificate is refused, or `tollbook db upgrade` has not been run.
    """
    try:
        with database().transaction() as connection:
            require_current(connection)
    except NotTrusted as error:
        raise Misconfigured(f"DATABASE_URL: {error}") from None
    except StorageUnavailable as error:
        log.warning("preflight.database_unavailable", error=str(error))
        return False
    return True


@beat_init.connect
def check_broker_of_beat(**_: Any) -> None:
    """Beat ends as a worker does where only an operator can help with the broker; it has no books."""
    try:
        check_broker(configuration().require_broker_url(), ())
        check_name(configuration().require_broker_url(), configuration().installation)
    except Misconfigured as error:
        refuse(str(error))


def refuse(message: str) -> NoReturn:
    """Ends the process with exit code 78 and one line on standard error."""
    print(f"tollbook: {message}", file=sys.stderr)  # noqa: T201 - also for whoever reads no log
    raise SystemExit(os.EX_CONFIG)
