"""What a batch counts in caps: its usage, and what it frees of holds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from core.caps.counters import Moved, move_counters
from core.caps.model import Caps, Spending
from core.caps.sql.alerts import CapAlert
from core.holds.sql.capture import Taken, Use
from core.ledger.sql.transactions import UsageDebit
from core.recording.work import Work


def count_in_caps(
    work: Work, caps: Mapping[str, Caps], debits: Sequence[UsageDebit], days: Mapping[int, date], holds: Iterable[tuple[Use, Taken]]
) -> list[CapAlert]:
    """Moves the counters of those mandates that have caps; each debit counts on its local day, each hold on that of its authorisation.

    Returns the alerts of shares that were reached.
    """
    moved = []
    for debit in debits:
        event = debit.event
        if event.mandate_id in caps:
            spending = Spending(event.mandate_id, event.user_id, event.provider, event.model, event.feature_code)
            moved.append(Moved(spending, days[debit.id], debit.amount))
    for use, hold in holds:
        if use.mandate_id in caps and hold.freed and hold.local_date is not None:
            spending = Spending(use.mandate_id, use.user_id, hold.provider, hold.model, hold.feature_code)
            moved.append(Moved(spending, hold.local_date, held=-hold.freed))
    return move_counters(work.connection, caps, moved, work.batch.id)
