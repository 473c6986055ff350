"""Jobs that keep the books in order."""

from typing import Any

from celery import shared_task

from core.config import configuration
from core.operations.housekeep import housekeep
from core.storage.database import database


@shared_task(name="books.housekeep", bind=True)
def run_housekeep(self: Any) -> dict[str, int] | None:
    """Partitions ahead of time, once per period; see `core.operations.housekeep`. A replay does nothing."""
    return housekeep(database(), config=configuration(), worker=self.request.hostname or "local")
