"""Jobs that keep the books in order."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.operations.housekeep import housekeep
from core.storage.database import database

log = structlog.get_logger()


@shared_task(name="books.housekeep", bind=True)
def run_housekeep(self: Any) -> dict[str, int] | None:
    """Partitions ahead of time and retention, once per period; see `core.operations.housekeep`. A replay does nothing."""
    counts = housekeep(database(), config=configuration(), worker=self.request.hostname or "local")
    if counts is not None:
        log.info("books.kept", **counts)
        if counts["rows_moved_from_default"]:
            log.warning("books.default_partition_used", rows=counts["rows_moved_from_default"])
    return counts
