"""What the machine of holds is made of: its clocks, its questions and its usage; `test_hold_model.py` has what happens."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.dialects.model import Leaf
from core.ledger.opening import KnownAccounts
from core.movements.top_up import TopUp, top_up
from core.prices.model import Layer, Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule
from core.recording.record_usage import record_usage
from lab.agreement.books import body_of
from lab.agreement.holds import holds_of_books, holds_of_model
from lab.oracle import caps
from lab.oracle.caps import Cap
from lab.oracle.entries import UNIT, Event
from lab.oracle.hold import Answer, Hold, Question
from lab.oracle.holds import HeldBooks
from tests.books import holding
from tests.books.test_model import DEATH, START, WHO, ZONES, BooksMachine
from tests.prices import scene
from tests.sample_events import raw

LONG_AGO, FAR = START - timedelta(days=30), datetime(2100, 1, 1, tzinfo=UTC)
SUSPENDED = START - timedelta(days=3), START - timedelta(days=2)  # what happened in between is billed by the price book
AMOUNTS = st.sampled_from(["0", "0.000000001", "0.5", "1", "1", "2", "2", "3", "10"]).map(Decimal)
TTLS = st.sampled_from([1, 59, 900, 900, 900, 3600, 86400]).map(lambda seconds: timedelta(seconds=seconds))
STEPS = st.sampled_from([0, 1, 30, 58, 59, 60, 600, 899, 900, 901, 3600, 7200, 86400, 700_000]).map(lambda seconds: timedelta(seconds=seconds))
NAMES = st.tuples(st.booleans(), st.sampled_from(["paid", "paid", "free", None]), st.sampled_from([None, "chat"]))
HELD = st.sampled_from(["a", "a", "a", "b"])
# Around these moments the clocks of Zurich and of Santiago are put forward or back; where it is midnight there, it isn't a day of 24 hours.
CHANGES = [
    datetime.fromisoformat(f"{moment}+00:00")
    for moment in ("2024-03-31T00:59:30", "2024-04-07T02:59:30", "2024-09-08T03:59:30", "2024-10-27T00:59:30", "2025-03-30T00:59:30")
]
PARTS = st.sampled_from(["nothing", "a bit", "a half", "all", "more", "much more"])
USES = st.lists(st.tuples(PARTS, st.sampled_from([None, None, True, False, False])), min_size=1, max_size=3)
EARLY, MORE, SELDOM = st.sampled_from([0, 0, 1]), st.sampled_from([Decimal(0), UNIT]), st.sampled_from([False, False, True])
_machines = itertools.count(1)
keys = itertools.count(1)


class HeldMachine(BooksMachine):
    """As the other machine, with holds and caps; its model is given the time at which everything is done."""

    model: HeldBooks
    # What the other machine does beside, holds add nothing to.
    enter = appear = use_by_all = rebuild = roll_up = wait = send_again = contradict = make_settings = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.model = HeldBooks(START)
        self.provider = f"h{next(_machines):05}"
        self.model.prices.book["defaults"] = {self.provider: scene.STANDARD}
        self.cap_ids: dict[Cap, int] = {}
        self.unpriced = 1  # the number of the newest model without a price

    @initialize(
        target=BooksMachine.events,
        zone=ZONES,
        model=st.sampled_from([BillingModel.PREPAY_USER, BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY]),
        early=EARLY,
        more=MORE,
    )
    def begin(self, zone: str, model: BillingModel, early: int, more: Decimal) -> Any:
        """As there; nothing is left of others' holds, two models of a provider have a price, and usage of one day is billed by it.

        Somebody asks for all that there is.
        """
        holding.sweep(self.scene.database, FAR)
        self.accept(paid="1", free="0")
        add_rule(self.scene.database, ROOT, created_by="test", provider=self.provider, valid_from=LONG_AGO, markup_percent=Decimal(0), book=None)
        told = {"id": 1, "mandate_id": None, "priority": 0, "provider": self.provider, "model": None, "valid_from": LONG_AGO, "valid_to": None}
        self.model.prices.replace("rules", None, {**told, "markup_percent": Decimal(0), "book": None})
        found = super().begin.__wrapped__(self, zone, model, None)  # type: ignore[attr-defined]
        for since, mode in zip(SUSPENDED, (Mode.COMPUTED, Mode.GIVEN), strict=True):
            set_mode(self.scene.database, ROOT, self.ids["a"], mode, created_by="test", since=since)
            self.model.prices.modes[self.ids["a"]].append((since, mode.value))
        self.change_settings("a", {"credit": Decimal(40)})
        self.pay("a", "ada")
        self.ask_for_all_of_it("a", "ada", early, False, more)
        self.set_clock(self.now + timedelta(minutes=1))
        return found

    def accept(self, **francs: str) -> None:
        """From now on there are prices of models of the machine's provider: so many francs for a token of input."""
        plain: dict[str, Any] = {
            "provider": self.provider,
            "layer": "list",
            "mandate_id": "",
            "book": "",
            **scene.STANDARD,
            "per": 1,
            "currency": "CHF",
        }
        plain |= dict.fromkeys(("from_tokens", "boundary", "valid_from", "valid_to"))
        rows = [{**plain, "model": model, "leaf": "input", "amount": Decimal(amount)} for model, amount in francs.items()]
        offered = [scene.row(**{**row, "layer": Layer.LIST, "leaf": str(Leaf.INPUT), "amount": str(row["amount"])}) for row in rows]
        scene.accepted_if_new(self.scene.database, offered, {self.provider: scene.STANDARD})
        self.model.prices.accept(rows)

    @rule(step=STEPS, back=st.sampled_from([False, False, False, True]))
    def tick(self, step: timedelta, back: bool) -> None:
        """Time passes, or the clock is put back."""
        self.set_clock(self.now - step if back else self.now + step)

    @rule(off=st.sampled_from([-60, -1, 0, 1]), mandate=HELD)
    def to_midnight(self, off: int, mandate: str) -> None:
        """It is about to be midnight in the mandate's zone, or just was."""
        own = self.model.mandates.get(self.ids[mandate])
        if own is not None:
            midnight = caps.opens_at("DAY", own.settings.local_day(self.now), own.settings.zone)
            assert midnight is not None
            self.set_clock(midnight + timedelta(seconds=off))

    @rule(zone=st.sampled_from(["Europe/Zurich", "America/Santiago"]), mandate=HELD)
    def to_a_change_of_clocks(self, zone: str, mandate: str) -> None:
        """It is half a minute before clocks are put forward or back."""
        later = [moment for moment in CHANGES if moment > self.now]
        if later:
            self.change_settings(mandate, {"zone": zone})
            self.set_clock(later[0])

    def set_clock(self, now: datetime) -> None:
        """It is that time now."""
        self.now = self.model.now = now

    def hold(self, number: int) -> Hold | None:
        """One of all holds, mostly one that is open, if there is one; the newest are the first."""
        holds = list(reversed(self.model.holds.values()))
        of_these = [hold for hold in holds if hold.state == "OPEN"] if number % 4 else holds
        return of_these[number // 4 % len(of_these)] if of_these else None

    def names(self, names: tuple[bool, str | None, str | None]) -> caps.Names:
        """With the machine's provider, where one is named."""
        return (self.provider if names[0] else None, *names[1:])

    def told(self, answer: holding.Told) -> Answer:
        """A program's answer in the model's words."""
        by_id = {number: cap for cap, number in self.cap_ids.items()}
        cap = None if answer.cap_id is None else by_id[answer.cap_id]
        return Answer(answer.allowed, answer.reason, answer.state, cap, answer.opens_at, tuple(by_id[number] for number in answer.unjudged))

    def answered(self, dies: int | None, do: Callable[[Database], holding.Told], modelled: Callable[[], Answer]) -> None:
        """Both answer the same, or both refuse."""
        self.model.now = self.now
        both = self.both(dies, do, modelled)
        if both is not None:
            assert self.told(both[0]) == both[1]

    def ask_for(self, asked: Question, ttl: timedelta, dies: int | None) -> None:
        """Asked of both."""
        self.answered(
            dies,
            lambda database: holding.authorise(database, asked, ttl, config=self.scene.config, now=self.now),
            lambda: self.model.authorise(asked, ttl),
        )

    @rule(mandate=HELD, user=WHO, cost=AMOUNTS, names=NAMES)
    def check(self, mandate: str, user: str, cost: Decimal, names: Any) -> None:
        """A call is asked for, and nothing is to be kept for it."""
        own, about = self.ids[mandate], self.names(names)
        self.answered(
            None,
            lambda database: holding.check(database, own, user, cost, about, config=self.scene.config, now=self.now),
            lambda: self.model.check(own, user, cost, about),
        )

    @rule(dies=DEATH)
    def sweep(self, dies: int | None) -> None:
        """What has ended is settled."""
        self.model.now = self.now
        swept = self.ask(dies, lambda database: holding.sweep(database, self.now))
        assert swept == self.model.sweep()

    @rule(
        mandate=HELD,
        user=WHO,
        early=EARLY,
        swept=SELDOM,
        more=MORE,
    )
    def ask_for_all_of_it(self, mandate: str, user: str, early: int, swept: bool, more: Decimal) -> None:
        """All that there is is kept for one call, which never comes; the next one is asked for when it has just ended, or is about to."""
        own = self.model.mandates.get(self.ids[mandate])
        payer = None if own is None else own.settings.payer(user)
        if own is None or payer is None or payer not in own.accounts:
            return
        account = own.accounts[payer]
        owed = account.balance if own.settings.model != "CREDIT_POSTPAY" else min(account.balance, Decimal(0)) + (account.limit or Decimal(7))
        there = owed - self.model.held(self.ids[mandate], payer)
        if 0 < there < 1_000_000:
            self.ask_for(Question(self.ids[mandate], f"k{next(keys)}", user, there), timedelta(minutes=1), None)
            self.set_clock(self.now + timedelta(seconds=60 - early))
            if swept:
                self.sweep(None)
            self.check(mandate, user, there + more, (False, None, None))
            self.ask_for(Question(self.ids[mandate], f"k{next(keys)}", user, there + more), timedelta(minutes=1), None)

    @rule(mandate=HELD, user=WHO)
    def pay(self, mandate: str, user: str) -> None:
        """Whoever pays for a user has 20 francs more."""
        own = self.model.mandates.get(self.ids[mandate])
        payer = None if own is None else own.settings.payer(user)
        if own is None or payer is None or payer not in own.accounts:
            return
        (row,) = self.scene.rows("SELECT id FROM accounts WHERE mandate_id = :m AND coalesce(user_id, '') = :u", m=self.ids[mandate], u=payer)
        entry = self.model.move(self.ids[mandate], payer, "CREDIT PAYMENT", Decimal(20))
        self.moved[entry] = top_up(
            self.scene.database, ROOT, TopUp.read(self.request(self.ids[mandate], account_id=row["id"], amount="20"))
        ).transaction_id

    def delivered(self, batch: list[Event], dies: int | None) -> list[Event]:
        """As there, by the machine's clock; what is parked came at its time."""
        raws, memory = [raw(body_of(event)) for event in batch], KnownAccounts()

        def record(database: Database) -> list[str]:
            told = record_usage(
                database, raws, config=self.scene.config, known_accounts=memory, worker="test", clock=lambda: self.now, hold_clock=self.now
            )
            return [str(outcome) for outcome in told.outcomes]

        outcomes = self.ask(dies, record)
        assert outcomes == self.model.deliver(batch, self.now)
        for event, outcome in zip(batch, outcomes, strict=True):
            if outcome == "parked":
                self.scene.rows(
                    "UPDATE parked_events SET received_at = :now WHERE mandate_id = :m AND event_id = :e",
                    now=self.now,
                    m=event.mandate,
                    e=event.event_id,
                )
        return [event for event in batch if event.key in self.model.keys or event.key in self.model.parked]

    def part_of(self, part: str, hold: Hold) -> Decimal:
        """A price beside what a hold has left."""
        left = hold.remaining
        prices = {"nothing": Decimal(0), "a bit": UNIT, "a half": (left / 2).quantize(UNIT), "all": left, "more": left + UNIT, "much more": left + 5}
        return prices[part]

    def use_hold(
        self, hold: Hold, uses: list[tuple[str, bool | None]], at: datetime, dies: int | None, *, user: str | None = None, again: bool = False
    ) -> list[Event]:
        """In one batch, the first of them perhaps twice."""
        names = hold.names if hold.question is not None else (None, None, None)
        whose, key = user or hold.user, hold.key
        batch = [Event(hold.mandate, self.event_id(), whose, self.part_of(part, hold), at, names, hold=(key, final)) for part, final in uses]
        return self.delivered([*batch, *batch[: int(again)]], dies)[: len(batch)]

    @invariant()
    def agree(self) -> None:
        """As there; and holds, what is held of balances, counters and alerts of caps are those of the model."""
        super().agree()
        books, model = holds_of_books(self.scene.database, self.ids.values()), holds_of_model(self.model, self.cap_ids)
        for what, told in model.items():
            assert books[what] == told, what
