"""Telling producers: what waits in the books goes onto their queues, at least once."""

from core.database.database import Database
from core.outcomes.message import OutcomeMessage
from core.outcomes.sql.outbox import age_out_outcomes, take_outcomes, try_hold_outcomes, waiting_queues
from core.outgoing import OutgoingQueue

OUTCOMES_MAX = 100  # of one transaction: RabbitMQ confirms them one by one, and the database ends a transaction that is idle for a minute
AGED_OUT_MAX = 10_000  # of one transaction


def queues_with_outcomes(database: Database) -> list[str]:
    """The queues on which producers are still to be told something."""
    with database.transaction() as connection:
        return waiting_queues(connection)


def publish_outcomes(database: Database, name: str, queue: OutgoingQueue) -> int:
    """Tells the oldest outcomes that wait for the queue `name`, up to 100 and as many as it has room for; returns how many. Call it until none.

    Each is removed in a transaction that commits after the broker took it. If that fails in between, it is told again, under the same outcome
    id; nothing else makes a repetition, two callers at once included.

    Raises:
        Exception: whatever the queue raises; call it again.
    """
    with database.transaction() as connection:
        if not try_hold_outcomes(connection) or (room := queue.room()) <= 0:
            return 0
        outcomes = take_outcomes(connection, name, min(room, OUTCOMES_MAX))
        if outcomes:  # last of all: whatever fails after it makes a repetition
            queue.put([OutcomeMessage.model_validate(dict(fields)).body() for fields in outcomes])
        return len(outcomes)


def withhold_old_outcomes(database: Database, days: int) -> int:
    """What has waited for `days` is told to nobody any more; returns how many, 10,000 at most. Repeatable."""
    with database.transaction() as connection:
        return age_out_outcomes(connection, days, AGED_OUT_MAX) if try_hold_outcomes(connection) else 0
