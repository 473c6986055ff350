"""SQL of alerts of caps: each share of a window that was reached, or left again, written in the transaction that did it, and only once."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.caps.model import Cap, CounterKey, Reached
from core.database.packing import packed, unpacked_rows

# Whoever tells the same has the counter first. A share that is reached once more isn't told once more, nor that one is left that was never told.
_WRITE = text(f"""
    INSERT INTO cap_alerts (mandate_id, cap_id, user_id, window_start, share, recovered, spent_before, spent_after, threshold, limit_chf, batch_id)
    SELECT a.*, :batch_id FROM {
    unpacked_rows(
        {
            "mandate_id": "text",
            "cap_id": "bigint",
            "user_id": "text",
            "window_start": "date",
            "share": "smallint",
            "recovered": "boolean",
            "spent_before": "numeric",
            "spent_after": "numeric",
            "threshold": "numeric",
            "limit_chf": "numeric",
        }
    )
} AS a
     WHERE a.cap_id IS NOT NULL
       AND (NOT a.recovered OR EXISTS (SELECT FROM cap_alerts c
                                        WHERE c.cap_id = a.cap_id AND c.user_id = a.user_id AND c.window_start = a.window_start
                                          AND c.share = a.share AND NOT c.recovered))
    ON CONFLICT (cap_id, user_id, window_start, share, recovered) DO NOTHING
""")


class CapAlert(NamedTuple):
    """A share of a window of a cap that was reached or left, by spending that was and is so many CHF."""

    cap: Cap
    key: CounterKey
    reached: Reached
    spent_before: Decimal
    spent_after: Decimal


def write_cap_alerts(connection: Connection, alerts: Sequence[CapAlert], batch_id: int | None) -> None:
    """Writes one row for each that was not told before; the counters are locked."""
    if not alerts:
        return
    columns = {
        "mandate_id": packed(a.cap.mandate_id for a in alerts),
        "cap_id": packed(a.cap.id for a in alerts),
        "user_id": packed(a.key.user_id for a in alerts),
        "window_start": packed(a.key.window_start for a in alerts),
        "share": packed(a.reached.share for a in alerts),
        "recovered": packed(a.reached.recovered for a in alerts),
        "spent_before": packed(a.spent_before for a in alerts),
        "spent_after": packed(a.spent_after for a in alerts),
        "threshold": packed(a.reached.line for a in alerts),
        "limit_chf": packed(a.cap.limit_chf for a in alerts),
    }
    connection.execute(_WRITE, columns | {"batch_id": batch_id})
