"""Alerts leave for whoever wants to tell people about them."""

from typing import Any

import structlog
from celery import shared_task

from core.alerts.publish import count_waiting_alerts, publish_alerts
from core.config import configuration
from core.database.database import database
from core.metrics import ALERTS, ALERTS_OLDEST_SECONDS, ALERTS_WAITING
from tasks.job import Job
from tasks.outgoing import outgoing_queue

log = structlog.get_logger()

QUEUE = "balance.alerts"
TRANSACTIONS_MAX = 50  # of 500 alerts: a stopping worker does not wait long, and the schedule soon comes again


@shared_task(base=Job, name="alerts.publish", bind=True)
def publish(self: Any) -> dict[str, int] | None:
    """Publishes alerts that wait, while the queue has room; returns how many; None: there was none, or it is off. A replay finds none."""
    messages_max = configuration().alerts_queue_max
    if not messages_max:
        return None
    counts = {"published": 0, "withheld": 0}
    with outgoing_queue(self.app, QUEUE, messages_max) as queue:
        for _ in range(TRANSACTIONS_MAX):
            done = publish_alerts(database(), queue)
            counts = {"published": counts["published"] + done.published, "withheld": counts["withheld"] + done.withheld}
            ALERTS.labels("published").inc(done.published)
            ALERTS.labels("withheld").inc(done.withheld)
            if not done.published and not done.withheld:
                break
    waiting = count_waiting_alerts(database())
    ALERTS_WAITING.set(waiting.alerts)
    ALERTS_OLDEST_SECONDS.set(waiting.oldest_seconds)
    if not any(counts.values()):
        return None
    log.info("alerts.published", **counts)
    return counts
