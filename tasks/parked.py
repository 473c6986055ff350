"""Parked events become debits once their mandate is known."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.operations.recording.work import KnownAccounts
from core.operations.release_parked import release_parked
from core.storage.database import database

log = structlog.get_logger()

BATCHES_MAX = 50  # of 1,000 events: a stopping worker does not wait long, and the schedule soon comes again


@shared_task(name="parked.release", bind=True)
def release(self: Any) -> int:
    """Records parked events whose mandate is known by now, up to 50,000; returns how many. A replay finds none."""
    released = 0
    known_accounts = KnownAccounts()
    worker = self.request.hostname or "local"
    for _ in range(BATCHES_MAX):
        outcomes = release_parked(database(), config=configuration(), known_accounts=known_accounts, worker=worker).outcomes
        if not outcomes:
            break
        released += len(outcomes)
    if released:
        log.info("parked.released", events=released)
    return released
