"""Counting a mandate's caps anew, where their counters are not what the ledger and the open holds say."""

from sqlalchemy import Connection

from core.caps.model import Caps, window_start
from core.caps.sql.alerts import CapAlert, write_cap_alerts
from core.caps.sql.caps import load_caps
from core.caps.sql.expected import count_caps
from core.caps.sql.kept import find_today, renew_token, widen


def recount(connection: Connection, mandate_id: str) -> int:
    """Each counter of the mandate's present caps is what it has to be afterwards; returns how many were not. Repeatable.

    Writes an alert for each share of a present window that is thereby reached or left, and was not told of before. The caller holds the
    mandate alone. The caps get another token, so that whoever knew them reads them again.
    """
    wrong = count_caps(connection, mandate_id)
    renew_token(connection, mandate_id)
    _, caps = load_caps(connection, [mandate_id]).get(mandate_id, (None, Caps([])))
    today = find_today(connection, mandate_id)
    alerts = [
        CapAlert(caps.by_id[one.cap_id], one.key, reached, one.stored_spent, one.spent)
        for one in wrong
        if today is not None and one.window_start >= window_start(caps.by_id[one.cap_id].period, today)
        for reached in caps.reached(one.cap_id, one.stored_spent, one.spent)
    ]
    write_cap_alerts(connection, alerts, None)
    return len(wrong)


def follow_zone(connection: Connection, mandate_id: str) -> None:
    """Caps count from the present window on in whatever zone the mandate has by now: to the west the day may be one that was over before.

    The caller has changed the zone, and holds the mandate alone.
    """
    today = find_today(connection, mandate_id)
    if today is not None and widen(connection, mandate_id, today):
        recount(connection, mandate_id)
