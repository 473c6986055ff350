"""What must be right before a worker takes its first message; what can only be set right by an operator ends it."""

import os
import sys
from typing import Any, NoReturn
from urllib.parse import urlsplit

import redis
import structlog
from celery import bootsteps
from redis.exceptions import AuthenticationError, AuthorizationError

from core.config import configuration
from core.errors import Misconfigured, StorageUnavailable
from core.storage.database import database
from core.storage.migrate import require_current
from worker.intake.redis_source import connect

log = structlog.get_logger()

_REFUSED = (AuthenticationError, AuthorizationError)


class Preflight(bootsteps.Step):
    """Runs before the pool and the intake: exit 78 (EX_CONFIG) with one line that says what to do."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            check_broker(configuration().require_broker_url())
            check_books()
        except Misconfigured as error:
            refuse(str(error))


def served_broker(url: str) -> str:
    """`url`, if it names a kind of broker that is served; nothing is connected.

    Raises:
        Misconfigured: it does not; the message says what would.
    """
    if not url.startswith(("redis://", "rediss://", "redis+socket://")):
        raise Misconfigured(f"CELERY_BROKER_URL: {url.split(':', 1)[0]}:// is not served; use redis:// or rediss:// (Redis 6.2+ or Valkey)")
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


def check_broker(url: str) -> None:
    """Returns if the broker may hold usage events, or can't be asked now (the worker waits for it).

    Raises:
        Misconfigured: it refuses the login, or may evict messages when its memory is full.
    """
    client = connect(served_broker(url))
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
        log.warning("preflight.broker_unavailable", error=str(error))
        return
    finally:
        client.close()
    if policy != "noeviction":
        raise Misconfigured(f"the broker evicts messages when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction")


def check_books() -> None:
    """Returns if the database is at this program's revision, or can't be asked now (the worker waits for it).

    Raises:
        Misconfigured: it refuses the login, or `tollbook db upgrade` has not been run.
    """
    try:
        with database().transaction() as connection:
            require_current(connection)
    except StorageUnavailable as error:
        log.warning("preflight.database_unavailable", error=str(error))


def refuse(message: str) -> NoReturn:
    """Ends the process with exit code 78 and one line on standard error."""
    print(f"tollbook: {message}", file=sys.stderr)  # noqa: T201 - also for whoever reads no log
    raise SystemExit(os.EX_CONFIG)
