"""Caps, for reading: which there are, and how full their present windows are."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import RowId
from core.asking.view import mandate, view
from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.model import CounterKey, window_end, window_start
from core.caps.sql import kept as sql
from core.caps.sql.counters import Window, read_counters
from core.database.listing import Rows
from core.database.rows import row
from core.directory.read import Mandates, mandates
from core.errors import NotFound
from core.events.contract import Id
from core.money import ZERO
from core.printable import shown
from core.settings.sql.settings import load_settings

_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ShownCap:
    """A cap: at most `limit_chf` CHF in each window; it counts from `first_day` on. `removed_at`: since when it counts no more."""

    id: int
    mandate_id: str
    scope: CapScope
    user_id: str | None
    dimension: CapDimension | None
    value: str | None
    period: CapPeriod
    limit_chf: Decimal
    action: CapAction
    shares: list[int]
    first_day: date
    created_by: str
    created_at: datetime
    changed_by: str | None
    changed_at: datetime | None
    removed_by: str | None
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class CapWindow:
    """A present window of a cap, of a user or (None) of everybody together; amounts in CHF.

    Attributes:
        user_id: whose.
        window_start: its first local day; of a TOTAL the first day that there is.
        window_end: the first day after it; None: it has no end.
        opens_at: when the window after it begins, at the mandate's midnight.
        spent: usage of its days.
        held: what is held for calls under way that were authorised in it, without holds that are over.
        left: what is missing to the limit, at least 0.
        percent: `spent` as a part of the limit, rounded down to two places; None of a limit of 0.
        reached: whether `spent` and `held` have reached the limit: checks and holds are refused if the cap does that.
    """

    user_id: str | None
    window_start: date
    window_end: date | None
    opens_at: datetime | None
    spent: Decimal
    held: Decimal
    left: Decimal
    percent: Decimal | None
    reached: bool


@dataclass(frozen=True, slots=True)
class CapStanding:
    """A cap with its present windows: one, or of a cap for each user one for each who has used anything, most spent first."""

    cap: ShownCap
    today: date
    windows: list[CapWindow]


@view("view.list_caps", sees=mandates("list the caps"))
def list_caps(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    user_id: Id | None = None,
    removed: bool = False,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    after: RowId | None = None,
) -> list[ShownCap]:
    """Caps of these mandates, or of all that the actor may see, by id; with `user_id` those that this user's usage may count in.

    With `removed` also those that were removed; `after` is the id of the last row already seen.
    """
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    return sql.LIST.rows(connection, ShownCap, Rows(limit, offset, after), each, present=not removed, user_id=user_id)


@view("view.cap", sees=mandate("see a cap"))
def cap(connection: Connection, mandate_id: Id, cap_id: RowId, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0) -> CapStanding:
    """A cap and its present windows, by the mandate's present local day; of one that was removed as they were left.

    Raises:
        NotFound: the mandate has no such cap, and never had.
    """
    found = find_cap(connection, mandate_id, cap_id)
    settings = load_settings(connection, [mandate_id])[0][mandate_id]
    today = sql.find_today(connection, mandate_id)
    assert today is not None, "a mandate with caps has settings"
    start = window_start(found.period, today)
    keys = [CounterKey(cap_id, found.user_id or "", start)]
    if found.scope is CapScope.EACH_USER:
        keys = sql.users_of_window(connection, cap_id, start, limit, offset)
    end = window_end(found.period, start)
    counters = read_counters(connection, [Window(key, end, settings.time_zone) for key in keys], None)
    windows = []
    for key in keys:
        counter = counters[key]
        used = counter.spent + counter.held
        percent = (counter.spent * 100 / found.limit_chf).quantize(_PERCENT, ROUND_FLOOR) if found.limit_chf else None
        left, reached = max(ZERO, found.limit_chf - used), used >= found.limit_chf
        windows.append(CapWindow(key.user_id or None, start, end, counter.opens_at, counter.spent, counter.held + ZERO, left, percent, reached))
    return CapStanding(found, today, windows)


def find_cap(connection: Connection, mandate_id: str, cap_id: int) -> ShownCap:
    """The cap, present or removed.

    Raises:
        NotFound: the mandate has no such cap, and never had.
    """
    found = row(connection, ShownCap, sql.SHOW, mandate_id=mandate_id, cap_id=cap_id)
    if found is None:
        raise NotFound(f"mandate {shown(mandate_id)} has no cap {cap_id}", field="cap_id", value=cap_id)
    return found
