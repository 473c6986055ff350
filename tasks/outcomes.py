"""Refused and parked events are told to producers that asked for it."""

from typing import Any

import structlog
from celery import Celery, shared_task

from core.config import configuration
from core.database.database import database
from core.metrics import OUTCOMES_TOLD
from core.outcomes.publish import publish_outcomes, queues_with_outcomes, withhold_old_outcomes
from tasks.job import Job
from tasks.outgoing import producers_queue

log = structlog.get_logger()

TRANSACTIONS_MAX = 20  # of 100 outcomes, for each queue: a stopping worker does not wait long, and the schedule soon comes again
_DAY_SECONDS = 24 * 3600


@shared_task(base=Job, name="outcomes.publish", bind=True)
def publish(self: Any) -> dict[str, int] | None:
    """Tells what waits, to each queue while it has room; returns how much, if any. A replay finds none."""
    counts = {"published": 0, "withheld": 0}
    if names := queues_with_outcomes(database()):
        counts["withheld"] = withhold_old_outcomes(database(), configuration().outcome_retention_days)
        counts["published"] = sum(_publish_to(self.app, name) for name in names)
    for what, number in counts.items():
        OUTCOMES_TOLD.labels(what).inc(number)
    if not any(counts.values()):
        return None
    log.info("outcomes.published", **counts)
    return counts


def _publish_to(app: Celery, name: str) -> int:
    """How much was told on one queue; what fails of it must not keep the others from being told."""
    config, told = configuration(), 0
    try:
        with producers_queue(app, name, config.outcomes_queue_max, config.outcome_retention_days * _DAY_SECONDS) as queue:
            for _ in range(TRANSACTIONS_MAX):
                published = publish_outcomes(database(), name, queue)
                told += published
                if not published:
                    break
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises: a right that is missing, a list of another type
        log.warning("outcomes.not_published", queue=name, error=f"{type(error).__name__}: {error}")
    return told
