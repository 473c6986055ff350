"""What must happen when processes start, fork and stop; and one cure for the stock Redis transport."""

from typing import Any

from celery.signals import worker_process_init, worker_shutdown
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError

from core.storage.database import database


@worker_process_init.connect
def forget_inherited_connections(**_: Any) -> None:
    """A forked child must not speak on its parent's database connections: it makes its own."""
    database.cache_clear()


@worker_shutdown.connect
def close_connections(**_: Any) -> None:
    """The database sees a worker leave rather than vanish."""
    if database.cache_info().currsize:
        database().dispose()


def cure_redis_transport() -> None:
    """A worker outlives its broker.

    A Redis channel of kombu 5.7, closed while acknowledgements are under way, asks its lost connection for a host name, and
    the AttributeError ends the worker. With this it gets the connection error that it knows how to handle.
    """
    original = kombu_redis.Channel._connparams  # type: ignore[attr-defined]  # noqa: SLF001

    def connparams(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the channel is closed")
        return original(self, *args, **kwargs)

    kombu_redis.Channel._connparams = connparams  # type: ignore[attr-defined]  # noqa: SLF001
