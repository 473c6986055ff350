"""The oracle of caps: what is used in a window of local days, told from the ledger each time anew. Amounts are francs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from lab.oracle.entries import NOTHING, Entry

EVER = date(1, 1, 1)
EVERYBODY = ""
Names = tuple[str | None, str | None, str | None]  # provider, model, feature
Window = tuple[str, date]  # whose (EVERYBODY: all together), and its first day
ABOUT = ("provider", "model", "feature_code")


@dataclass(eq=False)
class Cap:
    """At most `limit` in each window of a period, of everybody together, of one user or of each user by itself."""

    mandate: str
    whom: str  # ALL, USER or EACH_USER
    user: str  # empty unless it is one user's
    about: str  # one of ABOUT, or empty
    value: str
    period: str
    limit: Decimal
    refuses: bool
    shares: tuple[int, ...]
    first: date  # of the first window that counts
    told: set[tuple[str, date, int, bool]] = field(default_factory=set)  # whose, window, share, recovered
    known: dict[Window, Decimal] = field(default_factory=dict)  # what was spent when somebody last looked
    removed: bool = False

    @property
    def place(self) -> tuple[str, ...]:
        """Only one cap of a mandate is at each."""
        return self.mandate, self.whom, self.user, self.about, self.value, self.period

    def names(self, names: Names) -> bool:
        """Whether usage with these names says what the cap is about."""
        return self.about == "" or names[ABOUT.index(self.about)] is not None

    def window(self, user: str, names: Names, day: date) -> Window | None:
        """Where usage of that day counts; None: it doesn't."""
        start = first_day(self.period, day)
        whose = self.user in (EVERYBODY, user)
        what = self.about == "" or names[ABOUT.index(self.about)] == self.value
        if not whose or not what or start < self.first:
            return None
        return EVERYBODY if self.whom == "ALL" else user, start

    def spent(self, ledger: Iterable[Entry]) -> dict[Window, Decimal]:
        """What was spent in each window: what debits took, less what was taken back of them."""
        sums: dict[Window, Decimal] = defaultdict(Decimal)
        for debit, signed in _usage(ledger):
            assert debit.event is not None
            assert debit.day is not None
            window = self.window(debit.about, debit.event.names, debit.day)
            if window is not None:
                sums[window] += signed
        return dict(sums)

    def begun(self, start: date) -> "Cap":
        """As it is set: with no share reached yet, it counts from the first day of its running window on."""
        return replace(self, shares=(), first=start, told=set(), known={})

    def change(self, new: "Cap", ledger: Iterable[Entry], start: date) -> None:
        """It has another limit, action and shares; of present windows it tells which shares are reached by that, or are no more."""
        spent = self.spent(ledger)
        for window, amount in spent.items():
            if window[1] >= start:
                before = {share: self.reached(amount, share) for share in self.shares}
                after = {share: new.reached(amount, share) for share in new.shares}
                self.told |= {(*window, share, not is_so) for share, is_so in after.items() if is_so != before.get(share, False)}
        self.limit, self.refuses, self.shares, self.known = new.limit, new.refuses, new.shares, spent

    def reached(self, amount: Decimal, share: int) -> bool:
        """Whether so much is a share of the limit; of no limit at all nothing is."""
        return amount >= self.limit * share / 100 > 0

    def look(self, ledger: Iterable[Entry]) -> None:
        """Tells of each share that was reached or left since somebody last looked; of each at most once in a window."""
        now = self.spent(ledger)
        for window in {*now, *self.known}:
            before, after = self.known.get(window, NOTHING), now.get(window, NOTHING)
            for share in self.shares:
                if self.reached(before, share) != self.reached(after, share):
                    self.told.add((*window, share, not self.reached(after, share)))
        self.known = now


def _usage(ledger: Iterable[Entry]) -> Iterator[tuple[Entry, Decimal]]:
    """Each debit of usage with its amount, and again with its amount less than nothing where it was taken back."""
    for entry in ledger:
        if entry.is_debit and entry.event is not None:
            yield entry, entry.amount
        elif entry.kind == "ADJUSTMENT AMENDMENT":
            assert entry.of is not None
            yield entry.of, -entry.amount


def first_day(period: str, day: date) -> date:
    """Of the window in which a day is: a week begins on Monday, a TOTAL has only one."""
    return {"DAY": day, "WEEK": day - timedelta(days=day.weekday()), "MONTH": date(day.year, day.month, 1), "TOTAL": EVER}[period]


def opens_at(period: str, start: date, zone: str) -> datetime | None:
    """When the next window begins: the first moment at which a clock in the zone shows a later one's day. None: never."""
    if period == "TOTAL":
        return None
    days = {"DAY": 1, "WEEK": 7, "MONTH": 31}[period]
    low = datetime(start.year, start.month, start.day, tzinfo=UTC) - timedelta(days=1)
    high = low + timedelta(days=days + 3)
    step, there = timedelta(seconds=1), ZoneInfo(zone)
    while high - low > step:  # at `high` it has begun, at `low` it hasn't
        middle = low + (high - low) // 2 // step * step
        low, high = (low, middle) if first_day(period, middle.astimezone(there).date()) > start else (middle, high)
    return high
