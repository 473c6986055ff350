"""The oracle: the rules of the books written down a second time, in plain Python.

It judges the product and so knows nothing of it: no database, no batches that fold, not a line of `core`. Whoever asks it does
the same to both and compares them whole. Amounts are francs as `Decimal`, to the billionth (`entries.UNIT`); moments are aware.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from lab.oracle.entries import NOTHING, POOL, UNIT, Account, Bill, Entry, Event, Group, Mandate, Settings, Sums, groups, shares
from lab.oracle.pricing import PriceBook

LATENESS, SKEW = timedelta(days=400), timedelta(minutes=5)
Key = tuple[str, str]


class Refused(Exception):
    """What was asked for isn't possible; nothing has changed."""


class Books:
    """Any number of mandates: each method is one thing that can happen, done whole or, where it raises `Refused`, not at all.

    `directory` and `members` belong to whoever asks, who writes into them what the directory says; all else the methods keep.
    Nothing but `deliver` knows a repetition: called twice, the others do it twice.
    """

    def __init__(self) -> None:
        self.directory: dict[str, tuple[bool, str | None]] = {}  # mandate: enabled, zone
        self.members: dict[Key, bool] = {}  # (mandate, user): enabled
        self.mandates: dict[str, Mandate] = {}
        self.keys: dict[Key, Event] = {}
        self.parked: dict[Key, Event] = {}
        self.prices = PriceBook()
        self.reasons: dict[Key, str] = {}  # why what is parked has no price
        self.dead: Counter[Event] = Counter()
        self.pending: list[list[tuple[str, Entry]]] = []  # what each batch has booked, the oldest first
        self.statistics: dict[Group, Sums] = {}
        self.measures: dict[tuple[Group, str, str], Decimal] = {}  # beside a group: a leaf, or the provider's cost with its currency

    def deliver(self, events: Sequence[Event], now: datetime) -> list[str]:
        """One batch, received at `now`: what becomes of each event, in the order given. An event delivered again is a duplicate."""
        outcomes, recorded = [], []
        for event in events:
            outcomes.append(self._outcome(event, now))
            if outcomes[-1] == "recorded":
                self._open_settings(event.mandate)
                self.keys[event.key] = event
                recorded.append(event)
            elif outcomes[-1] == "parked":
                self.parked[event.key] = event
            elif outcomes[-1] in ("conflict", "rejected"):
                self.dead[event] += 1
        self._debit(recorded)
        return outcomes

    def _outcome(self, event: Event, now: datetime) -> str:
        first = self.keys.get(event.key) or self.parked.get(event.key)
        if first is not None:
            return "duplicate" if first.is_copy(event) else "conflict"
        if not now - LATENESS <= event.at <= now + SKEW:
            return "rejected"
        return self._priced(event) if self._knows(event.mandate) else "parked"

    def _knows(self, mandate: str) -> bool:
        return mandate in self.mandates or self.directory.get(mandate, (False, None))[0]

    def _priced(self, event: Event) -> str:
        """What becomes of an event that is new, and whose mandate is known."""
        found = self.prices.judge(event)
        if isinstance(found, Bill):
            self.reasons.pop(event.key, None)
            return "recorded"
        if found == "rejected":
            return found
        self.reasons[event.key] = found
        return "parked"

    def _debit(self, events: Iterable[Event]) -> None:
        batch: list[tuple[str, Entry]] = []
        users: dict[str, set[str]] = defaultdict(set)
        for event in events:
            users[event.mandate].add(event.user)
        for mandate, unmet in users.items():
            self._open_accounts(mandate, unmet)
        for event in events:
            own, settings = self.mandates[event.mandate], self.mandates[event.mandate].settings
            payer, day, bill = settings.payer(event.user), settings.local_day(event.at), self.prices.judge(event)
            assert isinstance(bill, Bill)
            batch.append((event.mandate, own.book("DEBIT WORKFLOW", event.user, payer, bill.amount, event=event, day=day, bill=bill)))
        if batch:
            self.pending.append(batch)

    def _open_settings(self, mandate: str) -> int:
        if mandate in self.mandates:
            return 0
        self.mandates[mandate] = Mandate([Settings(zone=self.directory[mandate][1] or "UTC")])
        return 1

    def _open_accounts(self, mandate: str, users: Iterable[str]) -> Counter[str]:
        """The pool first, then users by name; each with the grant that belongs to it, or the wait for one."""
        own, opened = self.mandates[mandate], Counter[str]()
        settings = own.settings
        for user in [POOL, *sorted(users)] if settings.pool_pays else sorted(users):
            if user in own.accounts:
                continue
            opened["pools" if user == POOL else "accounts"] += 1
            known = self.members.get((mandate, user), False)
            waits = settings.model == "UNLIMITED" or (settings.model == "PREPAY_USER" and not known)
            own.accounts[user] = Account(grant_due=user != POOL and waits)
            if settings.model == "PREPAY_USER" and known and settings.credit > 0:
                own.book("CREDIT SYSTEM", user, user, settings.credit)
        return opened

    def backfill_settings(self) -> int:
        """Every enabled mandate of the directory has settings; how many were made."""
        return sum(self._open_settings(mandate) for mandate, (enabled, _) in self.directory.items() if enabled)

    def backfill_accounts(self) -> Counter[str]:
        """Members have accounts, pools are there, grants that are due are made, what is parked and can be recorded is."""
        made: Counter[str] = Counter(accounts=0, pools=0, grants_due=0, parked_released=0)
        made.update(self.open_missing())
        made.update(grants_due=self.make_due_grants(), parked_released=self.release_parked())
        return made

    def open_missing(self) -> Counter[str]:
        """Members of mandates in which somebody pays have accounts, and pools that pay are there."""
        opened = Counter[str]()
        for mandate, own in self.mandates.items():
            if own.settings.model != "UNLIMITED":
                opened.update(self._open_accounts(mandate, {user for (of, user), enabled in self.members.items() if of == mandate and enabled}))
        return opened

    def make_due_grants(self) -> int:
        """Accounts that wait for a grant have it, where the user is a member by now and pays; how many were made."""
        made = 0
        for mandate, own in self.mandates.items():
            for user, account in own.accounts.items():
                if account.grant_due and own.settings.model == "PREPAY_USER" and self.members.get((mandate, user), False):
                    account.grant_due = False
                    if own.settings.credit > 0:
                        own.book("CREDIT SYSTEM", user, user, own.settings.credit)
                        made += 1
        return made

    def release_parked(self) -> int:
        """What is parked and can be recorded is; how many were released."""
        released, left = [], 0
        for event in [event for event in self.parked.values() if self._knows(event.mandate)]:
            outcome = self._priced(event)
            if outcome == "parked":
                continue
            left += 1
            del self.parked[event.key]
            if outcome == "rejected":
                self.dead[event] += 1
                continue
            self._open_settings(event.mandate)
            self.keys[event.key] = event
            released.append(event)
        self._debit(released)
        return left

    def change(self, mandate: str, **changes: object) -> None:
        """New settings, never the model once anything is booked; the same ones make no version.

        Raises:
            Refused: nobody knows the mandate, or it is the model and something is booked.
        """
        if mandate not in self.mandates and mandate not in self.directory:
            raise Refused
        self._open_settings(mandate)
        own = self.mandates[mandate]
        new = replace(own.settings, **changes)  # type: ignore[arg-type]
        if new.model != own.settings.model and own.ledger:
            raise Refused
        if new != own.settings:
            own.versions.append(new)

    def switch(self, mandate: str, model: str) -> Decimal:
        """Another model, and the balances go where they are paid from; how much has moved, in francs: to the pool, or from it.

        Raises:
            Refused: the mandate has no settings.
        """
        own = self.present(mandate)
        if model == own.settings.model:
            return NOTHING
        source, was_free = own.model_of_balances, own.settings.model == "UNLIMITED"
        own.versions.append(replace(own.settings, model=model))
        absent = sorted(self._users(mandate) - own.accounts.keys())
        for user in [POOL, *absent] if own.settings.pool_pays and POOL not in own.accounts else absent:
            own.accounts[user] = Account(grant_due=was_free and user != POOL)
        if model == "UNLIMITED":
            return NOTHING
        from_pool = not own.settings.pool_pays if source is None else Settings(source).pool_pays
        if from_pool == own.settings.pool_pays:
            return NOTHING
        return self._split(own) if from_pool else self._gather(own)

    def _users(self, mandate: str) -> set[str]:
        """Who has an account once the model was switched."""
        return {user for (of, user), enabled in self.members.items() if of == mandate and enabled}

    def _gather(self, own: Mandate) -> Decimal:
        total = NOTHING
        for user, account in own.accounts.items():
            if user != POOL and account.balance:
                total += account.balance
                own.book("ADJUSTMENT SWITCH", user, user, -account.balance)
        if total:
            own.book("ADJUSTMENT SWITCH", POOL, POOL, total)
        return total

    def _split(self, own: Mandate) -> Decimal:
        pool = own.accounts.get(POOL, Account()).balance
        users = [user for user, account in own.accounts.items() if user != POOL and account.enabled]
        if pool <= 0 or not users:
            return NOTHING
        for user, part in zip(users, shares(pool, len(users)), strict=True):
            if part:
                own.book("ADJUSTMENT SWITCH", user, user, part)
        own.book("ADJUSTMENT SWITCH", POOL, POOL, -pool)
        return pool

    def refund(self, mandate: str, entry: Entry, amount: Decimal) -> None:
        """A part of an entry, in francs, is given back on the balance that it moved.

        Raises:
            Refused: the entry was amended, or less than a billionth or more than is left of it is given back.
        """
        if entry.amended or not UNIT <= amount <= abs(entry.amount) - entry.refunded:
            raise Refused
        entry.refunded += amount
        signed = amount if entry.is_debit or entry.amount < 0 else -amount
        self.pending.append([(mandate, self.mandates[mandate].book("ADJUSTMENT REFUND", entry.about, entry.payer, signed, of=entry))])

    def amend(self, mandate: str, event_id: str, price: Decimal) -> None:
        """Another price for an event, in francs: what stood for it is taken back, and paid anew by whoever paid.

        Raises:
            Refused: no such event is recorded, or what stands for it was refunded and another price is asked for.
        """
        own = self.present(mandate)
        old = own.standing(event_id)
        if old is None or old.event is None or (old.refunded and price != old.amount):
            raise Refused
        if price == old.amount:
            return
        bill = None if old.bill is None else Bill(price, replace(old.bill.stood, computed=None, unpriced=None))
        self.pending.append(self.replaced(mandate, old, price, bill)[1])

    def replaced(self, mandate: str, old: Entry, amount: Decimal, bill: Bill | None) -> tuple[Entry, list[tuple[str, Entry]]]:
        """What takes the place of a debit, in its local day, and all that was booked."""
        own = self.mandates[mandate]
        old.amended = True
        reversal = own.book("ADJUSTMENT AMENDMENT", old.about, old.payer, old.amount, of=old)
        debit = own.book("DEBIT AMENDMENT", old.about, old.payer, amount, event=old.event, day=old.day, bill=bill)
        return debit, [(mandate, reversal), (mandate, debit)]

    def move(self, mandate: str, holder: str, kind: str, amount: Decimal) -> Entry:
        """A top-up or an adjustment, in francs, on the balance of `holder`, which is there.

        Raises:
            Refused: the mandate has no settings.
        """
        return self.present(mandate).book(kind, holder, holder, amount)

    def roll_up(self, batches: int | None = None) -> tuple[int, int]:
        """The oldest pending batches (all, unless a number is given) are counted: how many, and their events."""
        counted, self.pending = (self.pending, []) if batches is None else (self.pending[:batches], self.pending[batches:])
        for batch in counted:
            for mandate, entry in batch:
                for debit, sums in entry.sums():
                    self._count(mandate, debit, sums)
                for debit, measure, currency, amount in entry.measures():
                    for group in groups(mandate, debit):
                        key = group, measure, currency
                        self.measures[key] = self.measures.get(key, NOTHING) + amount
        return len(counted), sum(entry.kind == "DEBIT WORKFLOW" for batch in counted for _, entry in batch)

    def _count(self, mandate: str, debit: Entry, sums: Sums) -> None:
        for group in groups(mandate, debit):
            events, cost, billed, refunded, tokens = self.statistics.get(group, (0, NOTHING, NOTHING, NOTHING, (0, 0, 0, 0, 0)))
            one, two, three, four, five = (had + more for had, more in zip(tokens, sums[4], strict=True))
            self.statistics[group] = (events + sums[0], cost + sums[1], billed + sums[2], refunded + sums[3], (one, two, three, four, five))

    def present(self, mandate: str) -> Mandate:
        """The mandate.

        Raises:
            Refused: it has no settings.
        """
        if mandate not in self.mandates:
            raise Refused
        return self.mandates[mandate]
