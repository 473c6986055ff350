"""Publishing alerts: what the books recorded goes onto a queue, none is lost and none invented."""

from dataclasses import dataclass

from core.alerts.message import AlertMessage, CapAlertMessage
from core.alerts.sql.outbox import count_waiting, mark_published, mark_withheld, try_hold_outbox, waiting_alerts
from core.database.database import Database
from core.outgoing import OutgoingQueue

ALERTS_MAX = 100  # of one transaction: they are confirmed one by one, and the database ends a transaction that is idle for a minute


@dataclass(frozen=True, slots=True)
class WaitingAlerts:
    """How many alerts wait, counted up to 100,000, and the age in seconds of the one with the lowest id (0 if none waits)."""

    alerts: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Publication:
    """What became of alerts that waited."""

    published: int
    withheld: int


def publish_alerts(database: Database, queue: OutgoingQueue) -> Publication:
    """Publishes the oldest alerts that wait, up to 100 and as many as the queue has room for, in the order of their ids.

    Each is marked as published in a transaction that commits after the broker took it. If that fails in between, it is
    published again, under the same alert id; nothing else makes a repetition, two callers at once included. An alert whose
    mandate wants no notifications when its turn comes is marked as withheld. Call it until nothing was published or withheld.

    Raises:
        Exception: whatever the queue raises; call it again.
    """
    with database.transaction() as connection:
        alerts = []
        if try_hold_outbox(connection):
            room = queue.room()
            alerts = waiting_alerts(connection, min(room, ALERTS_MAX)) if room > 0 else []
        wanted = [alert for alert in alerts if alert.wanted]
        unwanted = [alert for alert in alerts if not alert.wanted]
        if unwanted:
            mark_withheld(connection, unwanted)
        if wanted:
            mark_published(connection, wanted)
        if wanted:  # last of all: whatever fails after it makes a repetition
            queue.put([(CapAlertMessage if alert.of_cap else AlertMessage).model_validate(alert.fields).body() for alert in wanted])
        return Publication(len(wanted), len(unwanted))


def count_waiting_alerts(database: Database) -> WaitingAlerts:
    """What waits to be published: a look at up to 100,000 alerts, for the end of a run rather than for each part of it."""
    with database.transaction() as connection:
        return WaitingAlerts(*count_waiting(connection))
