"""The balance check against a plain program, over any history of a mandate."""

import itertools
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from core.movements.top_up import TopUp, top_up
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

UNSET = "no settings"
MEMBERS, EVERYBODY = ["ada", "bob"], ["ada", "bob", "stranger"]
AMOUNTS = ["0", "0.000000001", "0.1", "3.333333333", "5", "9.999999999", "10", "10.000000001", "100"]
_worlds = itertools.count()


@dataclass(frozen=True)
class Rules:
    """What a mandate starts with; `model` is UNSET for one that has only its entry in the directory, or not even that."""

    model: str
    blocks: bool
    limit: str | None
    known: bool
    enabled: bool


@dataclass(frozen=True)
class Step:
    """One thing that happens: a usage, a top-up, a question, or the account of a user or the pool (None) disabled or enabled."""

    what: str
    user_id: str | None
    amount: str


@dataclass
class Model:
    """The balance check as the rules of the domain tell it, without a database."""

    rules: Rules
    model: str = ""
    blocks: bool = True
    balances: dict[str | None, Fraction] = field(default_factory=dict)
    disabled: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.rules.model != UNSET:
            self.model, self.blocks = self.rules.model, self.rules.blocks

    def opens(self, user_id: str, *, for_usage: bool) -> bool:
        """What is there after a first usage or question; False where the mandate may have no settings."""
        if not self.model:
            if not (self.rules.known and self.rules.enabled):
                return False
            self.model = "PREPAY_USER"
        if (self.model != "UNLIMITED" or for_usage) and user_id not in self.balances:
            self.balances[user_id] = Fraction(10 if self.model == "PREPAY_USER" and self.rules.known and user_id in MEMBERS else 0)
        if self.model in ("PREPAY_MANDATE", "CREDIT_POSTPAY"):
            self.balances.setdefault(None, Fraction(0))
        return True

    def use(self, user_id: str, amount: Fraction) -> None:
        """Usage is always recorded, where the mandate has settings."""
        if self.opens(user_id, for_usage=True) and self.model != "UNLIMITED":
            self.balances[user_id if self.model == "PREPAY_USER" else None] -= amount

    def ask(self, user_id: str, cost: Fraction) -> tuple[bool, str | None, Fraction | None, str]:
        """Allowed, reason, current balance, billing model."""
        if not self.opens(user_id, for_usage=False):
            return True, None, None, "UNLIMITED"
        if self.model == "UNLIMITED":
            return user_id not in self.disabled, "ACCOUNT_DISABLED" if user_id in self.disabled else None, None, self.model
        payer = user_id if self.model == "PREPAY_USER" else None
        balance, limit = self.balances[payer], self.rules.limit
        reason = None
        if {user_id, payer} & self.disabled:
            reason = "ACCOUNT_DISABLED"
        elif self.model == "CREDIT_POSTPAY":
            if limit is not None and max(Fraction(0), -balance) + cost > Fraction(limit):
                reason = "CREDIT_LIMIT_EXCEEDED"
        elif self.blocks and balance < cost:
            reason = "INSUFFICIENT_BALANCE"
        return reason is None, reason, balance, self.model


RULES = st.builds(
    Rules,
    st.sampled_from([*[model.value for model in BillingModel], UNSET]),
    st.sampled_from([True, True, False]),
    st.sampled_from([None, "0", "5", "10"]),
    st.sampled_from([True, True, False]),
    st.sampled_from([True, True, False]),
)
STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.sampled_from(["use", "ask", "ask"]), st.sampled_from(EVERYBODY), st.sampled_from(AMOUNTS)),
        st.builds(Step, st.sampled_from(["top up", "disable", "enable"]), st.sampled_from([*EVERYBODY, None]), st.sampled_from(AMOUNTS[1:])),
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class World:
    """One mandate in the books, and what may be done to it."""

    mandate_id: str
    database: Database
    config: Configuration
    record: Record
    rows: Rows

    def begin(self, rules: Rules, put_mandate: PutMandate, put_settings: PutSettings) -> None:
        """The mandate as `rules` say; who has settings stays known to the directory only where `known`."""
        if rules.model != UNSET:
            put_settings(self.mandate_id, BillingModel(rules.model), users=MEMBERS, block_on_zero_balance=rules.blocks)
        if rules.known:
            put_mandate(self.mandate_id, users=MEMBERS, enabled=rules.enabled)
        else:
            self.rows("DELETE FROM directory_memberships WHERE mandate_id = :m", m=self.mandate_id)
            self.rows("DELETE FROM directory_mandates WHERE id = :m", m=self.mandate_id)

    def account(self, user_id: str | None) -> int | None:
        """The id of the account, where there is one."""
        found = self.rows("SELECT id FROM accounts WHERE mandate_id = :m AND user_id IS NOT DISTINCT FROM :u", m=self.mandate_id, u=user_id)
        return int(found[0]["id"]) if found else None

    def limit(self, limit: str | None) -> None:
        """The pool, as soon as there is one, has this limit."""
        if limit is not None:
            self.rows("UPDATE accounts SET credit_limit = :l WHERE mandate_id = :m AND user_id IS NULL", l=Decimal(limit), m=self.mandate_id)

    def take(self, step: Step, key: str, model: Model) -> None:
        """Does the step in the books and in the model; a question must get the same answer from both."""
        account, amount = self.account(step.user_id), Fraction(step.amount)
        if step.what == "use" and step.user_id is not None:
            self.record(event(mandate_id=self.mandate_id, user_id=step.user_id, event_id=key, price_chf=step.amount))
            model.use(step.user_id, amount)
        elif step.what == "ask" and step.user_id is not None:
            asked = BalanceQuestion.read({"mandate_id": self.mandate_id, "user_id": step.user_id, "estimated_cost": step.amount})
            self.limit(model.rules.limit)
            answer = check_balance(self.database, ROOT, asked, config=self.config)
            if answer.billing_model.pool_pays and model.rules.limit is not None:  # a pool that the question opened had no limit yet
                self.limit(model.rules.limit)
                answer = check_balance(self.database, ROOT, asked, config=self.config)
            found = (answer.allowed, answer.reason, answer.current_balance, answer.billing_model)
            assert found == model.ask(step.user_id, amount)
            assert answer.required_amount == Decimal(step.amount)
        elif account is not None and step.what == "top up":
            fields = {"mandate_id": self.mandate_id, "account_id": account, "amount": step.amount, "key": key, "by": "test"}
            top_up(self.database, ROOT, TopUp.read(fields))
            model.balances[step.user_id] += amount
        elif account is not None:
            enabled = step.what == "enable"
            self.rows("UPDATE accounts SET enabled = :e WHERE id = :i", e=enabled, i=account)
            (model.disabled.discard if enabled else model.disabled.add)(step.user_id)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RULES, STEPS)
def test_every_answer_is_the_plain_models(
    database: Database,
    config: Configuration,
    record: Record,
    rows: Rows,
    put_mandate: PutMandate,
    put_settings: PutSettings,
    rules: Rules,
    steps: list[Step],
) -> None:
    """After any usages, top-ups and disabled accounts, under every model and rule, each answer and each balance is that of the model."""
    world, model = World(f"m{next(_worlds):04}", database, config, record, rows), Model(rules)
    world.begin(rules, put_mandate, put_settings)
    for number, step in enumerate(steps):
        world.take(step, f"k{number}", model)
    found = rows("SELECT user_id, balance FROM accounts WHERE mandate_id = :m", m=world.mandate_id)
    assert {row["user_id"]: Fraction(row["balance"]) for row in found} == model.balances
