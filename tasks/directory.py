"""The directory's mirror follows its source."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.database.database import database
from core.directory.sync import sync_directory
from core.errors import TollbookError
from core.recording.release_parked import release_all_parked
from tasks.job import Job

log = structlog.get_logger()

BATCHES_MAX = 50  # as parked.release, which goes on with the rest


@shared_task(base=Job, name="directory.sync", bind=True, throws=(TollbookError,))
def sync(self: Any) -> dict[str, int] | None:
    """Reads the directory's source if that is due, then records events parked for what became known. A replay does nothing."""
    config, worker = configuration(), self.request.hostname or "local"
    if not config.directory_url:
        return None
    try:
        counts = sync_directory(database(), config=config, worker=worker)
    except TollbookError as error:
        log.warning("directory.not_synchronised", error=str(error))
        raise
    if counts is not None:
        released = release_all_parked(database(), config=config, worker=worker, batches_max=BATCHES_MAX)
        log.info("directory.synchronised", **counts, parked_released=len(released.outcomes))
        if counts["time_zones_unknown"]:
            log.warning("directory.time_zones_unknown", mandates=counts["time_zones_unknown"], see="tollbook zones check")
    return counts
