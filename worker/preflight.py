"""What must be right before a worker takes its first message; what can only be set right by an operator ends it."""

import os
import re
import sys
from collections.abc import Collection
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import redis
import structlog
from celery import bootsteps
from celery.signals import beat_init
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from core.config import configuration
from core.database.database import database
from core.database.logins import ENCODE, has_raw_password
from core.errors import Misconfigured, StorageUnavailable
from core.printable import printable
from core.schema.revision import require_current
from worker.installation import check_installation, check_name
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, connected, declare, is_amqp, refusal
from worker.intake.redis_source import connect
from worker.intake.rights import missing_right
from worker.queue_limits import USAGE_QUEUES
from worker.tls import UNVERIFIED, certificate_refusal, check_tls, is_unverified

log = structlog.get_logger()

_ANOTHER = re.compile(r";[A-Za-z+]+://")  # kombu's way of writing several
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_REFUSED = (AuthenticationError, AuthorizationError)


class Preflight(bootsteps.Step):
    """Runs before the pool and the intake: exit 78 (EX_CONFIG) with one line that says what to do."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            check_broker(configuration().require_broker_url(), [*worker.app.amqp.queues, *_dead_queues(worker.app)])
            if check_books():
                check_installation()
        except Misconfigured as error:
            refuse(str(error))


def _dead_queues(app: Any) -> list[str]:
    """Those that the pump needs beside its own, on RabbitMQ."""
    served = [queue for queue in USAGE_QUEUES if queue in app.amqp.queues.consume_from]
    return [queue + DEAD_SUFFIX for queue in served] if configuration().intake == "pump" else []


def served_broker(url: str) -> str:
    """`url` as every client takes it, if it names a kind of broker that is served and TLS is set up for it; nothing is connected.

    Raises:
        Misconfigured: it does not; the message says what would.
    """
    scheme = _SCHEME.match(url)
    if not is_amqp(url) and not url.startswith(("redis://", "rediss://", "redis+socket://")):
        raise Misconfigured(
            f"CELERY_BROKER_URL: {scheme[0] if scheme else 'what it names'} is not served; use redis:// or rediss:// (Redis 6.2+ or Valkey),"
            " amqp:// or amqps:// (RabbitMQ)"
        )
    if scheme and _ANOTHER.search(url):
        raise Misconfigured(f"CELERY_BROKER_URL: {scheme[0]} names one host; for a cluster, a load balancer in front of it")
    if has_raw_password(url):
        raise Misconfigured(f"CELERY_BROKER_URL: {ENCODE}")
    _parts(url)
    url = check_tls(url)
    if is_amqp(url):
        return _served_rabbitmq(url)
    parts = _parts(url)
    if url.startswith("redis+socket://"):
        return _served_socket(url, parts)
    if parts.query and url.startswith("redis://"):
        raise Misconfigured("CELERY_BROKER_URL: redis:// takes no options after the question mark")
    if not parts.hostname or set(parts.netloc.rpartition("@")[2]) & {",", ";"}:
        raise Misconfigured(f"CELERY_BROKER_URL: {parts.scheme}:// names one server")
    if (path := parts.path.strip("/")) and not path.isdecimal():
        raise Misconfigured("CELERY_BROKER_URL: the database after the host is a number, such as /0")
    try:
        connect(url).close()
    except (ValueError, KeyError):
        raise Misconfigured("CELERY_BROKER_URL: an option after the question mark can't be used") from None
    return url


def _served_socket(url: str, parts: SplitResult) -> str:
    if not parts.path.strip("/") or not re.fullmatch(r"(virtual_host=\d+)?", parts.query):
        raise Misconfigured(
            "CELERY_BROKER_URL: redis+socket:// names the socket's file and a database, as redis+socket:///run/valkey.sock?virtual_host=0"
        )
    return url


def _served_rabbitmq(url: str) -> str:
    parts = _parts(url)
    if ";" in url or not parts.hostname or "," in parts.netloc.rpartition("@")[2]:
        raise Misconfigured(f"CELERY_BROKER_URL: {parts.scheme}:// names one host; for a cluster, a load balancer in front of it")
    if parts.query:
        raise Misconfigured(f"CELERY_BROKER_URL: {parts.scheme}:// takes no options after the question mark")
    return url


def _parts(url: str) -> SplitResult:
    """What the error of the library says is no message: it may hold a part of the password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise Misconfigured(
            f"CELERY_BROKER_URL can't be used: after the host stands a port from 1 to 65535, if any, and an IPv6 address has brackets; {ENCODE}"
        ) from None
    return parts


def check_broker(url: str, queues: Collection[str]) -> None:
    """Returns if the broker may hold usage events, or can't be asked now (the worker waits for it).

    Raises:
        Misconfigured: its certificate is refused; it refuses the login; Redis may evict messages when its memory is full, or is a
            cluster; RabbitMQ has no such virtual host, refuses to declare `queues`, or has one of them declared in another way.
    """
    url = served_broker(url)
    if is_unverified(url):
        log.warning("broker.unverified", error=UNVERIFIED)
    if is_amqp(url):
        _check_rabbitmq(url, queues)
    else:
        _check_redis(url, queues)


def _check_rabbitmq(url: str, queues: Collection[str]) -> None:
    try:
        with connected(url) as channel:
            declare(channel, queues)
    except ERRORS as error:
        if (refused := refusal(error)) is not None:
            raise refused from None
        log.warning("preflight.broker_unavailable", error=f"{type(error).__name__}: {error}")


def refuse_cluster(url: str) -> None:
    """Returns if the broker is one server as far as can be told.

    Raises:
        Misconfigured: it is a node of a Redis Cluster.
    """
    if is_amqp(url):
        return
    client = connect(url)
    try:
        spread = client.info("cluster").get("cluster_enabled")
    except redis.RedisError:  # away, or this login may not ask
        return
    finally:
        client.close()
    if spread:
        raise Misconfigured(
            "CELERY_BROKER_URL names a Redis Cluster, over whose nodes one transaction can't reach: use one server, with replicas"
            " (cluster mode disabled)"
        )


def _check_redis(url: str, queues: Collection[str]) -> None:
    refuse_cluster(url)
    client, lacking = connect(url), None
    try:
        lacking = missing_right(client, queues) if queues else None
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except _REFUSED as error:
        raise Misconfigured(f"the broker refuses the login: {error}; check CELERY_BROKER_URL") from None
    except NoPermissionError as error:
        lacking, policy = lacking or f"the command INFO ({error})", "noeviction"
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
    if lacking is not None:
        raise Misconfigured(f"the broker's login lacks a right: {lacking}; grant it (docs/operations.md#the-brokers-logins)")
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
    print(f"tollbook: {printable(message)}", file=sys.stderr)  # noqa: T201 - also for whoever reads no log
    raise SystemExit(os.EX_CONFIG)
