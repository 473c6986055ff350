"""Caps: how much may be used in a window of time, by whom and on what. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import NamedTuple

from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.money import QUANTUM

SHARES_DEFAULT = (50, 80, 100)  # percent of the limit
_EVER, _NEVER = date(1, 1, 1), Decimal("Infinity")


class Spending(NamedTuple):
    """Whose usage of what: all that a cap looks at beside the day. None: an event has none, or a question doesn't name it."""

    mandate_id: str
    user_id: str
    provider: str | None
    model: str | None
    feature_code: str | None


class CounterKey(NamedTuple):
    """One window of a cap: of one user, or of everybody together (an empty id)."""

    cap_id: int
    user_id: str
    window_start: date


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit_chf` CHF in each window; `value` is what the `dimension` must be (None: any usage)."""

    id: int
    mandate_id: str
    scope: CapScope
    user_id: str | None  # None unless the scope is USER
    dimension: CapDimension | None
    value: str | None
    period: CapPeriod
    limit_chf: Decimal
    action: CapAction
    shares: tuple[int, ...]  # percent of the limit, ascending, that are told when they are reached
    first_day: date  # of the first window that it counts

    def concerns(self, user_id: str) -> bool:
        """Whether usage of this user may count in it."""
        return self.scope is not CapScope.USER or self.user_id == user_id

    def counts(self, spending: Spending) -> bool:
        """Whether this usage counts in it."""
        return self.concerns(spending.user_id) and (self.dimension is None or getattr(spending, self.dimension.value) == self.value)

    def key(self, user_id: str, day: date) -> CounterKey:
        """The counter in which this user's usage of that local day stands."""
        return CounterKey(self.id, "" if self.scope is CapScope.ALL else user_id, window_start(self.period, day))


class Reached(NamedTuple):
    """A share of a cap that its spending reached, at `line` CHF; `recovered` is the way back."""

    share: int
    line: Decimal
    recovered: bool


class Look(NamedTuple):
    """What several caps look at: the user or everybody, and the value of one dimension or any usage; and these caps by both."""

    by_user: bool
    place: int | None  # of the dimension in `Spending`
    caps: dict[tuple[str, str], list[Cap]]  # by user id, empty for all users, and by value

    def at(self, user_id: str, value: str | None) -> list[Cap]:
        """The caps of a user, where they look at users, and a value; there is none of usage that has no value."""
        if value is None:
            return _NONE
        of_all = self.caps.get(("", value), _NONE)
        return of_all + self.caps.get((user_id, value), _NONE) if self.by_user else of_all


_NONE: list[Cap] = []


class Caps:
    """The caps of one mandate as they are under one token."""

    def __init__(self, caps: Iterable[Cap]) -> None:
        self.all = tuple(sorted(caps, key=lambda cap: cap.id))
        self.by_id = {cap.id: cap for cap in self.all}
        self._lines = {cap.id: [share_line(cap.limit_chf, share) for share in cap.shares] for cap in self.all}
        looks: dict[tuple[bool, int | None], Look] = {}
        for cap in self.all:
            what = cap.scope is not CapScope.ALL, None if cap.dimension is None else Spending._fields.index(cap.dimension.value)
            looks.setdefault(what, Look(*what, {})).caps.setdefault((cap.user_id or "", cap.value or ""), []).append(cap)
        self.looks = tuple(looks.values())

    def __iter__(self) -> Iterator[Cap]:
        return iter(self.all)

    def counters(self, spending: Spending, day: date) -> list[CounterKey]:
        """The counters in which this usage of that local day stands."""
        found = []
        for look in self.looks:
            found += keys_of(look.at(spending.user_id, "" if look.place is None else spending[look.place]), spending.user_id, day)
        return found

    def first_line(self, cap_id: int) -> Decimal:
        """Below it no share of the cap is reached."""
        lines = self._lines[cap_id]
        return lines[0] if lines else _NEVER

    def reached(self, cap_id: int, before: Decimal, after: Decimal) -> list[Reached]:
        """The shares of a cap that its spending reaches, or leaves again, on the way from `before` to `after` (CHF)."""
        lines = self._lines[cap_id]
        low, high = sorted((bisect_right(lines, before), bisect_right(lines, after)))
        shares = self.by_id[cap_id].shares
        return [Reached(shares[n], lines[n], after < before) for n in range(low, high)]


def keys_of(caps: Iterable[Cap], user_id: str, day: date) -> list[CounterKey]:
    """The counters of these caps in which usage of that user and local day stands; those of windows before a cap's first day are none."""
    return [key for cap in caps if (key := cap.key(user_id, day)).window_start >= cap.first_day]


def share_line(limit: Decimal, percent: int) -> Decimal:
    """The least amount of nine places that is at least `percent` of the limit: comparing with it is exact."""
    return (limit * percent / 100).quantize(QUANTUM, ROUND_CEILING)


@lru_cache(maxsize=4096)  # a batch asks for the same few days over and over
def window_start(period: CapPeriod, day: date) -> date:
    """The first day of the window that `day` is in; of a TOTAL the first day that there is."""
    match period:
        case CapPeriod.DAY:
            return day
        case CapPeriod.WEEK:
            return day - timedelta(days=day.weekday())
        case CapPeriod.MONTH:
            return day.replace(day=1)
    return _EVER


def window_end(period: CapPeriod, start: date) -> date | None:
    """The first day after the window that begins at `start`; None: there is none."""
    match period:
        case CapPeriod.DAY:
            return start + timedelta(days=1)
        case CapPeriod.WEEK:
            return start + timedelta(days=7)
        case CapPeriod.MONTH:
            return (start + timedelta(days=32)).replace(day=1)
    return None
