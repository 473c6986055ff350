"""What must happen when processes start, fork and stop."""

from typing import Any

from celery.signals import worker_process_init, worker_shutdown

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
