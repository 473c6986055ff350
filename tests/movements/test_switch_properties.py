"""Switches among other things that happen to a mandate, against a plain model of the rules: whatever comes, nothing is lost."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.ledger.read_accounts import holder_account
from core.movements.adjust import Adjustment, adjust
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.switch import ModelSwitch, SwitchResult, switch_billing_model
from core.movements.switch_rules import Unmoved
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

USER, FREE = BillingModel.PREPAY_USER, BillingModel.UNLIMITED
NAMES = ["ada", "bob", "cid", "dan"]
UNIT = Decimal("0.000000001")
AMOUNTS = st.one_of(st.integers(1, 7), st.integers(1, 10**12)).map(lambda units: units * UNIT)
STEPS = st.one_of(
    st.tuples(st.just("switch"), st.sampled_from(BillingModel)),
    st.tuples(st.just("switch"), st.sampled_from(BillingModel)),
    st.tuples(st.just("use"), st.sampled_from(NAMES), AMOUNTS),
    st.tuples(st.just("adjust"), st.sampled_from([*NAMES, None]), st.one_of(AMOUNTS, AMOUNTS.map(lambda amount: -amount))),
    st.tuples(st.just("enable"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("join"), st.sampled_from(NAMES)),
)
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
_numbers = itertools.count(1)


@dataclass
class Mandate:
    """A mandate as the rules say it is; users in the order in which their accounts were opened."""

    model: BillingModel
    credit: Decimal
    members: set[str] = field(default_factory=set)
    balances: dict[str | None, Decimal] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    billed: BillingModel | None = None

    def __post_init__(self) -> None:
        self.billed = None if self.model is FREE else self.model

    @property
    def users(self) -> list[str]:
        """Who has an account, in the order of their opening."""
        return [user for user in self.balances if user is not None]

    def use(self, user: str, price: Decimal) -> None:
        """Usage opens what it needs, with the grant where it is due, and debits who pays."""
        if self.model.pool_pays:
            self.balances.setdefault(None, Decimal(0))
        granted = self.model is USER and user in self.members
        self.balances.setdefault(user, self.credit if granted else Decimal(0))
        if self.model is not FREE:
            self.balances[None if self.model.pool_pays else user] -= price

    def switch(self, new: BillingModel) -> tuple[Decimal, Unmoved | None]:
        """Moves what a switch moves; how much it was, and why it wasn't where it should have been."""
        if new is self.model:
            return Decimal(0), None
        for user in sorted(self.members - self.balances.keys()):
            self.balances[user] = Decimal(0)
        if new.pool_pays:
            self.balances.setdefault(None, Decimal(0))
        source = self.model if self.model is not FREE else self.billed
        if source is None:
            source = USER if new.pool_pays else BillingModel.PREPAY_MANDATE
        self.model = new
        self.billed = self.billed if new is FREE else new
        if new is FREE or source.pool_pays == new.pool_pays:
            return Decimal(0), None
        return (self._gather(), None) if new.pool_pays else self._split()

    def _gather(self) -> Decimal:
        total = sum((self.balances[user] for user in self.users), Decimal(0))
        self.balances |= dict.fromkeys(self.users, Decimal(0))
        self.balances[None] += total
        return total

    def _split(self) -> tuple[Decimal, Unmoved | None]:
        pool = self.balances.get(None, Decimal(0))
        enabled = [user for user in self.users if user not in self.disabled]
        if pool <= 0:
            return Decimal(0), Unmoved.POOL_NOT_POSITIVE
        if not enabled:
            return Decimal(0), Unmoved.NO_ENABLED_USER_ACCOUNT
        for number, user in enumerate(enabled):  # one unit after another, round and round, would come to the same
            units = int(pool / UNIT)
            self.balances[user] += (units // len(enabled) + (number < units % len(enabled))) * UNIT
        self.balances[None] = Decimal(0)
        return pool, None


@dataclass
class Books:
    """The same mandate in the books."""

    mandate_id: str
    database: Database
    record: Record
    put_mandate: PutMandate

    def apply(self, step: tuple[Any, ...], model: Mandate) -> None:
        """Does one step in the books and in the model, and compares what can be compared at once."""
        match step:
            case ("switch", new):
                done, expected = self._switch(new), model.switch(new)
                assert (done.migrated_amount, done.unmoved_reason) == expected
            case ("use", user, price):
                self.record(event(mandate_id=self.mandate_id, user_id=user, price_chf=str(price)))
                model.use(user, price)
            case ("adjust", holder, amount) if holder in model.balances:
                adjust(self.database, ROOT, Adjustment.read({**self._asked(holder), "amount": amount, "reason": "because"}))
                model.balances[holder] += amount
            case ("enable", user, enabled) if user in model.balances:
                set_account_enabled(self.database, ROOT, AccountEnabling.read({**self._asked(user), "enabled": enabled}))
                (model.disabled.discard if enabled else model.disabled.add)(user)
            case ("join", user):
                self.put_mandate(self.mandate_id, users=[user])
                model.members.add(user)

    def _switch(self, new: BillingModel) -> SwitchResult:
        asked = {"mandate_id": self.mandate_id, "billing_model": new, "key": f"k{next(_numbers)}", "by": "test"}
        done = switch_billing_model(self.database, ROOT, ModelSwitch.read(asked))
        again = switch_billing_model(self.database, ROOT, ModelSwitch.read(asked))
        assert (again.settings_version, again.leg_count, again.repeated) == (done.settings_version, done.leg_count, True)
        return done

    def _asked(self, holder: str | None) -> dict[str, object]:
        account = holder_account(self.database, ROOT, self.mandate_id, holder)
        return {"mandate_id": self.mandate_id, "account_id": account.id, "key": f"k{next(_numbers)}", "by": "test"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.sampled_from(BillingModel),
    credit=st.sampled_from([Decimal(0), Decimal(10)]),
    members=st.sets(st.sampled_from(NAMES)),
    steps=st.lists(STEPS, min_size=1, max_size=14),
)
def test_balances_are_those_of_the_rules_whatever_happens(
    database: Database,
    record: Record,
    put_settings: PutSettings,
    put_mandate: PutMandate,
    balances: Balances,
    breaches: Breaches,
    first: BillingModel,
    credit: Decimal,
    members: set[str],
    steps: list[tuple[Any, ...]],
) -> None:
    """Switches, usage, adjustments, disabled users and new members in any order: each balance is the model's, and the books are in order."""
    mandate_id = f"m{next(_numbers)}"
    put_settings(mandate_id, first, users=members, default_user_credit=credit)
    books, model = Books(mandate_id, database, record, put_mandate), Mandate(first, credit, set(members))
    for step in steps:
        books.apply(step, model)
    assert {user: balance for (mandate, user), balance in balances().items() if mandate == mandate_id} == model.balances
    assert breaches() == {}
