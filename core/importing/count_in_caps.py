"""The history of an import in the counters of caps: usage of a window that a cap counts stands in it, wherever it was billed."""

from core.caps.counters import caps_of, move_counters
from core.database.database import allow_time
from core.importing.sql.entries import spent_in
from core.importing.work import Importing
from core.ledger.opening import KnownAccounts


def count_in_caps(work: Importing) -> None:
    """Moves the counters of those mandates that have caps by what this import has written, once all of it is; after all balances."""
    caps = caps_of(work.connection, work.settings_of(()).values(), KnownAccounts())
    if caps:
        allow_time(work.connection)
        move_counters(work.connection, caps, spent_in(work.connection, work.batch_ids, list(caps)), None)
