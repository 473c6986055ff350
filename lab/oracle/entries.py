"""What the oracle keeps: events, accounts and ledger entries, and what each entry adds to the statistics. Amounts are francs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

POOL = ""  # in the place of a user: the mandate's pool
UNIT = Decimal("0.000000001")
NOTHING = Decimal(0)
Names = tuple[str, str, str]
Tokens = tuple[int, int, int, int, int]
Sums = tuple[int, Decimal, Decimal, Decimal, Tokens]  # events, cost, billed cost, refunded, tokens


@dataclass(frozen=True)
class Event:
    """A usage event as its producer means it: its price in francs, aware `at`; a name that isn't given is None."""

    mandate: str
    event_id: str
    user: str
    price: Decimal
    at: datetime
    names: tuple[str | None, str | None, str | None] = (None, None, None)  # provider, model, feature
    tokens: Tokens = (0, 0, 0, 0, 0)

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by for ever."""
        return self.mandate, self.event_id


@dataclass
class Account:
    """A holder of balance, in francs; accounts stand in the order in which they were opened."""

    balance: Decimal = NOTHING
    threshold: Decimal = NOTHING
    grant_due: bool = False
    enabled: bool = True


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


@dataclass
class Settings:
    """A version of a mandate's billing settings, as far as anything here follows from it: credit in francs, threshold in percent."""

    model: str = "PREPAY_USER"
    credit: Decimal = Decimal(10)
    percent: Decimal = Decimal(10)
    zone: str = "UTC"

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
