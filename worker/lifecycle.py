"""What must happen when processes start, fork and stop."""

import gc
from typing import Any

from celery.signals import worker_process_init, worker_ready, worker_shutdown

from core.database.database import database

_COLLECT_AFTER_OBJECTS = 100_000  # more than two batches in the making have; collecting at every 700 costs a twentieth of all work


@worker_process_init.connect
def forget_inherited_connections(**_: Any) -> None:
    """A forked child must not speak on its parent's database connections: it makes its own."""
    database.cache_clear()


@worker_ready.connect
def freeze_what_stays(**_: Any) -> None:
    """What the start has made lives as long as the process: the collector needn't look at it again and again.

    Nor at each batch in the making: only at what has grown to many thousands of objects, as no batch does.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)


@worker_shutdown.connect
def close_connections(**_: Any) -> None:
    """The database sees a worker leave rather than vanish."""
    if database.cache_info().currsize:
        database().dispose()
