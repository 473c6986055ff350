"""Parked events become debits once their mandate is known."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.operations.recording.work import KnownAccounts
from core.operations.release_parked import release_parked
from core.storage.database import database

log = structlog.get_logger()


@shared_task(name="parked.release", bind=True)
def release(self: Any) -> int:
    """Records every parked event whose mandate is known by now; returns how many it released. A replay finds none."""
    released = 0
    known_accounts = KnownAccounts()
    while outcomes := release_parked(
        database(), config=configuration(), known_accounts=known_accounts, worker=self.request.hostname or "local"
    ).outcomes:
        released += len(outcomes)
    if released:
        log.info("parked.released", events=released)
    return released
