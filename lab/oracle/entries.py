"""What the oracle keeps: events, accounts and ledger entries, and what each entry adds to the statistics. Amounts are francs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

POOL = ""  # in the place of a user: the mandate's pool
UNIT = Decimal("0.000000001")
NOTHING = Decimal(0)
Names = tuple[str, str, str]
Tokens = tuple[int, int, int, int, int]
Group = tuple[str, str, str, date, Names]  # mandate, user, period type, its first day, names
Sums = tuple[int, Decimal, Decimal, Decimal, Tokens]  # events, cost, billed cost, refunded, tokens

PERIODS: dict[str, Callable[[date], date]] = {
    "DAY": lambda day: day,
    "MONTH": lambda day: date(day.year, day.month, 1),
    "YEAR": lambda day: date(day.year, 1, 1),
}


Leaves = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Call:
    """What an event of version 2 tells of its call: in which dialect its usage object is, and which leaves that means (None: it has none)."""

    operation: str
    dialect: str | None = None
    leaves: Leaves | None = None
    contradicts: bool = False  # the object contradicts itself
    outcome: str | None = None
    tier: str | None = None


@dataclass(frozen=True)
class Event:
    """A usage event as its producer means it: its price in francs, aware `at`; a name or price that isn't given is None."""

    mandate: str
    event_id: str
    user: str
    price: Decimal | None
    at: datetime
    names: tuple[str | None, str | None, str | None] = (None, None, None)  # provider, model, feature
    tokens: Tokens = (0, 0, 0, 0, 0)
    call: Call | None = None
    hold: tuple[str, bool | None] | None = None  # the key of the hold that it captures, and whether it is its last (None: not said, so it is)

    @property
    def version(self) -> int:
        """Of the contract that it needs."""
        return 1 if self.call is None and self.hold is None and self.price is not None else 2

    def is_copy(self, other: "Event") -> bool:
        """Whether another under the same key says what this first one did: of what version 1 has no field for, it may say more."""
        if self.version == 2:
            return self == other
        return replace(other, call=None, hold=None) == self and (other.call is None or other.call.dialect is None)

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by for ever."""
        return self.mandate, self.event_id


@dataclass(frozen=True)
class Stood:
    """What stands beside the amount of a debit: prices in francs, the provider's cost in its currency, the leaves above 0."""

    given: Decimal | None = None
    computed: Decimal | None = None
    cost: Decimal | None = None
    currency: str | None = None
    leaves: frozenset[tuple[str, int]] = frozenset()
    unpriced: str | None = None


@dataclass(frozen=True)
class Bill:
    """What an event is billed, in francs; `dated` is what held beside the book then, where the price was computed from its usage."""

    amount: Decimal
    stood: Stood = Stood()
    dated: dict[str, Any] | None = None


@dataclass
class Account:
    """A holder of balance, in francs; accounts stand in the order in which they were opened."""

    balance: Decimal = NOTHING
    threshold: Decimal = NOTHING
    grant_due: bool = False
    enabled: bool = True
    limit: Decimal | None = None  # of the debt of a pool that pays afterwards


@dataclass(eq=False)
class Entry:
    """A ledger entry: `about` whom, whose balance it moved (`payer`, None: nobody's) and under which version of the settings.

    `kind` is the type and the reference type, as in `DEBIT WORKFLOW`; `amount`, in francs, has a sign for an adjustment alone.
    """

    kind: str
    about: str
    payer: str | None
    amount: Decimal
    version: int
    event: Event | None = None
    day: date | None = None
    of: "Entry | None" = None  # what it takes back
    refunded: Decimal = NOTHING
    amended: bool = False
    bill: Bill | None = None  # of a debit of usage

    @property
    def is_debit(self) -> bool:
        """Whether it takes its amount off."""
        return self.kind.startswith("DEBIT")

    @property
    def delta(self) -> Decimal:
        """What it adds to the payer's balance, in francs."""
        return -self.amount if self.is_debit else self.amount

    def sums(self) -> Iterator[tuple["Entry", Sums]]:
        """What it adds to the statistics, and to which debit's group."""
        if self.is_debit and self.event is not None:
            counted = int(self.kind == "DEBIT WORKFLOW")
            yield self, (counted, self.amount, NOTHING if self.payer is None else self.amount, NOTHING, self.event.tokens)
        elif self.of is not None and self.of.is_debit:
            if self.kind == "ADJUSTMENT REFUND":
                yield self.of, (0, NOTHING, NOTHING, self.amount, (0, 0, 0, 0, 0))
            elif self.of.event is not None:
                one, two, three, four, five = self.of.event.tokens
                billed = NOTHING if self.of.payer is None else -self.amount
                yield self.of, (0, -self.amount, billed, NOTHING, (-one, -two, -three, -four, -five))

    def measures(self) -> Iterator[tuple["Entry", str, str, Decimal]]:
        """What it adds to what is measured, and to which debit's group: so much of a leaf, or the provider's cost in a currency."""
        taken_back = self.of if self.kind == "ADJUSTMENT AMENDMENT" else None
        debit, sign = (self, 1) if taken_back is None else (taken_back, -1)
        if debit.bill is not None:
            stood = debit.bill.stood
            yield from ((debit, leaf, "", Decimal(sign * count)) for leaf, count in stood.leaves)
            if stood.cost is not None and stood.currency is not None:
                yield debit, "provider_cost", stood.currency, sign * stood.cost


@dataclass
class Settings:
    """A version of a mandate's billing settings, as far as anything here follows from it: credit in francs, threshold in percent."""

    model: str = "PREPAY_USER"
    credit: Decimal = Decimal(10)
    percent: Decimal = Decimal(10)
    zone: str = "UTC"
    blocks: bool = True  # a prepaid balance that doesn't suffice refuses

    @property
    def pool_pays(self) -> bool:
        """Whether usage is paid from the pool."""
        return self.model in ("PREPAY_MANDATE", "CREDIT_POSTPAY")

    def payer(self, user: str) -> str | None:
        """Whose balance pays for this user's usage."""
        return None if self.model == "UNLIMITED" else POOL if self.pool_pays else user

    def threshold(self, balance: Decimal) -> Decimal:
        """The warning threshold of a balance right after a credit, in francs: to the billionth, half to even, never below zero."""
        units = Fraction(balance) * Fraction(self.percent) / 100 / Fraction(UNIT)
        return max(NOTHING, round(units) * UNIT)  # Python rounds a Fraction half-even

    def local_day(self, at: datetime) -> date:
        """The calendar day that a clock in the mandate's zone shows at this moment."""
        return at.astimezone(ZoneInfo(self.zone)).date()


@dataclass
class Mandate:
    """A mandate with settings: every version of them, its accounts and its ledger."""

    versions: list[Settings]
    accounts: dict[str, Account] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The present ones."""
        return self.versions[-1]

    @property
    def model_of_balances(self) -> str | None:
        """The last model under which somebody paid, the present one if somebody does."""
        return next((version.model for version in reversed(self.versions) if version.model != "UNLIMITED"), None)

    def book(self, kind: str, about: str, payer: str | None, amount: Decimal, **more: object) -> Entry:
        """A new entry, and the balance that it moves."""
        entry = Entry(kind, about, payer, amount, len(self.versions), **more)  # type: ignore[arg-type]
        self.ledger.append(entry)
        if payer is not None:
            account = self.accounts[payer]
            account.balance += entry.delta
            if kind.startswith("CREDIT") or (kind == "ADJUSTMENT SWITCH" and amount > 0):
                account.threshold = self.settings.threshold(account.balance)
        return entry

    def standing(self, event_id: str) -> Entry | None:
        """The debit that stands for an event now."""
        return next((e for e in reversed(self.ledger) if e.is_debit and e.event is not None and e.event.event_id == event_id), None)


def shares(amount: Decimal, receivers: int) -> list[Decimal]:
    """`amount` in equal parts by largest remainder, in whole units: what is left over goes to the greatest remainders, the first ones first."""
    quotas = [Fraction(amount) / Fraction(UNIT) / receivers] * receivers
    parts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(receivers), key=lambda n: (parts[n] - quotas[n], n))
    for n in by_remainder[: int(sum(quotas)) - sum(parts)]:
        parts[n] += 1
    return [part * UNIT for part in parts]


def groups(mandate: str, debit: Entry) -> Iterator[Group]:
    """The day, the month and the year in which a debit is counted."""
    assert debit.event is not None
    assert debit.day is not None
    provider, model, feature = ("unknown" if name is None else name for name in debit.event.names)
    for period, start in PERIODS.items():
        yield (mandate, debit.about, period, start(debit.day), (provider, model, feature))
