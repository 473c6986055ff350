"""The books with prices against the plain model of them: whatever is accepted, dated, switched, re-rated and reverted in between."""

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, multiple, rule, run_state_machine_as_test

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dialects.model import Leaf
from core.errors import NotFound
from core.movements.rerate import rerate, revert_rerating, reverting
from core.movements.rerating import Rerating
from core.prices.aliases import add_alias, close_alias
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Layer, Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule, close_rule
from core.prices.sql.state import price_state
from core.prices.uncharged import add_uncharged
from core.statistics import roll_up as rollup_module
from lab.agreement.usage_objects import LEAVES
from lab.oracle import rerating
from lab.oracle.entries import Call, Event
from tests.books.test_model import ANY, BATCHES_MAX, DEATH, DEATHS, MANDATES, OFTEN, PRICES, WHO, ZONES, BooksMachine, Scene
from tests.conftest import DatabaseUrls, Record, Rows
from tests.prices import scene
from tests.recording.mortal import MortalDatabase
from tests.scene import Breaches

FIRST, LAST = date(2020, 1, 1), date(2035, 1, 1)
TIER = 1000  # tokens of input beyond which the second row of a leaf counts
COUNTS = st.sampled_from([0, 1, 10, TIER - 10, TIER - 1, TIER, TIER + 1, 123_457])
RATES = st.sampled_from(["0.811223344556", "1.1", "0.9", "0.000123456789"]).map(Decimal)
AMOUNTS = st.sampled_from(["15", "1.25", "75.123456789012", "0.3", "0.000000000001", "0"]).map(Decimal)
PERCENTS = st.sampled_from(["10", "12.345678", "0", "-33.3", "250", "-100"]).map(Decimal)
MOMENTS = st.integers(0, 3 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
CARDS = st.dictionaries(
    st.sampled_from(["input", "cache_read", "cache_write_5m", "output", "request"]),
    st.tuples(st.sampled_from(["flat", "flat", "tiers", "days"]), AMOUNTS, AMOUNTS),
    min_size=2,
)
USAGES = st.sampled_from(sorted(LEAVES)).flatmap(
    lambda dialect: st.tuples(*[COUNTS] * len(LEAVES[dialect])).map(lambda counts: (dialect, tuple(zip(LEAVES[dialect], counts, strict=True))))
)
SELDOM = st.sampled_from([False] * 9 + [True])
CALLS = st.fixed_dictionaries(
    {
        "usage": USAGES,
        "none": SELDOM,
        "contradicts": SELDOM,
        "outcome": st.sampled_from([None, None, "completed", "completed", "failed"]),
        "tier": st.sampled_from([None] * 6 + ["default", "flex"]),
        "model": st.sampled_from(["alpha", "beta", "latest", "alpha", "beta", "latest", "gamma"]),
        "price": st.one_of(PRICES, PRICES, st.none()),
    }
)
_machines = itertools.count(1)
_keys = itertools.count(1)


def _letters(number: int) -> str:
    """A currency of a machine's own."""
    return "Q" + chr(65 + number // 26 % 26) + chr(65 + number % 26)


class PricesMachine(BooksMachine):
    """As the other machine, with a provider of its own: what others have left in the same books is nothing that its rows, rules or rates meet."""

    events = BooksMachine.events

    def __init__(self) -> None:
        super().__init__()
        number = next(_machines)
        self.provider, self.currency = f"p{number:05}", _letters(number)
        self.model.prices.book["defaults"] = {self.provider: scene.STANDARD}
        self.reratings: list[tuple[str, str, rerating.Replaced]] = []

    @initialize(amounts=st.tuples(*[AMOUNTS] * 3), fx=RATES, percent=PERCENTS)
    def price(self, amounts: tuple[Decimal, ...], fx: Decimal, percent: Decimal) -> None:
        """There is a book, a rate and a rule; two of the mandates are billed by them, or could be, from their first calls on."""
        card = {
            leaf: ("flat", amount, amount)
            for leaf, amount in zip(("input", "cache_read", "output", "cache_write_5m"), (*amounts, amounts[0]), strict=True)
        }
        for model in ("alpha", "beta"):
            self.accept_prices(model, card, None, "list", False)
        for ago in (1, 4, 9):
            self.bring_rate(ago, fx)
        self.rule_for(None, percent, None, timedelta(days=400))

    def rows_of(self, model: str, card: dict[str, tuple[str, Decimal, Decimal]], tier: str | None, layer: str, own: str) -> Iterator[dict[str, Any]]:
        """A card's rows: one amount, two tiers, or two amounts before and from midnight of yesterday on."""
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        plain: dict[str, Any] = {
            "provider": self.provider,
            "model": model,
            "layer": layer,
            "mandate_id": own if layer == "mandate" else "",
            "book": self.provider if layer == "sale" else "",
            **scene.STANDARD,
            **({} if tier is None else {"service_tier": tier}),
            "per": 1_000_000,
            "currency": "CHF" if layer == "sale" or model == "beta" else self.currency,
            **dict.fromkeys(("from_tokens", "boundary", "valid_from", "valid_to")),
        }
        for leaf, (how, first, second) in card.items():
            row = {**plain, "leaf": leaf, "amount": first}
            if how == "tiers":
                yield {**row, "from_tokens": 0, "boundary": ">="}
                yield {**row, "from_tokens": TIER, "boundary": ">", "amount": second}
            elif how == "days":
                yield {**row, "valid_to": midnight}
                yield {**row, "valid_from": midnight, "amount": second}
            else:
                yield row

    @rule(
        model=st.sampled_from(["alpha", "beta"]),
        card=CARDS,
        tier=st.sampled_from([None, None, "flex"]),
        layer=st.sampled_from(list(Layer)),
        b=st.booleans(),
    )
    def accept_prices(self, model: str, card: dict[str, tuple[str, Decimal, Decimal]], tier: str | None, layer: str, b: bool) -> None:
        """Another version: some leaves of a model cost something else, in one of the layers."""
        rows = list(self.rows_of(model, card, tier, str(layer), self.ids["b" if b else "a"]))
        offered = [scene.row(**{**row, "layer": Layer(row["layer"]), "leaf": str(Leaf(row["leaf"])), "amount": str(row["amount"])}) for row in rows]
        scene.accepted_if_new(self.scene.database, offered, {self.provider: scene.STANDARD})
        self.model.prices.accept(rows)

    @rule(ago=st.integers(0, 9), rate=RATES)
    def bring_rate(self, ago: int, rate: Decimal) -> None:
        """An exchange rate of a day, in the place of another one where there is one."""
        on, fx = self.now.date() - timedelta(days=ago), self.model.prices.book["fx"]
        import_fx(self.scene.database, ROOT, [GivenRate(self.currency, on, rate)], source="test", created_by="test", replace=True)
        old = next((each for each in fx if each["on"] == on), None)
        self.model.prices.replace("fx", old, {"currency": self.currency, "on": on, "rate": rate})

    @rule(mandate=st.one_of(st.none(), MANDATES), percent=PERCENTS, sold=OFTEN, ago=MOMENTS)
    def rule_for(self, mandate: str | None, percent: Decimal, sold: bool | None, ago: timedelta) -> None:
        """From some moment on a mandate, or all of them, pays by another rule: a markup, or a book of its own where there is one."""
        own, prices = None if mandate is None else self.ids[mandate], self.model.prices
        if own is not None and own not in self.model.directory and own not in self.model.mandates:
            return
        since = self.now - ago
        by_book = sold is False and any(row["layer"] == "sale" for row in prices.book["rows"])
        told: dict[str, Any] = {"markup_percent": None if by_book else percent, "book": self.provider if by_book else None}
        old = next((each for each in prices.book["rules"] if each["mandate_id"] == own and each["valid_to"] is None), None)
        if old is not None:
            if since <= old["valid_from"]:
                return
            close_rule(self.scene.database, ROOT, old["id"], end=since, closed_by="test")
            prices.replace("rules", old, {**old, "valid_to": since})
        entry = add_rule(self.scene.database, ROOT, created_by="test", mandate_id=own, provider=self.provider, valid_from=since, **told)
        new = {
            "id": entry.id,
            "mandate_id": own,
            "priority": 0,
            "provider": self.provider,
            "model": None,
            "valid_from": since,
            "valid_to": None,
            **told,
        }
        prices.replace("rules", None, new)

    @rule(model=st.sampled_from(["alpha", "beta"]), ago=MOMENTS)
    def move_alias(self, model: str, ago: timedelta) -> None:
        """From some moment on `latest` is another model."""
        since, prices = self.now - ago, self.model.prices
        old = next((each for each in prices.book["aliases"] if each["valid_to"] is None), None)
        if old is not None:
            if since <= old["valid_from"]:
                return
            close_alias(self.scene.database, ROOT, old["id"], end=since, closed_by="test")
            prices.replace("aliases", old, {**old, "valid_to": since})
        entry = add_alias(self.scene.database, ROOT, self.provider, "latest", model, approved_by="test", valid_from=since)
        told = {"id": entry.id, "provider": self.provider, "alias": "latest", "model": model, "valid_from": since, "valid_to": None}
        prices.replace("aliases", None, told)

    @rule(mandate=st.one_of(st.none(), MANDATES), without_usage=st.booleans())
    def waive(self, mandate: str | None, without_usage: bool) -> None:
        """Failed calls cost a mandate, or nobody, anything."""
        own, prices = None if mandate is None else self.ids[mandate], self.model.prices
        if own is not None and own not in self.model.directory and own not in self.model.mandates:
            return
        told: dict[str, Any] = {"mandate_id": own, "provider": self.provider, "without_usage": without_usage}
        add_uncharged(self.scene.database, ROOT, "failed", created_by="test", **told)
        new = {**told, "outcome": "failed", "valid_from": None, "valid_to": None}
        if new not in prices.book["uncharged"]:
            prices.replace("uncharged", None, new)

    @rule(mandate=MANDATES, mode=st.sampled_from([Mode.COMPUTED, Mode.COMPUTED, Mode.SHADOW, Mode.GIVEN]), ago=MOMENTS)
    def switch_mode(self, mandate: str, mode: Mode, ago: timedelta) -> None:
        """From some moment on a mandate is billed another price."""
        own, since = self.ids[mandate], self.now - ago
        if since in [moment for moment, _ in self.model.prices.modes[own]]:
            return
        try:
            set_mode(self.scene.database, ROOT, own, mode, created_by="test", since=since)
        except NotFound:
            assert own not in self.model.mandates
            return
        self.model.prices.modes[own].append((since, mode.value))

    @rule(
        target=events,
        calls=st.lists(st.tuples(st.sampled_from("aaaaabbbc"), WHO, MOMENTS, CALLS), min_size=4, max_size=8),
        again=st.lists(events, max_size=2),
        change=st.sampled_from(["", "alias", "mode", "rule", "rate"]),
        stale=SELDOM,
        rate=RATES,
        dies=DEATH,
    )
    def call(self, calls: list[tuple[Any, ...]], again: list[Event], change: str, stale: bool, rate: Decimal, dies: int | None) -> Any:
        """Calls with what their providers answered, with and without a price, often right after a change that began as one of them did."""
        for mandate, mode in (("a", Mode.COMPUTED), ("b", Mode.SHADOW)):
            if not self.model.prices.modes[self.ids[mandate]]:
                self.switch_mode(mandate, mode, timedelta(days=30))
        if not stale and not any(0 < (self.now.date() - each["on"]).days <= 5 for each in self.model.prices.book["fx"]):
            self.bring_rate(4, rate)
        self.change_for(change, calls[0][2], rate)
        batch = []
        for mandate, user, age, told in calls:
            dialect, leaves = (None, None) if told["none"] else told["usage"]
            call = Call(f"o{next(_keys)}", dialect, leaves, leaves is not None and told["contradicts"], told["outcome"], told["tier"])
            names = (self.provider, told["model"], None)
            batch.append(Event(self.ids[mandate], self.event_id(), user, told["price"], self.now - age, names, call=call))
        return multiple(*self.delivered([*batch, *again], dies)[: len(batch)])

    def change_for(self, change: str, ago: timedelta, rate: Decimal) -> None:
        """Something of what decides about a call at that moment is another thing from then on."""
        aliases, own = self.model.prices.book["aliases"], self.ids["a"]
        if change == "alias":
            self.move_alias("beta" if aliases and aliases[-1]["model"] == "alpha" else "alpha", ago)
        elif change == "mode":
            self.switch_mode("a", Mode.SHADOW if self.model.prices.mode(own, self.now - ago) == "computed" else Mode.COMPUTED, ago)
        elif change == "rule":
            self.rule_for("a", round(rate * 10, 6), True, ago)
        elif change == "rate":
            self.bring_rate((self.now.date() - (self.now - ago).date()).days, rate)

    @rule(model=st.sampled_from(["alpha", "beta", "gamma"]), card=CARDS, dies=DEATHS)
    def release(self, model: str, card: dict[str, tuple[str, Decimal, Decimal]], dies: int | None) -> None:
        """A model has prices, and what waited for them is recorded."""
        self.accept_prices(model, card, None, Layer.LIST, False)
        self.make_accounts(dies)

    @rule(first=events, price=st.one_of(st.none(), PRICES), outcome=st.sampled_from([None, "failed"]))
    def tell_more(self, first: Event, price: Decimal | None, outcome: str | None) -> None:
        """Under a known id comes what a producer of version 2 would tell: a copy where version 1 was recorded so, and else a contradiction."""
        more = Call("more", outcome=outcome)
        same = Event(first.mandate, first.event_id, first.user, first.price, first.at, first.names, first.tokens, more)
        other = Event(first.mandate, first.event_id, first.user, price, first.at, first.names, first.tokens, first.call)
        self.delivered([same, first, other], None)

    @rule(number=ANY, model=st.sampled_from(["alpha", "beta"]), card=CARDS, dies=DEATHS)
    def rate_again(self, number: int, model: str, card: dict[str, tuple[str, Decimal, Decimal]], dies: int | None) -> None:
        """A version is accepted, and a mandate's events are rated again by it."""
        known = sorted(self.model.mandates)
        if not known:
            return
        self.accept_prices(model, card, None, Layer.LIST, False)
        own, key = known[number % len(known)], f"r{self.provider}{next(_keys)}"
        with self.scene.database.snapshot() as connection:
            version_id = price_state(connection).active_version
        assert version_id is not None
        asked = Rerating(key, version_id, FIRST, LAST, mandate_id=own)
        self.ask(dies, lambda database: rerate(database, ROOT, asked, by="test", worker="test"), whole=False)
        done = rerating.rerate(self.model, own)
        if done:
            self.reratings.append((own, key, done))

    @rule(number=ANY, zone=st.one_of(st.none(), ZONES), dies=DEATHS)
    def revert(self, number: int, zone: str | None, dies: int | None) -> None:
        """What was re-rated is as before, in whatever zone the mandate is by then."""
        if self.reratings:
            if zone is not None:
                self.change_settings("a", {"zone": zone})
            own, key, done = self.reratings.pop(number % len(self.reratings))
            self.ask(dies, lambda database: revert_rerating(database, ROOT, reverting(key, "test", "test")), whole=False)
            rerating.revert(self.model, own, done)


@pytest.fixture
def machine(
    database: Database,
    database_urls: DatabaseUrls,
    config: Configuration,
    record: Record,
    rows: Rows,
    breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[type[PricesMachine]]:
    """Machines on one database, each with mandates and a provider of its own."""
    monkeypatch.setattr(rollup_module, "BATCHES_MAX", BATCHES_MAX)
    mortal = MortalDatabase(database_urls.worker, config)
    monkeypatch.setattr(PricesMachine, "scene", Scene(database, mortal, config, record, rows, breaches), raising=False)
    yield PricesMachine
    mortal.dispose()


@pytest.mark.timeout(600)  # where it fails it looks for a shorter sequence that does
def test_the_books_agree_with_the_model_of_prices(machine: type[PricesMachine]) -> None:
    """Versions, aliases, rates, rules and modes, calls of several dialects, releases, re-ratings and reverts in any order: always the same."""
    run_state_machine_as_test(machine, settings=settings(max_examples=8, stateful_step_count=50))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_books_agree_with_the_model_of_prices_for_long(machine: type[PricesMachine]) -> None:
    """The same, for many more and longer sequences."""
    run_state_machine_as_test(machine, settings=settings(max_examples=300, stateful_step_count=80))
