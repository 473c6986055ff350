"""Which numbers of producers are missing is kept up to date."""

from dataclasses import asdict

import structlog
from celery import shared_task

from core.config import configuration
from core.database.database import database
from core.producers.look import look_for_missing
from core.producers.merge import merge_producers
from core.verifying.keep_gaps import keep_gaps
from tasks.job import Job

log = structlog.get_logger()


@shared_task(base=Job, name="producers.merge")
def merge() -> dict[str, int] | None:
    """Merges the numbers that came, and keeps what has been missing for long as findings; returns what it did, if anything.

    A replay, or a second one at once, changes nothing.
    """
    merged = merge_producers(database())
    if merged.without_room:
        log.warning("producers.no_room", producers=merged.without_room)
    if look_for_missing(database(), configuration().producer_gap_seconds) or merged.told_changed:
        new, gone = keep_gaps(database())
        if new or gone:
            log.warning("producers.gaps", findings_new=new, findings_gone=gone, see="tollbook producers --missing")
    counts = {name: int(value) for name, value in asdict(merged).items()}
    return counts if any(counts.values()) else None
