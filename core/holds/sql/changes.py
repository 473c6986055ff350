"""SQL of what becomes of a hold once it is authorised, but for capture: renewed, released, expired."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.packing import packed, unpacked_rows
from core.database.rows import row
from core.holds.model import TTL_MAX, Hold
from core.holds.sql.authorise import BY_KEYS, HoldKey
from core.ledger.sql.held import CLOCK, is_over

_HOLD = ", ".join(f"h.{field.name}" for field in fields(Hold))
_OF = "h.mandate_id = :mandate_id AND h.hold_key = :hold_key"
_LOCK = text(f"SELECT {_HOLD} FROM holds h WHERE {_OF} FOR NO KEY UPDATE")

# Each is done only while the hold is open by a clock that is read now, after its locks.
_RENEW = text(f"""
    UPDATE holds h
       SET expires_at = greatest(h.expires_at, least({CLOCK} + make_interval(secs => :ttl_seconds), h.authorised_at + CAST(:longest AS interval)))
     WHERE {_OF} AND h.settled_at IS NULL AND NOT {is_over("h", CLOCK)}
    RETURNING {_HOLD}
""")
_RELEASE = text(f"""
    UPDATE holds h SET state = 'RELEASED', released = h.amount - h.captured, settled_at = {CLOCK}
     WHERE {_OF} AND h.settled_at IS NULL AND NOT {is_over("h", CLOCK)}
    RETURNING {_HOLD}
""")

_LOOK_UP_BY_KEYS = text(f"SELECT {BY_KEYS}")
_ENDED = f"h.settled_at IS NULL AND {is_over('h', CLOCK)}"
_ENDED_MANDATES = text(f"""
    SELECT DISTINCT mandate_id FROM (SELECT h.mandate_id FROM holds h WHERE {_ENDED} ORDER BY h.expires_at LIMIT :most) AS ended ORDER BY mandate_id
""")
_LOCK_ENDED = text(f"""
    SELECT h.mandate_id, h.hold_key, h.balance_account_id
      FROM holds h WHERE {_ENDED} AND h.mandate_id = ANY(:mandate_ids)
     ORDER BY h.expires_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
""")
# IS TRUE keeps it from looking holds up by their end, which reads all of them for each one.
_EXPIRE = text(f"""
    UPDATE holds h SET state = 'EXPIRED', expired = h.amount - h.captured, settled_at = {CLOCK}
      FROM {unpacked_rows({"mandate_id": "text", "hold_key": "text"})} AS d
     WHERE h.mandate_id = d.mandate_id AND h.hold_key = d.hold_key AND ({_ENDED}) IS TRUE
    RETURNING h.mandate_id, h.user_id, h.provider, h.model, h.feature_code, h.local_date, h.balance_account_id, h.expired
""")


class Ended(NamedTuple):
    """A hold that the clock has ended, locked: its key, and whose `held` it is part of."""

    key: HoldKey
    balance_account_id: int | None


class Expired(NamedTuple):
    """A hold that was settled as expired: by which it counts, whose `held` it was part of, and what of it is free again (CHF)."""

    mandate_id: str
    user_id: str
    provider: str | None
    model: str | None
    feature_code: str | None
    local_date: date
    balance_account_id: int | None
    expired: Decimal


def look_up_by_keys(connection: Connection) -> None:
    """Until the transaction ends, everything is looked up by its keys, whatever the planner knows of the tables."""
    connection.execute(_LOOK_UP_BY_KEYS)


def lock_hold(connection: Connection, mandate_id: str, hold_key: str) -> Hold | None:
    """The hold under this key, which nobody else can change before the transaction ends; the caller shares the mandate."""
    return row(connection, Hold, _LOCK, mandate_id=mandate_id, hold_key=hold_key)


def renew(connection: Connection, mandate_id: str, hold_key: str, ttl_seconds: int, clock: datetime | None) -> Hold | None:
    """The locked hold with its new end: no earlier than before, and within a day of its authorisation; None: it isn't open any more."""
    return row(connection, Hold, _RENEW, mandate_id=mandate_id, hold_key=hold_key, ttl_seconds=ttl_seconds, longest=TTL_MAX, clock=clock)


def release(connection: Connection, mandate_id: str, hold_key: str, clock: datetime | None) -> Hold | None:
    """The locked hold, released; None: it isn't open any more. What is held of its account and in caps is the caller's."""
    return row(connection, Hold, _RELEASE, mandate_id=mandate_id, hold_key=hold_key, clock=clock)


def ended_mandates(connection: Connection, most: int, clock: datetime | None) -> list[str]:
    """The mandates of the `most` holds that the clock ended first."""
    return list(connection.execute(_ENDED_MANDATES, {"most": most, "clock": clock}).scalars())


def lock_ended(connection: Connection, mandate_ids: Sequence[str], most: int, clock: datetime | None) -> list[Ended]:
    """Locks at most so many holds of these mandates, which the caller shares, that the clock has ended; never waits for one."""
    rows = connection.execute(_LOCK_ENDED, {"mandate_ids": list(mandate_ids), "most": most, "clock": clock})
    return [Ended((each.mandate_id, each.hold_key), each.balance_account_id) for each in rows]


def expire(connection: Connection, keys: Iterable[HoldKey], clock: datetime | None) -> list[Expired]:
    """Settles those of these locked holds that are over as expired; what is held of their accounts and in caps is the caller's."""
    ordered = sorted(keys)
    columns = {"mandate_id": packed(key[0] for key in ordered), "hold_key": packed(key[1] for key in ordered)}
    return [Expired._make(each) for each in connection.execute(_EXPIRE, {**columns, "clock": clock})]
