"""Switching the billing model: every pair moves what it must, once, and conserves the mandate's total."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.ledger.read_accounts import holder_account
from core.movements.adjust import Adjustment, adjust
from core.movements.plan_switch import SwitchPlan, plan_switch
from core.movements.refund import Refund, refund
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.switch import ModelSwitch, SwitchResult, switch_billing_model
from core.movements.switch_rules import Unmoved
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

USER, POOL, LATER, FREE = BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED
Switch = Callable[..., SwitchResult]
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
Adjust = Callable[[str | None, str], None]
MANDATE = "acme"


@pytest.fixture
def switch(database: Database) -> Switch:
    """Switches acme to a model, under a key of the present settings version."""

    def call(model: BillingModel, **fields: Any) -> SwitchResult:
        key = f"switch:{_version(database)}"
        return switch_billing_model(
            database, ROOT, ModelSwitch.read({"mandate_id": MANDATE, "billing_model": model, "key": key, "by": "olga", **fields})
        )

    return call


@pytest.fixture
def plan(database: Database) -> Callable[[BillingModel], SwitchPlan]:
    """What a switch of acme would do."""
    return lambda model: plan_switch(database, ROOT, ModelSwitch.read({"mandate_id": MANDATE, "billing_model": model, "key": "plan", "by": "olga"}))


@pytest.fixture
def put_balance(database: Database) -> Adjust:
    """Adjusts the balance of a user of acme, or of its pool."""

    def call(user_id: str | None, amount: str) -> None:
        account = holder_account(database, ROOT, MANDATE, user_id)
        asked = {"mandate_id": MANDATE, "account_id": account.id, "amount": amount, "reason": "scene", "key": f"{user_id} {amount}", "by": "test"}
        adjust(database, ROOT, Adjustment.read(asked))

    return call


def _version(database: Database) -> int:
    with database.snapshot() as connection:
        return int(connection.exec_driver_sql("SELECT version FROM billing_settings WHERE mandate_id = 'acme'").scalar_one())


def _disable(database: Database, user_id: str) -> None:
    account = holder_account(database, ROOT, MANDATE, user_id)
    fields = {"mandate_id": MANDATE, "account_id": account.id, "enabled": False, "key": user_id, "by": "test"}
    set_account_enabled(database, ROOT, AccountEnabling.read(fields))


def test_all_user_balances_go_to_the_pool(
    switch: Switch,
    put_settings: PutSettings,
    record: Record,
    put_balance: Adjust,
    database: Database,
    balances: Balances,
    rows: Rows,
    breaches: Breaches,
) -> None:
    """Negative ones and those of disabled accounts too; each becomes 0, and the legs say who gave what to whom."""
    put_settings(users=["ada", "bob", "eve"])
    record(event(user_id="ada", price_chf="1"), event(user_id="bob", price_chf="12.5"), event(user_id="eve", price_chf="0"))
    _disable(database, "eve")
    done = switch(POOL)
    assert (done.old_model, done.new_model, done.settings_version) == (USER, POOL, 2)
    assert (done.migrated_amount, done.user_count, done.leg_count) == (Decimal("16.5"), 3, 4)
    assert (done.accounts_opened, done.unmoved_reason) == (1, None)
    assert balances() == {(MANDATE, None): Decimal("16.5"), (MANDATE, "ada"): 0, (MANDATE, "bob"): 0, (MANDATE, "eve"): 0}
    legs = rows("""
        SELECT a.user_id, t.* FROM transactions t JOIN accounts a ON a.id = t.account_id WHERE reference_type = 'SWITCH' ORDER BY t.id
    """)
    assert [(leg["user_id"], leg["amount"]) for leg in legs] == [
        ("ada", Decimal(-9)),
        ("bob", Decimal("2.5")),
        ("eve", Decimal(-10)),
        (None, Decimal("16.5")),
    ]
    assert all(leg["account_id"] == leg["balance_account_id"] and leg["transaction_type"] == "ADJUSTMENT" for leg in legs)
    assert {(leg["operation_key"], leg["settings_version"], leg["created_by_user_id"]) for leg in legs} == {("switch:1", 2, "olga")}
    assert {leg["description"] for leg in legs} == {"Switch from PREPAY_USER to PREPAY_MANDATE"}
    assert rows("SELECT warning_threshold FROM accounts WHERE user_id IS NULL") == [{"warning_threshold": Decimal("1.65")}]
    record(event(user_id="ada", price_chf="0.5"))
    assert balances()[MANDATE, None] == 16
    assert breaches() == {}


def test_a_switch_stands_in_the_history(switch: Switch, put_settings: PutSettings, rows: Rows) -> None:
    """Who switched and when; everything but the model is as it was."""
    put_settings(users=["ada"], time_zone="Asia/Tokyo", default_user_credit=3, billing_address='{"city": "Bern"}')
    switch(LATER)
    old, new = rows("SELECT * FROM billing_settings_history ORDER BY version")
    assert (old.pop("billing_model"), new.pop("billing_model")) == ("PREPAY_USER", "CREDIT_POSTPAY")
    assert (new.pop("version"), new.pop("changed_by")) == (2, "olga")
    assert {name: value for name, value in old.items() if name not in ("version", "changed_by", "changed_at")} == {
        name: value for name, value in new.items() if name != "changed_at"
    }


def test_a_positive_pool_is_split_over_the_enabled_users(
    switch: Switch, put_settings: PutSettings, record: Record, put_balance: Adjust, database: Database, balances: Balances, breaches: Breaches
) -> None:
    """Largest remainder, the first accounts get the units left over; members without an account get one first, a disabled one nothing."""
    put_settings(model=POOL, users=["ada", "bob", "cid", "zoe"])
    record(event(user_id="zoe", price_chf="0"), event(user_id="bob", price_chf="0"), event(user_id="stranger", price_chf="0"))
    put_balance(None, "0.02")
    _disable(database, "bob")
    done = switch(USER)
    assert (done.migrated_amount, done.user_count, done.leg_count, done.accounts_opened) == (Decimal("0.02"), 4, 5, 2)
    share = Decimal("0.005")
    assert balances() == {(MANDATE, user): share for user in ("ada", "cid", "zoe", "stranger")} | {(MANDATE, None): 0, (MANDATE, "bob"): 0}
    put_balance("ada", "0.000000001")
    switch(POOL)
    switch(USER)
    extra = Decimal("0.000000001")
    assert balances() == {(MANDATE, user): share + (extra if user == "stranger" else 0) for user in ("ada", "cid", "zoe", "stranger")} | {
        (MANDATE, None): 0,
        (MANDATE, "bob"): 0,
    }
    assert breaches() == {}


@pytest.mark.parametrize("amount", ["0", "-5"])
def test_a_pool_that_is_not_positive_stays(
    amount: str, switch: Switch, put_settings: PutSettings, record: Record, balances: Balances, breaches: Breaches
) -> None:
    """A debt is nobody's share; the result says what stayed and why, and it is settled when the pool pays again."""
    put_settings(model=LATER, users=["ada"])
    record(event(price_chf=amount.removeprefix("-")))
    done = switch(USER)
    assert (done.unmoved_amount, done.unmoved_reason) == (Decimal(amount), Unmoved.POOL_NOT_POSITIVE)
    assert (done.migrated_amount, done.user_count, done.leg_count) == (Decimal(0), 0, 0)
    assert balances() == {(MANDATE, None): Decimal(amount), (MANDATE, "ada"): 0}
    assert breaches() == {}


def test_without_an_enabled_user_the_pool_stays(
    switch: Switch, put_settings: PutSettings, record: Record, put_balance: Adjust, database: Database, balances: Balances, breaches: Breaches
) -> None:
    """Nobody is there to get it, and the result says so."""
    put_settings(model=POOL)
    record(event(price_chf="1"))
    put_balance(None, "7")
    _disable(database, "ada")
    done = switch(USER)
    assert (done.unmoved_amount, done.unmoved_reason) == (Decimal(6), Unmoved.NO_ENABLED_USER_ACCOUNT)
    assert balances()[MANDATE, None] == 6
    assert breaches() == {}


@pytest.mark.parametrize(("old", "new"), [(POOL, LATER), (LATER, POOL), *[(model, FREE) for model in (USER, POOL, LATER)]])
def test_these_pairs_move_nothing(
    old: BillingModel, new: BillingModel, switch: Switch, put_settings: PutSettings, record: Record, balances: Balances, breaches: Breaches
) -> None:
    """The same balances, members with accounts, and a pool where it pays from now on."""
    put_settings(model=old, users=["ada", "bob"])
    record(event(price_chf="3"))
    before = balances()
    done = switch(new)
    assert (done.migrated_amount, done.leg_count, done.unmoved_reason) == (Decimal(0), 0, None)
    assert balances() == {(MANDATE, "bob"): 0} | before
    assert breaches() == {}


def test_a_pool_exists_once_it_pays(switch: Switch, put_settings: PutSettings, balances: Balances) -> None:
    """Before any usage there is neither account nor pool; a switch between pool models opens both."""
    put_settings(model=POOL, users=["ada"])
    assert switch(LATER).accounts_opened == 2
    assert balances() == {(MANDATE, None): 0, (MANDATE, "ada"): 0}


@pytest.mark.parametrize("old", BillingModel)
@pytest.mark.parametrize("new", BillingModel)
def test_members_get_accounts_without_a_grant(
    old: BillingModel, new: BillingModel, switch: Switch, put_settings: PutSettings, put_mandate: PutMandate, rows: Rows, breaches: Breaches
) -> None:
    """A grant is due to them exactly where the old model is UNLIMITED; to the same model nothing happens."""
    put_settings(model=old, users=["ada", "bob"])
    rows("UPDATE directory_memberships SET enabled = false WHERE user_id = 'bob'")
    switch(new)
    opened = rows("SELECT user_id, grant_due, balance FROM accounts WHERE user_id IS NOT NULL")
    assert opened == ([] if old is new else [{"user_id": "ada", "grant_due": old is FREE, "balance": 0}])
    assert rows("SELECT FROM transactions") == []
    assert breaches() == {}


@pytest.mark.parametrize("before", [USER, POOL, LATER, None])
@pytest.mark.parametrize("new", [USER, POOL, LATER])
def test_from_unlimited_it_goes_as_from_the_model_before(
    before: BillingModel | None,
    new: BillingModel,
    switch: Switch,
    put_settings: PutSettings,
    record: Record,
    put_balance: Adjust,
    balances: Balances,
    breaches: Breaches,
) -> None:
    """No balance is stranded on a side that doesn't pay; without a model before it, it counts as coming from the other side."""
    put_settings(model=before or FREE, users=["ada", "bob"], default_user_credit=0)
    record(event(user_id="ada", price_chf="0"), event(user_id="bob", price_chf="0"))
    if before is not None:
        switch(FREE)
    source = before or (POOL if new is USER else USER)
    if source is USER:
        put_balance("ada", "8")
        put_balance("bob", "-2")
    else:
        if before is None:
            with pytest.raises(NotFound, match="has no pool"):
                put_balance(None, "6")
            return
        put_balance(None, "6")
    record(event(price_chf="100"))
    done = switch(new)
    if source.pool_pays == new.pool_pays:
        assert (done.leg_count, done.migrated_amount) == (0, Decimal(0))
    else:
        users, pool = (Decimal(3), Decimal(0)) if new is USER else (Decimal(0), Decimal(6))
        assert done.migrated_amount == 6
        assert balances() == {(MANDATE, "ada"): users, (MANDATE, "bob"): users, (MANDATE, None): pool}
    assert breaches() == {}


def test_the_same_model_is_left_alone(switch: Switch, put_settings: PutSettings, rows: Rows) -> None:
    """No version, no account, no entry; the result says that nothing moved."""
    put_settings(users=["ada"])
    done = switch(USER)
    assert (done.old_model, done.new_model, done.settings_version, done.leg_count) == (USER, USER, 1, 0)
    assert len(rows("SELECT FROM billing_settings_history")) == 1
    assert rows("SELECT FROM accounts") == []


def test_a_replay_never_switches_again(switch: Switch, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches) -> None:
    """To the pool and back twice; the first request, come again at last, gets its first result and moves nothing."""
    put_settings(users=["ada", "bob"])
    record(event(user_id="ada"), event(user_id="bob"))
    first = switch(POOL, key="march")
    for model in (USER, POOL, USER):
        assert switch(model).leg_count == 3
    again = switch(POOL, key="march")
    assert (again.settings_version, again.migrated_amount, again.recorded_at, again.repeated) == (2, first.migrated_amount, first.recorded_at, True)
    assert rows("SELECT billing_model, version FROM billing_settings") == [{"billing_model": "PREPAY_USER", "version": 5}]
    with pytest.raises(Conflict, match="'march' was used for another switch_billing_model"):
        switch(LATER, key="march")
    assert breaches() == {}


def test_many_at_once_switch_once(switch: Switch, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches) -> None:
    """Eight callers with one key make one switch and get one result; with keys of their own, all but the first find it done."""
    put_settings(users=["ada", "bob"])
    record(event(user_id="ada"), event(user_id="bob"))
    done = at_once(*[partial(switch, POOL, key="same") for _ in range(8)])
    assert sorted(one.repeated for one in done) == [False] + [True] * 7
    assert {(one.settings_version, one.leg_count) for one in done} == {(2, 3)}
    done = at_once(*[partial(switch, USER, key=f"own {n}") for n in range(8)])
    assert sorted(one.leg_count for one in done) == [0] * 7 + [3]
    assert len(rows("SELECT FROM transactions WHERE reference_type = 'SWITCH'")) == 6
    assert breaches() == {}


def test_what_the_pool_can_not_hold_is_not_switched(
    switch: Switch, put_settings: PutSettings, record: Record, put_balance: Adjust, rows: Rows, breaches: Breaches
) -> None:
    """The sum of two balances may be more than an account holds: the switch is refused, and nothing of it is there."""
    put_settings(users=["ada", "bob"])
    record(event(user_id="ada"), event(user_id="bob"))
    for user in ("ada", "bob"):
        put_balance(user, "9999999990")  # 9999999999.75 each
    with pytest.raises(RequestRefused, match="beyond what the books can hold"):
        switch(POOL)
    assert rows("SELECT version, billing_model FROM billing_settings") == [{"version": 1, "billing_model": "PREPAY_USER"}]
    assert len(rows("SELECT FROM accounts")) == 2
    assert breaches() == {}


def test_a_leg_is_not_refunded(switch: Switch, put_settings: PutSettings, record: Record, rows: Rows, database: Database) -> None:
    """It would leave the mandate with more or less than it had; the way back is another switch."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    switch(POOL)
    for leg in rows("SELECT id FROM transactions WHERE reference_type = 'SWITCH'"):
        with pytest.raises(RequestRefused, match="ADJUSTMENT of kind SWITCH, which is not refunded"):
            refund(database, ROOT, Refund.read({"mandate_id": MANDATE, "transaction_id": leg["id"], "key": "k", "by": "olga"}))


def test_usage_from_before_a_switch_is_refunded_where_it_was_paid(
    switch: Switch, put_settings: PutSettings, record: Record, rows: Rows, database: Database, balances: Balances, breaches: Breaches
) -> None:
    """On the user's balance, though the pool pays by now; no line of his is crossed, and the next switch takes it along."""
    put_settings(users=["ada"])
    record(event(price_chf="9.5"))
    switch(POOL)
    usage = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW'")[0]["id"]
    refund(database, ROOT, Refund.read({"mandate_id": MANDATE, "transaction_id": usage, "amount": "4", "key": "k", "by": "olga"}))
    assert balances() == {(MANDATE, "ada"): Decimal(4), (MANDATE, None): Decimal("0.5")}
    switch(USER)
    assert balances() == {(MANDATE, "ada"): Decimal("4.5"), (MANDATE, None): Decimal(0)}
    assert [a["kind"] for a in rows("SELECT kind FROM balance_alerts")] == ["WARNING"]
    assert breaches() == {}


def test_an_expected_version_is_the_present_one(switch: Switch, put_settings: PutSettings) -> None:
    """Who has seen older settings is refused; a repetition of what was done is not, although the version has moved on."""
    put_settings(users=["ada"])
    assert switch(POOL, expected_version=1, key="a").settings_version == 2
    assert switch(POOL, expected_version=1, key="a").repeated
    with pytest.raises(Conflict, match="expected_version: mandate 'acme' has settings version 2, not 1: read them again"):
        switch(LATER, expected_version=1, key="b")


def test_what_can_not_be_switched_is_named(switch: Switch, put_settings: PutSettings, put_mandate: PutMandate) -> None:
    """A mandate without settings, a model that there isn't, and a version that is none."""
    put_settings()
    put_mandate("initech")
    with pytest.raises(NotFound, match="mandate 'initech' has no billing settings"):
        switch(POOL, mandate_id="initech")
    with pytest.raises(RequestRefused, match="billing_model: 'FREE' "):
        switch(POOL, billing_model="FREE")
    with pytest.raises(RequestRefused, match="expected_version: 0 "):
        switch(POOL, expected_version=0)


@pytest.mark.parametrize(("old", "new"), [*permutations(BillingModel, 2)])
def test_a_dry_run_shows_what_the_switch_then_does(
    old: BillingModel,
    new: BillingModel,
    switch: Switch,
    plan: Callable[[BillingModel], SwitchPlan],
    put_settings: PutSettings,
    put_mandate: PutMandate,
    record: Record,
    put_balance: Adjust,
    rows: Rows,
) -> None:
    """The same amounts for the same holders, those of accounts still to be opened too, and nothing is written."""
    put_settings(model=old, users=["zoe", "ada"])
    record(event(user_id="zoe", price_chf="1"), event(user_id="ada", price_chf="2"))
    put_balance(None if old.pool_pays else "zoe", "50.000000002")
    put_mandate(users=["bob", "cid"])
    tables = ("accounts", "transactions", "billing_settings_history", "operation_keys", "balance_alerts")
    before = {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    planned = plan(new)
    assert {table: rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables} == before
    done = switch(new)
    told = [name for name in done.__dataclass_fields__ if name not in ("recorded_at", "repeated")]
    assert [getattr(planned, name) for name in told] == [getattr(done, name) for name in told]
    legs = rows("""
        SELECT a.user_id, t.amount, a.balance FROM transactions t JOIN accounts a ON a.id = t.account_id WHERE reference_type = 'SWITCH' ORDER BY t.id
    """)
    assert [(leg.user_id, leg.amount, leg.balance) for leg in planned.legs] == [tuple(leg.values()) for leg in legs]
    assert plan(new).legs == []


def test_who_begins_to_pay_beyond_a_line_is_reported(
    switch: Switch, put_settings: PutSettings, record: Record, put_balance: Adjust, database: Database, rows: Rows, breaches: Breaches
) -> None:
    """Judged by the lines of the model under which each pays: whoever didn't pay before was beyond none, whoever stops paying is left out."""
    put_settings(model=POOL, users=["ada"])
    record(event(price_chf="5"))
    pool = holder_account(database, ROOT, MANDATE, None)
    fields = {"mandate_id": MANDATE, "account_id": pool.id, "credit_limit": "3", "key": "k", "by": "olga"}
    set_credit_limit(database, ROOT, CreditLimit.read(fields))

    def alerts() -> list[tuple[Any, ...]]:
        found = [tuple(a.values()) for a in rows("SELECT kind, recovered, settings_version, account_id FROM balance_alerts ORDER BY id")]
        new, seen[:] = found[len(seen) :], found
        return new

    seen: list[tuple[Any, ...]] = []
    assert alerts() == [("ZERO", False, 1, pool.id)]
    switch(LATER)
    assert alerts() == [("CREDIT_LIMIT", False, 2, pool.id), ("ZERO", True, 2, pool.id)]
    switch(USER)
    ada = holder_account(database, ROOT, MANDATE, "ada").id
    assert alerts() == [("WARNING", False, 3, ada)]
    put_balance("ada", "4")
    assert alerts() == [("WARNING", True, 3, ada)]
    switch(POOL)
    assert alerts() == [("WARNING", False, 4, pool.id), ("ZERO", False, 4, pool.id)]
    switch(FREE)
    assert alerts() == []
    assert breaches() == {}
