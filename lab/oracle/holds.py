"""The oracle of holds and caps: the books, with what is kept of balances for calls that are under way, and what bounds them.

What is held and what is spent is told anew from holds and ledger whenever it is asked for: nothing here counts along. Amounts
are francs; the time is whatever the caller says.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from lab.oracle import caps, rates
from lab.oracle.books import Books, Key, Refused
from lab.oracle.caps import Cap, Names, Window
from lab.oracle.entries import NOTHING, Event, Mandate, Settings
from lab.oracle.hold import LONGEST, Answer, Hold, Question
from lab.oracle.pricing import Item


class HeldBooks(Books):
    """The books with holds and caps. `now` is the time at which whatever is done next is done."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now
        self.holds: dict[Key, Hold] = {}
        self.received: dict[Key, datetime] = {}  # when what is parked came
        self.caps: list[Cap] = []
        self.counted: dict[str, int] = {"late": 0, "strangers": 0, "beyond": 0}

    def _follow(self, mandate: str) -> None:
        """Open holds go with whoever pays now."""
        for hold in self.open_holds(mandate):
            hold.holder = self._payer(mandate, hold.user)

    def _payer(self, mandate: str, user: str) -> str | None:
        own = self.mandates.get(mandate)
        payer = None if own is None else own.settings.payer(user)
        return payer if own is not None and payer in own.accounts else None

    def open_holds(self, mandate: str) -> Iterator[Hold]:
        """Those that nothing has settled, be they over or not."""
        return (hold for hold in self.holds.values() if hold.mandate == mandate and hold.state == "OPEN")

    def is_over(self, hold: Hold) -> bool:
        """Whether the clock has ended it: not while something that came in time is parked."""
        waiting = (
            event.hold is not None and (event.mandate, event.hold[0]) == (hold.mandate, hold.key) and self.received[event.key] < hold.until
            for event in self.parked.values()
        )
        return hold.state == "OPEN" and hold.until <= self.now and not any(waiting)

    def held(self, mandate: str, holder: str, *, with_over: bool = False) -> Decimal:
        """What is kept of a balance; with what the clock has ended and nobody has settled, if that is asked for."""
        holds = (hold for hold in self.open_holds(mandate) if hold.holder == holder and (with_over or not self.is_over(hold)))
        return sum((hold.remaining for hold in holds), NOTHING)

    def check(self, mandate: str, user: str, cost: Decimal, names: Names = (None, None, None)) -> Answer:
        """Whether a call may be made, without anything kept for it; what is missing is opened."""
        if not self._knows(mandate):
            return Answer(True)
        self._admit(mandate, user)
        return self._judge(mandate, user, cost, names)

    def authorise(self, asked: Question, ttl: timedelta) -> Answer:
        """Keeps the amount, in full or not at all; what was asked before is answered as it stands now. In any case what is missing is opened.

        Raises:
            Refused: something else was asked under the key.
        """
        if self._knows(asked.mandate):
            self._admit(asked.mandate, asked.user)
        known = self.holds.get((asked.mandate, asked.key))
        if known is not None:
            if known.question not in (None, asked):
                raise Refused
            return self._became(known, known.state == "OPEN" and not self.is_over(known))
        amount = self._asked(asked)
        answer = self.check(asked.mandate, asked.user, amount or NOTHING, asked.names)
        if amount is None:
            return Answer(False, "UNPRICED_MODEL")
        if not answer.allowed:
            return answer
        hold = Hold(asked.mandate, asked.key, asked.user, amount, asked, self._today(asked.mandate), self.now, self.now + ttl)
        hold.holder = self._payer(asked.mandate, asked.user)
        self.holds[asked.mandate, asked.key] = hold
        return Answer(True, None, "OPEN", unjudged=answer.unjudged)

    def _became(self, hold: Hold, allowed: bool) -> Answer:
        return Answer(allowed, None, "EXPIRED" if self.is_over(hold) else hold.state)

    def _asked(self, asked: Question) -> Decimal | None:
        """How much is to be kept; None: there is no price."""
        if asked.tokens is None:
            return asked.amount
        provider, model, _ = asked.names
        call: Item = {"mandate_id": asked.mandate, "provider": provider, "model": model, "at": self.now, "leaves": {"input": asked.tokens}}
        found = rates.rate({**call, "dimensions": {}, "outcome": None}, self.prices.book)
        return None if isinstance(found, str) else found[0]

    def _today(self, mandate: str) -> date:
        settings = self.mandates[mandate].settings if mandate in self.mandates else Settings()
        return settings.local_day(self.now)

    def _admit(self, mandate: str, user: str) -> None:
        self._open_settings(mandate)
        if self.mandates[mandate].settings.model != "UNLIMITED":
            self._open_accounts(mandate, {user})

    def _judge(self, mandate: str, user: str, amount: Decimal, names: Names) -> Answer:
        own = self.mandates[mandate]
        payer = own.settings.payer(user)
        accounts = [own.accounts[holder] for holder in (user, payer) if holder in own.accounts]
        if not all(account.enabled for account in accounts):
            return Answer(False, "ACCOUNT_DISABLED")
        reason = None if payer is None else self._short(mandate, own, payer, amount)
        if reason is not None:
            return Answer(False, reason)
        return self._capped(mandate, user, names)

    def _short(self, mandate: str, own: Mandate, payer: str, amount: Decimal) -> str | None:
        account, held = own.accounts[payer], self.held(mandate, payer)
        if own.settings.model == "CREDIT_POSTPAY":
            debt = max(NOTHING, -account.balance)
            return None if account.limit is None or account.limit - debt - held >= amount else "CREDIT_LIMIT_EXCEEDED"
        return "INSUFFICIENT_BALANCE" if own.settings.blocks and account.balance - held < amount else None

    def _capped(self, mandate: str, user: str, names: Names) -> Answer:
        settings, today = self.mandates[mandate].settings, self._today(mandate)
        concerning = [cap for cap in self.caps_of(mandate) if cap.refuses and cap.user in (caps.EVERYBODY, user)]
        unjudged = tuple(cap for cap in concerning if not cap.names(names))
        for cap in concerning:
            window = cap.window(user, names, today)
            if window is not None and self.spent(cap, window) + self.held_in(cap, window) >= cap.limit and not self._is_free(names):
                return Answer(False, "CAP_EXCEEDED", None, cap, caps.opens_at(cap.period, window[1], settings.zone), unjudged)
        return Answer(True, unjudged=unjudged)

    def _is_free(self, names: Names) -> bool:
        rows: list[Item] = [row for row in self.prices.book["rows"] if (row["provider"], row["model"]) == names[:2]]
        return bool(rows) and all(row["amount"] == 0 for row in rows)

    def renew(self, mandate: str, key: str, ttl: timedelta) -> Answer:
        """The hold lasts so long from now on, never beyond a day after its authorisation, never less than it did.

        Raises:
            Refused: there is no such hold.
        """
        hold = self._hold(mandate, key)
        lives = hold.state == "OPEN" and not self.is_over(hold)
        if lives:
            hold.until = max(hold.until, min(self.now + ttl, hold.since + LONGEST))
        return self._became(hold, lives)

    def release(self, mandate: str, key: str) -> Answer:
        """Nothing is kept any more; once it is settled or over, nothing happens.

        Raises:
            Refused: there is no such hold.
        """
        hold = self._hold(mandate, key)
        lives = hold.state == "OPEN" and not self.is_over(hold)
        if lives:
            hold.released += hold.remaining
            hold.settle("RELEASED", self.now)
        return self._became(hold, lives)

    def sweep(self) -> int:
        """What the clock has ended is settled; how many there were."""
        over = [hold for hold in self.holds.values() if self.is_over(hold)]
        for hold in over:
            self._expire(hold)
        return len(over)

    def _expire(self, hold: Hold) -> None:
        hold.expired += hold.remaining
        hold.settle("EXPIRED", self.now)

    def _users(self, mandate: str) -> set[str]:
        """Whoever has an open hold, too: somebody must pay for it."""
        return super()._users(mandate) | {hold.user for hold in self.open_holds(mandate)}

    def _hold(self, mandate: str, key: str) -> Hold:
        if (mandate, key) not in self.holds:
            raise Refused
        return self.holds[mandate, key]

    def deliver(self, events: Sequence[Event], now: datetime) -> list[str]:
        """See `Books.deliver`; usage that names a hold is its capture."""
        self.now = now
        outcomes = super().deliver(events, now)
        for event, outcome in zip(events, outcomes, strict=True):
            if outcome == "parked":
                self.received[event.key] = now
        self.look()
        return outcomes

    def _debit(self, events: Iterable[Event]) -> None:
        events = list(events)
        super()._debit(events)
        for event in events:
            debit = self.mandates[event.mandate].standing(event.event_id)
            assert debit is not None
            if event.hold is not None:
                self._capture(event, debit.amount, event.hold[1] is not False)

    def _capture(self, event: Event, amount: Decimal, final: bool) -> None:
        assert event.hold is not None
        came, key = self.received.pop(event.key, self.now), (event.mandate, event.hold[0])
        if key not in self.holds:
            self.holds[key] = Hold(*key, event.user, NOTHING, None, self._today(event.mandate), self.now, self.now, used=amount, uses=1)
            self.holds[key].settle("CAPTURED", self.now)
            return
        hold = self.holds[key]
        if hold.user != event.user:
            self.counted["strangers"] += 1
            return
        hold.used += amount
        hold.uses += 1
        if hold.state == "OPEN" and came >= hold.until and self.is_over(hold):
            self._expire(hold)
        if hold.state != "OPEN":
            hold.late += 1
            return
        taken = min(hold.remaining, amount)
        hold.captured += taken
        hold.beyond += amount - taken
        if final:
            hold.released += hold.remaining
            hold.settle("CAPTURED", self.now)

    def caps_of(self, mandate: str) -> list[Cap]:
        """Those that are there, the oldest first."""
        return [cap for cap in self.caps if cap.mandate == mandate and not cap.removed]

    def set_cap(self, new: Cap) -> Cap:
        """A cap that counts its running window first; or another limit, action or shares of the one that is in its place.

        Raises:
            Refused: the mandate has no settings.
        """
        own = self.present(new.mandate)
        start = caps.first_day(new.period, self._today(new.mandate))
        cap = next((cap for cap in self.caps_of(new.mandate) if cap.place == new.place), None)
        if cap is None:
            cap = new.begun(start)
            self.caps.append(cap)
        cap.change(new, own.ledger, start)
        return cap

    def counters(self, cap: Cap) -> dict[Window, tuple[Decimal, Decimal]]:
        """What is spent and what is held in each window of a cap; with what the clock has ended and nobody has settled."""
        held: dict[Window, Decimal] = defaultdict(Decimal)
        for hold in self.open_holds(cap.mandate):
            window = cap.window(hold.user, hold.names, hold.day)
            if window is not None:
                held[window] += hold.remaining
        spent = cap.spent(self.mandates[cap.mandate].ledger)
        return {window: (spent.get(window, NOTHING), held[window]) for window in {*spent, *held}}

    def spent(self, cap: Cap, window: Window) -> Decimal:
        """What debits took in a window."""
        return cap.spent(self.mandates[cap.mandate].ledger).get(window, NOTHING)

    def held_in(self, cap: Cap, window: Window) -> Decimal:
        """What holds keep that were authorised in a window, and that the clock hasn't ended."""
        holds = (hold for hold in self.open_holds(cap.mandate) if cap.window(hold.user, hold.names, hold.day) == window)
        return sum((hold.remaining for hold in holds if not self.is_over(hold)), NOTHING)

    def look(self) -> None:
        """Tells of the shares of caps that were reached or left by what was done last."""
        for cap in self.caps:
            if not cap.removed and cap.mandate in self.mandates:
                cap.look(self.mandates[cap.mandate].ledger)

    def backfill_accounts(self) -> Counter[str]:
        """See `Books.backfill_accounts`."""
        made = super().backfill_accounts()
        self.look()
        return made

    def switch(self, mandate: str, model: str) -> Decimal:
        """See `Books.switch`; what is held is not looked at, and goes with whoever pays now."""
        moved = super().switch(mandate, model)
        self._follow(mandate)
        return moved

    def change(self, mandate: str, **changes: object) -> None:
        """See `Books.change`."""
        super().change(mandate, **changes)
        if "model" in changes:
            self._follow(mandate)

    def amend(self, mandate: str, event_id: str, price: Decimal) -> None:
        """See `Books.amend`; holds are as they were."""
        super().amend(mandate, event_id, price)
        self.look()
