"""Jobs that keep the books in order."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.database.database import database
from core.housekeeping.housekeep import housekeep
from core.verifying.reconcile import reconcile, violations_in
from tasks.job import Job

log = structlog.get_logger()


@shared_task(base=Job, name="books.housekeep", bind=True)
def run_housekeep(self: Any) -> dict[str, int] | None:
    """Partitions ahead of time and retention, once per period; see `core.housekeeping.housekeep`. A replay does nothing."""
    counts = housekeep(database(), config=configuration(), worker=self.request.hostname or "local")
    if counts is not None:
        log.info("books.kept", **counts)
        if counts["rows_moved_from_default"]:
            log.warning("books.default_partition_used", rows=counts["rows_moved_from_default"])
    return counts


@shared_task(base=Job, name="books.reconcile", bind=True)
def run_reconcile(self: Any) -> dict[str, int] | None:
    """Looks at every invariant, once per day; see `core.verifying.reconcile`. A replay does nothing."""
    counts = reconcile(database(), worker=self.request.hostname or "local")
    if counts is not None:
        log.info("books.reconciled", **counts)
        for invariant, violations in violations_in(counts).items():
            log.error("books.invariant_broken", invariant=invariant, violations=violations, see="tollbook findings")
    return counts
