"""Forgetting producers: most name one life of one process, which ends."""

from core.database.database import Database
from core.producers.sql.merging import forget_unseen, hold_producers

PRODUCERS_MAX = 5_000  # of one transaction
TRANSACTIONS_MAX = 200


def forget_producers(database: Database, days: int) -> int:
    """Removes the producers that were not seen for so many days, and what is missing of them; returns how many. Repeatable.

    One that comes again after that is a new one, whose earlier numbers are looked for as any that are missing.

    Raises:
        StorageUnavailable: the database can't answer now; what was committed stays, call again.
    """
    forgotten = 0
    for _ in range(TRANSACTIONS_MAX):
        with database.transaction() as connection:
            hold_producers(connection)
            part = forget_unseen(connection, days, PRODUCERS_MAX)
        forgotten += part
        if part < PRODUCERS_MAX:
            break
    return forgotten
