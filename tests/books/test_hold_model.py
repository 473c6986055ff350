"""The books with holds and caps against the plain model of them: whatever is asked, used, released, switched or ended by the clock in between."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule, run_state_machine_as_test

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.update_settings import update_settings
from core.statistics import roll_up as rollup_module
from lab.oracle import caps
from lab.oracle.caps import Cap
from lab.oracle.entries import POOL, Call, Event
from lab.oracle.hold import Question
from tests.books import holding
from tests.books.held_machine import AMOUNTS, HELD, NAMES, STEPS, SUSPENDED, TTLS, USES, HeldMachine, keys
from tests.books.test_model import ANY, BATCHES_MAX, DEATH, OFTEN, WHO, BooksMachine, Scene
from tests.conftest import DatabaseUrls, Record, Rows
from tests.recording.mortal import MortalDatabase
from tests.scene import Breaches


class HoldsMachine(HeldMachine):
    """What may happen to holds, to what pays for them, and to caps."""

    @rule(mandate=HELD, user=WHO, amount=AMOUNTS, ttl=TTLS, names=NAMES, dies=DEATH)
    def authorise(self, mandate: str, user: str, amount: Decimal, ttl: timedelta, names: Any, dies: int | None) -> None:
        """A call is asked for."""
        self.ask_for(Question(self.ids[mandate], f"k{next(keys)}", user, amount, self.names(names)), ttl, dies)

    @rule(mandate=HELD, amounts=st.lists(AMOUNTS, min_size=2, max_size=4), user=WHO)
    def authorise_several(self, mandate: str, amounts: list[Decimal], user: str) -> None:
        """Several calls are asked for in one transaction."""
        asked = [Question(self.ids[mandate], f"k{next(keys)}", user, amount) for amount in amounts]
        self.model.now, ttl = self.now, timedelta(minutes=15)
        told = holding.authorise_several(self.scene.database, asked, ttl, config=self.scene.config, now=self.now)
        assert [self.told(one) for one in told] == [self.model.authorise(one, ttl) for one in asked]

    @rule(mandate=HELD, user=WHO, tokens=st.sampled_from([1, 3, 10]), model=st.sampled_from(["paid", "paid", "free", "unheard of"]), dies=DEATH)
    def estimate(self, mandate: str, user: str, tokens: int, model: str, dies: int | None) -> None:
        """A call is asked for by what it is expected to use."""
        names = self.provider, model, None
        self.ask_for(Question(self.ids[mandate], f"k{next(keys)}", user, None, names, tokens), timedelta(minutes=15), dies)

    @rule(number=ANY, amount=AMOUNTS, user=WHO, change=st.sampled_from(["", "", "amount", "user", "names"]), ttl=TTLS, dies=DEATH)
    def ask_again(self, number: int, amount: Decimal, user: str, change: str, ttl: timedelta, dies: int | None) -> None:
        """Under a key that was used something is asked again: the same, or another thing; of a hold that only its event wrote anything."""
        hold = self.hold(number)
        if hold is None:
            return
        same = hold.question or Question(hold.mandate, hold.key, hold.user, amount)
        others: dict[str, dict[str, Any]] = {
            "": {},
            "amount": {"amount": amount, "tokens": None},
            "user": {"user": user},
            "names": {"names": (None, None, "again")},
        }
        self.ask_for(replace(same, **others[change]), ttl, dies)

    @rule(number=ANY, ttl=TTLS, dies=DEATH)
    def renew(self, number: int, ttl: timedelta, dies: int | None) -> None:
        """A call takes longer."""
        if (hold := self.hold(number)) is not None:
            self.answered(
                dies,
                lambda database: holding.renew(database, hold.mandate, hold.key, ttl, now=self.now),
                lambda: self.model.renew(hold.mandate, hold.key, ttl),
            )

    @rule(number=ANY, dies=DEATH)
    def release(self, number: int, dies: int | None) -> None:
        """A call was not made."""
        if (hold := self.hold(number)) is not None:
            self.answered(
                dies,
                lambda database: holding.release(database, hold.mandate, hold.key, now=self.now),
                lambda: self.model.release(hold.mandate, hold.key),
            )

    @rule(
        target=BooksMachine.events,
        mandate=HELD,
        calls=st.lists(st.tuples(WHO, AMOUNTS, USES, st.sampled_from([0, 0, 0, 899, 900])), min_size=1, max_size=4),
        names=NAMES,
        dies=DEATH,
    )
    def call(self, mandate: str, calls: list[Any], names: Any, dies: int | None) -> Any:
        """Calls are asked for and made one after the other, whatever the answer was; some take just as long as their hold lasts, or longer."""
        events: list[Event] = []
        for user, amount, uses, seconds in calls:
            self.ask_for(Question(self.ids[mandate], f"k{next(keys)}", user, amount, self.names(names)), timedelta(minutes=15), None)
            self.set_clock(self.now + timedelta(seconds=seconds))
            if self.model.holds:
                events += self.use_hold(next(reversed(self.model.holds.values())), uses, self.now, dies)
        return multiple(*events)

    @rule(
        target=BooksMachine.events,
        number=ANY,
        uses=USES,
        other=st.sampled_from([None] * 5 + ["bob"]),
        age=st.sampled_from([0, 0, 1, 26]),
        again=OFTEN,
        dies=DEATH,
    )
    def use_held(self, number: int, uses: list[tuple[str, bool | None]], other: str | None, age: int, again: bool, dies: int | None) -> Any:
        """Usage of one or several events that name a hold, in one batch, some of them twice."""
        if (hold := self.hold(number)) is None:
            return multiple()
        return multiple(*self.use_hold(hold, uses, self.now - timedelta(hours=age), dies, user=other, again=again))

    @rule(
        target=BooksMachine.events,
        mandate=st.sampled_from("aabc"),
        users=st.lists(WHO, min_size=1, max_size=2),
        price=AMOUNTS,
        final=st.sampled_from([None, False]),
    )
    def use_before_it_is_asked_for(self, mandate: str, users: list[str], price: Decimal, final: bool | None) -> Any:
        """Usage that names a hold which nobody has asked for."""
        key = f"k{next(keys)}"
        batch = [Event(self.ids[mandate], self.event_id(), user, price, self.now, hold=(key, final)) for user in users]
        return multiple(*self.delivered(batch, None))

    @rule(
        target=BooksMachine.events,
        number=ANY,
        count=st.sampled_from([0, 1, 3, 20]),
        final=st.sampled_from([None, False]),
        another=st.booleans(),
        dies=DEATH,
    )
    def park_held(self, number: int, count: int, final: bool | None, another: bool, dies: int | None) -> Any:
        """Usage that names a hold, of a model that has no price yet: that of the last such usage, or another one."""
        if (hold := self.hold(number)) is None or hold.mandate != self.ids["a"]:
            return multiple()
        self.unpriced += another
        call = Call(f"o{next(keys)}", "canonical", (("input", count), ("cache_read", 0), ("output", 0), ("web_search", 0)))
        names = self.provider, f"model{self.unpriced}", None
        at = SUSPENDED[0] + timedelta(hours=1)
        return multiple(*self.delivered([Event(hold.mandate, self.event_id(), hold.user, None, at, names, call=call, hold=(hold.key, final))], dies))

    @rule(number=ANY, counts=st.lists(st.tuples(st.sampled_from([1, 3]), st.sampled_from([None, False]), STEPS), min_size=2, max_size=3), dies=DEATH)
    def park_several(self, number: int, counts: list[Any], dies: int | None) -> None:
        """Usage of a hold waits, some of it since before the hold has ended and some since later; then all of it is recorded at once."""
        self.unpriced += 1
        for count, final, step in counts:
            self.park_held(number, count, final, False, None)
            self.set_clock(self.now + step)
        self.accept(**{f"model{self.unpriced}": "1"})
        self.make_accounts(dies)

    @rule(number=ANY, dies=DEATH)
    def release_parked(self, number: int, dies: int | None) -> None:
        """A model has a price now, and what waited for it is recorded."""
        waiting = sorted({model for event in self.model.parked.values() if (model := event.names[1] or "").startswith("model")})
        if waiting:
            self.accept(**{waiting[number % len(waiting)]: "1"})
            self.make_accounts(dies)

    @rule(number=ANY, late=OFTEN)
    def use_in_vain(self, number: int, late: bool) -> None:
        """Usage that names a hold and is rejected, since it is too late; or it contradicts what was recorded."""
        if (hold := self.hold(number)) is None:
            return
        known = next((event for event in self.model.keys.values() if event.mandate == hold.mandate), None)
        at = self.now - timedelta(days=450)
        if late or known is None:
            self.delivered([Event(hold.mandate, self.event_id(), hold.user, Decimal(1), at, hold=(hold.key, None))], None)
        else:
            self.delivered([replace(known, price=Decimal(77), hold=(hold.key, None))], None)

    @rule(mandate=HELD, blocks=OFTEN, dies=DEATH)
    def block(self, mandate: str, blocks: bool, dies: int | None) -> None:
        """A balance that doesn't suffice refuses, or doesn't."""
        own, config = self.ids[mandate], self.scene.config
        self.both(
            dies,
            lambda database: update_settings(database, ROOT, own, {"block_on_zero_balance": blocks}, changed_by="test", config=config),
            lambda: self.model.change(own, blocks=blocks),
        )

    @rule(mandate=HELD, limit=st.sampled_from([None, "0", "5", "20"]))
    def limit(self, mandate: str, limit: str | None) -> None:
        """The pool may owe so much."""
        own = self.model.mandates.get(self.ids[mandate])
        if own is None or POOL not in own.accounts:
            return
        (row,) = self.scene.rows("SELECT id FROM accounts WHERE mandate_id = :m AND user_id IS NULL", m=self.ids[mandate])
        own.accounts[POOL].limit = None if limit is None else Decimal(limit)
        set_credit_limit(
            self.scene.database, ROOT, CreditLimit.read(self.request(self.ids[mandate], account_id=row["id"], credit_limit=own.accounts[POOL].limit))
        )

    @rule(
        mandate=HELD,
        whom=st.sampled_from(["ALL", "USER", "EACH_USER"]),
        user=WHO,
        about=st.sampled_from(["", "", "provider", "model", "feature_code"]),
        period=st.sampled_from(["DAY", "DAY", "WEEK", "MONTH", "TOTAL"]),
        limit=st.sampled_from(["0", "1", "3", "6", "10", "25"]),
        refuses=OFTEN,
        shares=st.sampled_from([(50, 80, 100), (50, 80, 100), (33,), (1, 100)]),
        dies=DEATH,
    )
    def set_cap(
        self, mandate: str, whom: str, user: str, about: str, period: str, limit: str, refuses: bool, shares: tuple[int, ...], dies: int | None
    ) -> None:
        """A cap is set, or another limit, action or shares for one that is there."""
        value = {"": "", "provider": self.provider, "model": "paid", "feature_code": "chat"}[about]
        new = Cap(self.ids[mandate], whom, user if whom == "USER" else "", about, value, period, Decimal(limit), refuses, shares, caps.EVER)
        self.model.now = self.now
        both = self.both(dies, lambda database: holding.set_cap(database, new, now=self.now), lambda: self.model.set_cap(new))
        if both is not None:
            self.cap_ids[both[1]] = both[0]

    @rule(
        mandate=HELD, user=WHO, whom=st.sampled_from(["ALL", "EACH_USER"]), limit=st.sampled_from(["1", "3"]), to=st.sampled_from(["0", "0.5", "9"])
    )
    def reach_and_leave(self, mandate: str, user: str, whom: str, limit: str, to: str) -> None:
        """A cap is set, then reached, and left again where the usage is amended to less."""
        self.set_cap(mandate, whom, user, "", "DAY", limit, True, (50, 80, 100), None)
        event = Event(self.ids[mandate], self.event_id(), user, Decimal(limit), self.now)
        self.delivered([event], None)
        self.check(mandate, user, Decimal(0), (False, None, None))
        self.correct(event, Decimal(to), None)
        self.check(mandate, user, Decimal(0), (False, None, None))

    @rule(number=ANY)
    def remove_cap(self, number: int) -> None:
        """A cap is gone."""
        present = [cap for cap in self.model.caps if not cap.removed]
        if present:
            cap = present[number % len(present)]
            holding.remove_cap(self.scene.database, cap.mandate, self.cap_ids[cap])
            cap.removed = True


@pytest.fixture
def machine(
    database: Database,
    database_urls: DatabaseUrls,
    config: Configuration,
    record: Record,
    rows: Rows,
    breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[type[HoldsMachine]]:
    """Machines on one database, each with mandates and a provider of its own."""
    monkeypatch.setattr(rollup_module, "BATCHES_MAX", BATCHES_MAX)
    mortal = MortalDatabase(database_urls.worker, config)
    monkeypatch.setattr(HoldsMachine, "scene", Scene(database, mortal, config, record, rows, breaches), raising=False)
    yield HoldsMachine
    mortal.dispose()


@pytest.mark.timeout(600)  # where it fails it looks for a shorter sequence that does
def test_the_books_agree_with_the_model_of_holds(machine: type[HoldsMachine]) -> None:
    """Holds, captures, releases, expiries, clocks that jump, switches, parked usage, caps and deaths in any order: always the same."""
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=50))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_books_agree_with_the_model_of_holds_for_long(machine: type[HoldsMachine]) -> None:
    """The same, for many more and longer sequences."""
    run_state_machine_as_test(machine, settings=settings(max_examples=300, stateful_step_count=80))
