"""Whether caps let a call be made: what is spent and held in their windows, as read, or locked until the transaction ends."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.billing import CapAction
from core.caps.model import Cap, Caps, CounterKey, Spending, window_end
from core.caps.sql import counters as sql
from core.caps.sql.counters import Counter, Window
from core.money import ZERO

Asked = tuple[Caps, Spending, date]  # whose caps, what is asked, and the mandate's local day


@dataclass(frozen=True, slots=True)
class CapRefusal:
    """A cap that is reached, by so many CHF spent and held in its present window.

    `user_id` is whose window it is, None for that of everybody; `opens_at` is when the next one begins, None where none does.
    """

    cap: Cap
    user_id: str | None
    window_start: date
    spent: Decimal
    held: Decimal
    opens_at: datetime | None


class Counters:
    """What was spent and is held in the windows that some questions are about, at one moment; holds that are over are not held."""

    def __init__(self, connection: Connection, found: Mapping[CounterKey, Counter]) -> None:
        self._connection = connection
        self._found = found
        self._held: dict[CounterKey, Decimal] = defaultdict(lambda: ZERO)

    def refusal(self, caps: Caps, spending: Spending, day: date) -> CapRefusal | None:
        """The first cap by id that refuses this: what is spent and held has reached its limit. What the question asks for isn't added."""
        for key in sorted(caps.counters(spending, day)):
            cap, found = caps.by_id[key.cap_id], self._found[key]
            held = found.held + self._held.get(key, ZERO)
            if cap.action is CapAction.REFUSE and found.spent + held >= cap.limit_chf:
                return CapRefusal(cap, key.user_id or None, key.window_start, found.spent, held, found.opens_at)
        return None

    def hold(self, caps: Caps, spending: Spending, day: date, amount: Decimal) -> None:
        """From now on `amount` CHF more are held here: later refusals count them, and `save` writes them."""
        for key in caps.counters(spending, day):
            self._held[key] += amount

    def save(self) -> None:
        """Writes what was held since the counters were locked; once."""
        sql.change_counters(self._connection, {}, {key: held for key, held in self._held.items() if held})
        self._held.clear()


def unjudged(caps: Caps, spending: Spending) -> tuple[int, ...]:
    """The ids of the refusing caps that may be about this, but for a dimension that the question doesn't name."""
    return tuple(
        cap.id
        for cap in caps
        if cap.action is CapAction.REFUSE
        and cap.concerns(spending.user_id)
        and cap.dimension is not None
        and getattr(spending, cap.dimension.value) is None
    )


def read_counters(connection: Connection, asked: Sequence[Asked], zones: Mapping[str, str], now: datetime | None) -> Counters:
    """The counters that the questions are about, as they are committed; one statement, and none without caps.

    Args:
        connection: to ask.
        asked: the questions.
        zones: the time zone of each of their mandates.
        now: by which clock holds are over; None: the database's own, as of this statement.
    """
    windows: dict[CounterKey, Window] = {}
    for caps, spending, day in asked:
        for key in caps.counters(spending, day):
            closes = window_end(caps.by_id[key.cap_id].period, key.window_start)
            windows[key] = Window(key, closes, zones[spending.mandate_id])
    return Counters(connection, sql.read_counters(connection, list(windows.values()), now))


def lock_counters(connection: Connection, asked: Sequence[Asked], zones: Mapping[str, str], now: datetime | None) -> Counters:
    """As `read_counters`, of counters that nobody else moves before the transaction ends: made where missing, locked by key order, then read.

    Accounts are locked before. The mandates are shared, so that their caps stay.
    """
    sql.lock_counters(connection, [key for caps, spending, day in asked for key in caps.counters(spending, day)])
    return read_counters(connection, asked, zones, now)
