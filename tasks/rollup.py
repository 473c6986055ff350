"""Statistics follow what is recorded."""

from typing import Any

import structlog
from celery import shared_task

from core.database.database import database
from core.statistics.close_day import close_day
from core.statistics.roll_up import roll_up_usage
from tasks.job import Job

log = structlog.get_logger()


@shared_task(base=Job, name="usage.rollup")
def run_rollup() -> int:
    """Adds every pending batch to the statistics; returns how many. A replay, or a second one at once, finds nothing to do."""
    done = roll_up_usage(database())
    if done.batches:
        log.info("usage.rolled_up", batches=done.batches, events=done.events, rows=done.rows_written, complete=done.complete)
    return done.batches


@shared_task(base=Job, name="usage.close_day", bind=True)
def run_close_day(self: Any) -> list[str]:
    """Closes the days that have ended since, each once; returns them. A replay does nothing."""
    days = [day.isoformat() for day in close_day(database(), worker=self.request.hostname or "local") or []]
    if days:
        log.info("usage.days_closed", days=days)
    return days
