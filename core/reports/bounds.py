"""What bounded the call of an entry: the hold that its event named, and the caps in which it counts."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.rights import Actor, Role
from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.model import Cap, Caps, CounterKey, Spending
from core.caps.sql.caps import cap_of
from core.database.rows import row
from core.holds.model import Hold
from core.ledger.kinds import COSTS, kind_of
from core.ledger.read_transactions import Transaction
from core.money import ZERO
from core.reports.sql import bounds as sql


@dataclass(frozen=True, slots=True)
class CountedIn:
    """A cap of today in which an entry counts, and what was spent by now in the window of the entry's local day; CHF.

    Attributes:
        cap_id: which.
        scope, user_id: whose usage it counts; the user of a cap of one user, else None.
        dimension, value: the provider, model or feature that it is about, if it is about one.
        period: how long its windows are.
        window_start: the first day of the one that the entry is in.
        action: what it does once `limit_chf` is reached.
        limit_chf: how much may be spent in a window.
        spent: how much was, by everybody whom the counter counts.
    """

    cap_id: int
    scope: CapScope
    user_id: str | None
    dimension: CapDimension | None
    value: str | None
    period: CapPeriod
    window_start: date
    action: CapAction
    limit_chf: Decimal
    spent: Decimal


def hold_named_by(connection: Connection, entry: Transaction) -> Hold | None:
    """The hold that the entry's event named, as it stands now; another user's too, which the event has left as it was."""
    hold_key = (entry.call or {}).get("hold_key")
    return None if hold_key is None else row(connection, Hold, sql.HOLD, mandate_id=entry.mandate_id, hold_key=hold_key)


def caps_counting(connection: Connection, entry: Transaction) -> list[CountedIn]:
    """The present caps in which the entry counts, by id: usage, and what took its place in an amendment, on its local day."""
    if kind_of(entry.transaction_type, entry.reference_type) not in COSTS or entry.account_user_id is None:
        return []
    caps = Caps(map(cap_of, connection.execute(sql.CAPS, {"mandate_id": entry.mandate_id})))
    if not caps.all:
        return []
    spending = Spending(entry.mandate_id, entry.account_user_id, entry.provider, entry.model, entry.feature_code)
    keys = {key.cap_id: key for key in caps.counters(spending, entry.local_date)}
    cap_ids, user_ids, windows = zip(*keys.values(), strict=True) if keys else ((), (), ())
    asked = {"cap_ids": list(cap_ids), "user_ids": list(user_ids), "windows": list(windows)}
    spent = {CounterKey(*found[:3]): found.spent for found in connection.execute(sql.SPENT, asked)}
    return [_counted_in(cap, keys[cap.id], spent.get(keys[cap.id], ZERO)) for cap in caps if cap.id in keys]


def hold_seen_by(actor: Actor, hold: Hold | None) -> Hold | None:
    """A user sees holds of their own."""
    return None if hold is not None and actor.role is Role.USER and hold.user_id != actor.user_id else hold


def caps_seen_by(actor: Actor, caps: list[CountedIn]) -> list[CountedIn]:
    """A user sees caps that count nobody else: what all have spent together isn't theirs to see."""
    return [cap for cap in caps if actor.role is not Role.USER or cap.scope is not CapScope.ALL]


def _counted_in(cap: Cap, key: CounterKey, spent: Decimal) -> CountedIn:
    return CountedIn(cap.id, cap.scope, cap.user_id, cap.dimension, cap.value, cap.period, key.window_start, cap.action, cap.limit_chf, spent)
