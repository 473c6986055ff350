"""The whole of the books against a plain model of their rules: whatever happens in whatever order, and wherever a session dies."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule, run_state_machine_as_test

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership
from core.errors import NotFound, RequestRefused, StorageUnavailable
from core.movements.adjust import Adjustment, adjust
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.movements.update_settings import update_settings
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings
from core.statistics import roll_up as rollup_module
from core.statistics.rebuild import Rebuild, rebuild_statistics
from core.statistics.roll_up import roll_up_usage
from lab.agreement.books import body_of, told_by_books, told_by_model
from lab.oracle.books import Books, Refused
from lab.oracle.entries import UNIT, Entry, Event, Tokens
from tests.conftest import DatabaseUrls, Record, Rows
from tests.recording.mortal import MortalDatabase
from tests.scene import Breaches

Result = TypeVar("Result")
Expected = TypeVar("Expected")
BATCHES_MAX = 2  # of one transaction of a rollup, so that it takes several
START = datetime(2024, 2, 28, 12, tzinfo=UTC)  # a leap day, ends of months and of years lie before and after it
MINUTES_PER_DAY = 24 * 60
NAMES, USERS = "abc", ["ada", "bob", "cid", "eve"]
WHO = st.sampled_from(USERS)
MANDATES, ANY = st.sampled_from("aaabbc"), st.integers(0, 99)
MODELS = st.sampled_from(list(BillingModel))
ZONES = st.sampled_from(["Pacific/Kiritimati", "Etc/GMT+12", "America/Santiago", "Asia/Kolkata", "Europe/Zurich", "UTC"])
PRICES = st.one_of(st.integers(0, 9), st.integers(0, 2 * 10**10)).map(lambda units: units * UNIT)
AMOUNTS = PRICES.filter(bool)
AGES = st.one_of(st.integers(0, 3 * MINUTES_PER_DAY), st.integers(0, 402 * MINUTES_PER_DAY)).map(lambda minutes: timedelta(minutes=minutes))
OFTEN = st.sampled_from([True, True, True, False])
TEXTS = st.sampled_from([None, "unknown", "x", "y"])
TOKENS = st.one_of(st.just((0, 0, 0, 0, 0)), st.tuples(*[st.integers(0, 9)] * 5))
CHANGES = st.one_of(
    ZONES.map(lambda zone: {"zone": zone}),
    ZONES.map(lambda zone: {"zone": zone}),
    st.sampled_from(["0", "3.5", "10"]).map(lambda credit: {"credit": Decimal(credit)}),
    st.sampled_from(["0", "33.333", "100"]).map(lambda percent: {"percent": Decimal(percent)}),
    MODELS.map(lambda model: {"model": model.value}),
)
DEATH, DEATHS = st.sampled_from([None, 0]), st.sampled_from([None, 0, 1, 2])  # how many commits there are before a session dies, if it does
_machines = itertools.count(1)
_keys = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """What a machine works on: real books, under a login that lives and one that dies."""

    database: Database
    mortal: MortalDatabase
    config: Configuration
    record: Record
    rows: Rows
    breaches: Breaches


class BooksMachine(RuleBasedStateMachine):
    """Three mandates in the books and in the model; after each step the two say the same."""

    scene: Scene

    def __init__(self) -> None:
        super().__init__()
        self.model, self.now = Books(), START
        number = next(_machines)
        self.ids = {name: f"m{number:05}{name}" for name in NAMES}
        self.moved: dict[Entry, int] = {}  # the transaction ids of top-ups and adjustments
        self.event_numbers = itertools.count(1)

    events = Bundle("events")

    @initialize(target=events, zone=ZONES, model=MODELS, dies=DEATH)
    def begin(self, zone: str, model: BillingModel, dies: int | None) -> Any:
        """What earlier machines have left is settled. One mandate has settings, the directory knows another, nobody a third; each is used."""
        database, config = self.scene.database, self.scene.config
        backfill_settings(database, config=config, worker="test", at_once=True)
        backfill_accounts(database, config=config, worker="test", at_once=True)
        assert roll_up_usage(database).complete
        self.sync("a", zone, enabled=True, members=dict.fromkeys(["ada", "bob", "cid"], True))
        self.sync("b", zone, enabled=True, members={"ada": True})
        self.change_settings("a", {"model": model.value})
        return multiple(*self.delivered([Event(self.ids[name], "first", "ada", Decimal(3), self.now) for name in NAMES], dies))

    def ask(self, dies: int | None, do: Callable[[Database], Result], *, whole: bool = True) -> Result:
        """What `do` comes to, on a session that may die on the way; then it is asked again. Of what is done `whole` nothing is left by a death."""
        self.scene.mortal.commits_left, self.died = dies, False
        try:
            return do(self.scene.mortal)
        except StorageUnavailable:
            assert dies is not None
            self.died = True
        finally:
            self.scene.mortal.commits_left = None
        if whole:
            self.agree()
        return do(self.scene.database)

    def both(
        self, dies: int | None, do: Callable[[Database], Result], modelled: Callable[[], Expected], *, whole: bool = True
    ) -> tuple[Result, Expected] | None:
        """What the program says and what the model says; none where both refuse."""
        try:
            done = self.ask(dies, do, whole=whole)
        except (NotFound, RequestRefused):
            with pytest.raises(Refused):
                modelled()
            return None
        return done, modelled()

    def request(self, mandate: str, **fields: object) -> dict[str, object]:
        """A request under a key of its own."""
        return {"mandate_id": mandate, "key": f"k{next(_keys)}", "by": "test", **fields}

    @rule(days=st.one_of(st.integers(0, 2), st.integers(100, 300)), minutes=st.integers(0, MINUTES_PER_DAY), copies=st.lists(events, max_size=5))
    def wait(self, days: int, minutes: int, copies: list[Event]) -> None:
        """Time passes, and copies come that may be too old by now for what nobody has seen."""
        self.now += timedelta(days=days, minutes=minutes)
        self.delivered(copies, None)

    @rule(mandate=MANDATES, zone=st.one_of(st.none(), ZONES), members=st.dictionaries(WHO, OFTEN, min_size=1, max_size=4), dies=DEATHS)
    def enter(self, mandate: str, zone: str | None, members: dict[str, bool], dies: int | None) -> None:
        """The directory has a mandate and members, and both backfills follow."""
        self.sync(mandate, zone, enabled=True, members=members)
        self.make_settings(dies)
        self.make_accounts(dies)

    @rule(mandate=MANDATES, copies=st.lists(events, max_size=5), dies=DEATH)
    def appear(self, mandate: str, copies: list[Event], dies: int | None) -> None:
        """The directory has a mandate from now on, and before anything parked is released copies of what came before come."""
        self.sync(mandate, None, enabled=True, members={"ada": True})
        self.delivered([*(event for event in self.model.parked.values() if event.mandate == self.ids[mandate]), *copies], dies)

    @rule(mandate=MANDATES, zone=st.one_of(st.none(), ZONES), enabled=OFTEN, members=st.dictionaries(WHO, OFTEN, min_size=1, max_size=4))
    def sync(self, mandate: str, zone: str | None, enabled: bool, members: dict[str, bool]) -> None:
        """The directory has a mandate and members of it so."""
        own = self.ids[mandate]
        memberships = [Membership(user, own, enabled=there) for user, there in members.items()]
        import_directory(self.scene.database, ROOT, mandates=[Mandate(own, "name", None, enabled, zone)], memberships=memberships)
        self.model.directory[own] = (enabled, zone)
        self.model.members |= {(own, user): there for user, there in members.items()}

    def event_id(self) -> str:
        """One that this machine hasn't used."""
        return f"e{next(self.event_numbers)}"

    def delivered(self, batch: list[Event], dies: int | None) -> list[Event]:
        """Recorded in both; what is in the books or parked now is given back."""
        bodies = [body_of(event) for event in batch]
        result = self.ask(dies, lambda database: self.scene.record(*bodies, database=database, clock=lambda: self.now))
        assert result.outcomes == self.model.deliver(batch, self.now)
        return [event for event in batch if event.key in self.model.keys or event.key in self.model.parked]

    @rule(
        target=events,
        uses=st.lists(st.tuples(MANDATES, WHO, PRICES, AGES, st.tuples(TEXTS, TEXTS, TEXTS), TOKENS), min_size=2, max_size=5),
        again=st.lists(events, max_size=2),
        dies=DEATH,
    )
    def use(self, uses: list[tuple[Any, ...]], again: list[Event], dies: int | None) -> Any:
        """New usage, recent, late or too late, with some in the same batch that is known already."""
        batch = [
            Event(self.ids[mandate], self.event_id(), user, price, self.now - age, names, tokens) for mandate, user, price, age, names, tokens in uses
        ]
        return multiple(*self.delivered([*batch, *again], dies)[: len(batch)])

    @rule(target=events, mandate=MANDATES, prices=st.tuples(*[PRICES] * len(USERS)), age=AGES, dies=DEATH)
    def use_by_all(self, mandate: str, prices: tuple[Decimal, ...], age: timedelta, dies: int | None) -> Any:
        """Everybody's usage of one moment, members' and strangers'."""
        moment = self.now - age
        batch = [Event(self.ids[mandate], self.event_id(), user, price, moment) for user, price in zip(USERS, prices, strict=True)]
        return multiple(*self.delivered(batch, dies))

    @rule(sent=st.lists(events, min_size=1, max_size=3), dies=DEATH)
    def send_again(self, sent: list[Event], dies: int | None) -> None:
        """A copy of anything that ever came, one after another in one batch."""
        self.delivered(sent, dies)

    @rule(first=events, price=PRICES, user=WHO, tokens=TOKENS, dies=DEATH)
    def contradict(self, first: Event, price: Decimal, user: str, tokens: Tokens, dies: int | None) -> None:
        """Another payload under a known id, before and after a copy of the first."""
        other = Event(first.mandate, first.event_id, user, price, first.at, first.names, tokens)
        self.delivered([other, first, other], dies)

    @rule(mandate=MANDATES, changes=CHANGES, dies=DEATH)
    def change(self, mandate: str, changes: dict[str, object], dies: int | None) -> None:
        """Another time zone, default credit, warning percentage; another model too, which is refused once anything is booked."""
        self.change_settings(mandate, changes, dies)

    def change_settings(self, mandate: str, changes: dict[str, object], dies: int | None = None) -> None:
        """New settings in both."""
        columns = {"model": "billing_model", "credit": "default_user_credit", "percent": "warning_threshold_percent", "zone": "time_zone"}
        asked, own, config = {columns[name]: value for name, value in changes.items()}, self.ids[mandate], self.scene.config
        self.both(
            dies,
            lambda database: update_settings(database, ROOT, own, asked, changed_by="test", config=config),
            lambda: self.model.change(own, **changes),
        )

    @rule(dies=DEATHS)
    def make_settings(self, dies: int | None) -> None:
        """The backfill of settings; how many it made is known where it wasn't interrupted."""
        config = self.scene.config
        done = self.ask(dies, lambda database: backfill_settings(database, config=config, worker="test", at_once=True), whole=False)
        made = self.model.backfill_settings()
        assert done is not None
        assert self.died or done == {"settings": made}

    @rule(dies=st.sampled_from([None, 0, 1, 2, 3, 4]))
    def make_accounts(self, dies: int | None) -> None:
        """The backfill of accounts, pools, due grants and parked events."""
        config = self.scene.config
        done = self.ask(dies, lambda database: backfill_accounts(database, config=config, worker="test", at_once=True), whole=False)
        made = self.model.backfill_accounts()
        assert done is not None
        assert self.died or done == dict(made)

    @rule(mandate=MANDATES, model=MODELS, payments=st.lists(st.tuples(ANY, AMOUNTS), min_size=1, max_size=3), dies=DEATH)
    def switch_by_way_of_unlimited(self, mandate: str, model: BillingModel, payments: list[tuple[int, Decimal]], dies: int | None) -> None:
        """For a while nobody pays, and whoever likes is credited: the balances go as from the model before that."""
        self.switch(mandate, BillingModel.UNLIMITED, dies)
        for number, amount in payments:
            self.move(number, amount, pays=True, down=False, dies=None)
        self.switch(mandate, model, dies)

    @rule(mandate=MANDATES, model=MODELS, dies=DEATH)
    def switch(self, mandate: str, model: BillingModel, dies: int | None) -> None:
        """Another billing model, with the balances that go with it; asked for again it is the same switch."""
        own = self.ids[mandate]
        asked = ModelSwitch.read(self.request(own, billing_model=model))
        both = self.both(dies, lambda database: switch_billing_model(database, ROOT, asked), lambda: self.model.switch(own, model.value))
        if both is not None:
            done, migrated = both
            assert (done.migrated_amount, done.settings_version) == (migrated, len(self.model.mandates[own].versions))
            assert switch_billing_model(self.scene.database, ROOT, asked).repeated

    def account(self, number: int) -> tuple[str, str, int] | None:
        """One of all accounts: its mandate, its holder and its id."""
        holders = [(mandate, holder) for mandate, own in self.model.mandates.items() for holder in own.accounts]
        if not holders:
            return None
        mandate, holder = holders[number % len(holders)]
        (row,) = self.scene.rows("SELECT id FROM accounts WHERE mandate_id = :m AND coalesce(user_id, '') = :u", m=mandate, u=holder)
        return mandate, holder, row["id"]

    @rule(number=ANY, amount=AMOUNTS, pays=st.booleans(), down=st.booleans(), dies=DEATH)
    def move(self, number: int, amount: Decimal, pays: bool, down: bool, dies: int | None) -> None:
        """A top-up, or an adjustment up or down."""
        if (found := self.account(number)) is None:
            return
        own, holder, account_id = found
        if pays:
            paid = TopUp.read(self.request(own, account_id=account_id, amount=amount))
            done = self.ask(dies, lambda database: top_up(database, ROOT, paid))
            entry = self.model.move(own, holder, "CREDIT PAYMENT", amount)
        else:
            signed = -amount if down else amount
            adjusted = Adjustment.read(self.request(own, account_id=account_id, amount=signed, reason="because"))
            done = self.ask(dies, lambda database: adjust(database, ROOT, adjusted))
            entry = self.model.move(own, holder, "ADJUSTMENT ADJUSTMENT", signed)
        self.moved[entry] = done.transaction_id

    @rule(number=ANY)
    def enable(self, number: int) -> None:
        """An account is disabled, or enabled again."""
        if (found := self.account(number)) is not None:
            own, holder, account_id = found
            account = self.model.mandates[own].accounts[holder]
            account.enabled = not account.enabled
            set_account_enabled(self.scene.database, ROOT, AccountEnabling.read(self.request(own, account_id=account_id, enabled=account.enabled)))

    def transaction_id(self, mandate: str, entry: Entry) -> int:
        """Of a debit, by its place among those of its event; of a movement, as it was told."""
        if entry.event is None:
            return self.moved[entry]
        debits = [e for e in self.model.mandates[mandate].ledger if e.is_debit and e.event is entry.event]
        found = self.scene.rows(
            "SELECT id FROM transactions WHERE mandate_id = :m AND event_id = :e AND transaction_type = 'DEBIT' ORDER BY id",
            m=mandate,
            e=entry.event.event_id,
        )
        return int(found[debits.index(entry)]["id"])

    @rule(number=ANY, percent=st.sampled_from([1, 33, 50, 100, 100, 101]), dies=DEATH)
    def give_back(self, number: int, percent: int, dies: int | None) -> None:
        """A refund of usage, a top-up or an adjustment: a part of what is left, all of it, or more than that."""
        entries = [(mandate, e) for mandate, own in self.model.mandates.items() for e in own.ledger if e.is_debit or e in self.moved]
        if not entries:
            return
        own, entry = entries[number % len(entries)]
        left = abs(entry.amount) - entry.refunded
        amount = max(UNIT, (left * percent / 100).quantize(UNIT))
        asked = Refund.read(self.request(own, transaction_id=self.transaction_id(own, entry), amount=amount))
        both = self.both(dies, lambda database: refund(database, ROOT, asked), lambda: self.model.refund(own, entry, amount))
        assert both is None or both[0].refundable == left - amount

    @rule(event=events, price=PRICES, dies=DEATHS)
    def correct(self, event: Event, price: Decimal, dies: int | None) -> None:
        """An amendment of a price, once for its key, under whatever zone the mandate has by then."""
        new, key = NewPrice.read({"mandate_id": event.mandate, "event_id": event.event_id, "price_chf": str(price)}), f"k{next(_keys)}"
        self.both(
            dies,
            lambda database: amend_prices(database, ROOT, [new], key=key, by="test", worker="test"),
            lambda: self.model.amend(event.mandate, event.event_id, price),
            whole=False,
        )

    @rule(dies=DEATHS)
    def roll_up(self, dies: int | None) -> None:
        """A rollup, whose session may die before the commit of one of its transactions; what it had committed stays, and the next goes on."""
        self.scene.mortal.commits_left = dies
        try:
            done = roll_up_usage(self.scene.mortal)
        except StorageUnavailable:
            assert dies is not None
            self.model.roll_up(dies * BATCHES_MAX)
            self.agree()
            done = roll_up_usage(self.scene.database)
        finally:
            self.scene.mortal.commits_left = None
        assert (done.batches, done.events, done.complete) == (*self.model.roll_up(), True)

    @rule(mandate=MANDATES, damage=st.sampled_from(["", "", "DELETE FROM", "UPDATE"]), dies=DEATHS)
    def rebuild(self, mandate: str, damage: str, dies: int | None) -> None:
        """Statistics counted anew: they were right, or are set right."""
        own = self.ids[mandate]
        if own not in self.model.mandates:
            return
        if damage:
            change = "SET cost = cost + 1, event_count = 7" if damage == "UPDATE" else ""
            self.scene.rows(f"{damage} usage_statistics {change} WHERE mandate_id = :m AND period_type <> 'DAY'", m=own)
        stored = [group for group in self.model.statistics if group[0] == own]
        measured = sum(group[0] == own for group, _, _ in self.model.measures)
        wrong = sum(group[2] != "DAY" for group in stored) if damage else 0
        done = self.ask(dies, lambda database: rebuild_statistics(database, ROOT, own), whole=not damage)
        assert done == Rebuild(1, len(stored) + measured, wrong, 0)

    @invariant()
    def agree(self) -> None:
        """Balances, thresholds, ledger, settings, statistics, keys, what is parked and dead letters are those of the model."""
        books, model = told_by_books(self.scene.database, self.ids.values()), told_by_model(self.model, self.ids.values())
        for what, told in model.items():
            assert books[what] == told, what

    def teardown(self) -> None:
        """At the end `verify` finds nothing, with what is pending and without; and grants are single."""
        assert self.scene.breaches() == {}
        assert roll_up_usage(self.scene.database).complete
        self.model.roll_up()
        self.agree()
        assert self.scene.breaches() == {}
        for own in self.model.mandates.values():
            grants = [entry.about for entry in own.ledger if entry.kind == "CREDIT SYSTEM"]
            assert len(grants) == len(set(grants))


@pytest.fixture
def machine(
    database: Database,
    database_urls: DatabaseUrls,
    config: Configuration,
    record: Record,
    rows: Rows,
    breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[type[BooksMachine]]:
    """Machines on one database, each with mandates of its own."""
    monkeypatch.setattr(rollup_module, "BATCHES_MAX", BATCHES_MAX)
    mortal = MortalDatabase(database_urls.worker, config)
    monkeypatch.setattr(BooksMachine, "scene", Scene(database, mortal, config, record, rows, breaches), raising=False)
    yield BooksMachine
    mortal.dispose()


@pytest.mark.timeout(600)  # where it fails it looks for a shorter sequence that does
def test_the_books_agree_with_the_model(machine: type[BooksMachine]) -> None:
    """Usage, copies, contradictions, backfills, switches, refunds, amendments, changed zones, rollups and deaths in any order: always the same."""
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=50))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_books_agree_with_the_model_for_long(machine: type[BooksMachine]) -> None:
    """The same, for many more and longer sequences."""
    run_state_machine_as_test(machine, settings=settings(max_examples=500, stateful_step_count=80))
