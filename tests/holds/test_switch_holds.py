"""Open holds go with whoever pays now; a switch of the billing model doesn't look at what is held."""

from collections.abc import Callable

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.movements.switch import ModelSwitch, SwitchResult, switch_billing_model
from tests.conftest import Record, Rows
from tests.holds.scene import NOON, PutHold, finding, putting
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutSettings

LATER = NOON.replace(year=NOON.year + 10)
Switch = Callable[[str], SwitchResult]


@pytest.fixture
def switch(database: Database) -> Switch:
    """Switches acme to a model."""

    def to(model: str) -> SwitchResult:
        asked = ModelSwitch.read({"mandate_id": "acme", "billing_model": model, "key": f"to-{model}", "by": "olga"})
        return switch_billing_model(database, ROOT, asked)

    return to


@pytest.fixture
def put_hold(rows: Rows) -> PutHold:
    """Puts an open hold."""
    return putting(rows)


def held(rows: Rows) -> dict[str | None, tuple[str, str]]:
    """Balance and held of each account of acme by its user, the pool without one."""
    found = rows("SELECT user_id, balance, held FROM accounts WHERE mandate_id = 'acme'")
    return {row["user_id"]: (f"{row['balance']:.2f}", f"{row['held']:.2f}") for row in found}


def test_holds_go_from_the_users_to_the_pool_and_back(
    rows: Rows, put_settings: PutSettings, put_account: PutAccount, put_hold: PutHold, switch: Switch, record: Record, breaches: Breaches
) -> None:
    """The split of the balance ignores them, and available may become negative."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada", "bob"])
    ada, bob = put_account("ada", "1"), put_account("bob", "3")
    put_hold("a", "0.75", account_id=ada, expires_at=LATER)
    put_hold("b", "3", account_id=bob, user_id="bob", expires_at=LATER)
    switch("PREPAY_MANDATE")
    assert held(rows) == {None: ("4.00", "3.75"), "ada": ("0.00", "0.00"), "bob": ("0.00", "0.00")}
    record(event(hold_key="a", price_chf="0.5"))
    assert held(rows)[None] == ("3.50", "3.00")
    switch("PREPAY_USER")
    assert held(rows) == {None: ("0.00", "0.00"), "ada": ("1.75", "0.00"), "bob": ("1.75", "3.00")}
    record(event(hold_key="b", user_id="bob", price_chf="1"))
    assert held(rows)["bob"] == ("0.75", "0.00")
    assert not [name for name in breaches() if name.startswith("H")]


def test_under_unlimited_holds_are_nobodys_until_somebody_pays_again(
    rows: Rows, put_settings: PutSettings, put_account: PutAccount, put_hold: PutHold, switch: Switch
) -> None:
    """Whoever has an open hold has an account afterwards, also who is no member."""
    put_settings("acme", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_hold("a", "2", account_id=put_account(None, "5"), expires_at=LATER)
    switch("UNLIMITED")
    assert held(rows)[None] == ("5.00", "0.00")
    assert finding(rows)("a")["balance_account_id"] is None
    put_hold("of-a-stranger", "1", user_id="eve", expires_at=LATER)
    switch("PREPAY_USER")
    assert held(rows) == {None: ("0.00", "0.00"), "ada": ("2.50", "2.00"), "eve": ("2.50", "1.00")}


def test_settled_holds_stay_as_they_were_settled(
    rows: Rows, put_settings: PutSettings, put_account: PutAccount, put_hold: PutHold, switch: Switch, record: Record
) -> None:
    """Also whose account they were of."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    ada = put_account("ada", "1")
    put_hold("a", "1", account_id=ada, expires_at=LATER)
    record(event(hold_key="a"))
    before = finding(rows)("a")
    switch("PREPAY_MANDATE")
    assert finding(rows)("a") == before
