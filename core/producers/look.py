"""Before a gap is told, the ledger itself is asked: workers of the release before record events and append no numbers."""

from datetime import timedelta

from core.database.database import Database, allow_time
from core.producers.merge import fill
from core.producers.sql.looking import due_look, find_numbers, mark_looked
from core.producers.sql.merging import hold_producers

PAUSE = timedelta(minutes=10)  # between two looks, each of which reads what was recorded since two days before the oldest gap


def look_for_missing(database: Database, gap_seconds: float, *, pause: timedelta = PAUSE) -> bool:
    """Gaps older than `gap_seconds` are looked for in the ledger, once each: what is recorded there is missing no more, the rest is told.

    Returns whether what findings tell has changed. Repeatable; at once with another look, or with a merge, harmless.

    Raises:
        StorageUnavailable: the database can't answer now; call again.
    """
    age = timedelta(seconds=gap_seconds)
    with database.snapshot() as connection:
        due = due_look(connection, age, pause)
        if due is None:
            return False
        allow_time(connection)
        producer_ids, recorded_from = due
        found = find_numbers(connection, producer_ids, recorded_from)
    with database.transaction() as connection:
        hold_producers(connection)
        changed = bool(found) and fill(connection, found)
        return mark_looked(connection, producer_ids, age) > 0 or changed
