"""Parked events become debits once their mandate is known."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.database.database import database
from core.recording.release_parked import release_all_parked
from tasks.job import Job

log = structlog.get_logger()

BATCHES_MAX = 50  # of 1,000 events: a stopping worker does not wait long, and the schedule soon comes again


@shared_task(base=Job, name="parked.release", bind=True)
def release(self: Any) -> int:
    """Records parked events whose mandate is known by now, up to 50,000; returns how many. A replay finds none."""
    result = release_all_parked(database(), config=configuration(), worker=self.request.hostname or "local", batches_max=BATCHES_MAX)
    released = len(result.outcomes)
    if released:
        log.info("parked.released", events=released)
    return released
