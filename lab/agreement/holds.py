"""Holds and caps of the books and of the model in the same words, so that they can be compared whole."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text

from core.database.database import Database
from lab.oracle.caps import Cap
from lab.oracle.hold import Hold
from lab.oracle.holds import HeldBooks

_HOLDS = """
    SELECT h.*, CASE WHEN h.balance_account_id IS NOT NULL THEN coalesce(a.user_id, '') END AS holder
      FROM holds h LEFT JOIN accounts a ON a.id = h.balance_account_id WHERE h.mandate_id = ANY(:mandates)
"""
_HELD = "SELECT mandate_id, coalesce(user_id, '') AS holder, held FROM accounts WHERE mandate_id = ANY(:mandates) AND held <> 0"
_COUNTERS = """
    SELECT n.* FROM cap_counters n JOIN caps c ON c.id = n.cap_id
     WHERE c.mandate_id = ANY(:mandates) AND c.removed_at IS NULL AND (n.spent <> 0 OR n.held <> 0)
"""
_ALERTS = "SELECT * FROM cap_alerts WHERE mandate_id = ANY(:mandates)"
_NUMBERS = ("amount", "state", "captured", "released", "expired", "used", "over_hold", "use_count", "late_count")


def holds_of_books(database: Database, mandates: Iterable[str]) -> dict[str, Any]:
    """What the database has of holds and of caps, at one moment; caps by their ids."""
    with database.snapshot() as connection:

        def read(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(sql), {"mandates": list(mandates)}).mappings()]

        return {
            "holds": {(row["mandate_id"], row["hold_key"]): _of_hold(row) for row in read(_HOLDS)},
            "held": {(row["mandate_id"], row["holder"]): row["held"] for row in read(_HELD)},
            "counters": {(row["cap_id"], row["user_id"], row["window_start"]): (row["spent"], row["held"]) for row in read(_COUNTERS)},
            "cap alerts": sorted((row["cap_id"], row["user_id"], row["window_start"], row["share"], row["recovered"]) for row in read(_ALERTS)),
        }


def _of_hold(row: dict[str, Any]) -> tuple[Any, ...]:
    asked = row["content_hash"] is not None
    when = (row["local_date"], row["authorised_at"], row["expires_at"]) if asked else None
    # Whose an open hold is now; a settled one's is that of then.
    return (row["user_id"], *(row[name] for name in _NUMBERS), when, row["settled_at"] is not None, row["holder"] if row["state"] == "OPEN" else None)


def holds_of_model(model: HeldBooks, ids: dict[Cap, int]) -> dict[str, Any]:
    """The same of the model; `ids` are what its caps are known by."""
    held = {(mandate, holder): model.held(mandate, holder, with_over=True) for mandate, own in model.mandates.items() for holder in own.accounts}
    present = [cap for cap in model.caps if not cap.removed]
    return {
        "holds": {key: _hold(hold) for key, hold in model.holds.items()},
        "held": {key: amount for key, amount in held.items() if amount},
        "counters": {(ids[cap], *window): counter for cap in present for window, counter in model.counters(cap).items() if any(counter)},
        "cap alerts": sorted((ids[cap], *told) for cap in model.caps for told in cap.told),
    }


def _hold(hold: Hold) -> tuple[Any, ...]:
    when = None if hold.question is None else (hold.day, hold.since, hold.until)
    numbers = hold.amount, hold.state, hold.captured, hold.released, hold.expired, hold.used, hold.beyond, hold.uses, hold.late
    return (hold.user, *numbers, when, hold.settled is not None, hold.holder if hold.state == "OPEN" else None)
