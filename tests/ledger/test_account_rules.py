"""What an operator sets on an account: enabled or not, and how far a pool may go into debt."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements.set_account_enabled import AccountEnabling, EnabledResult, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, CreditLimitResult, set_credit_limit
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

SetEnabled = Callable[..., EnabledResult]
SetLimit = Callable[..., CreditLimitResult]
ALERTS = "SELECT kind, recovered, threshold FROM balance_alerts ORDER BY id"


@pytest.fixture
def pool(put_settings: PutSettings, record: Record, rows: Rows) -> int:
    """The id of acme's postpaid pool, which owes 9 CHF."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    record(event(price_chf="9"))
    return int(rows("SELECT id FROM accounts WHERE user_id IS NULL")[0]["id"])


@pytest.fixture
def set_enabled(database: Database, pool: int) -> SetEnabled:
    """Enables or disables an account of acme, the pool if none is named."""

    def call(enabled: object, **fields: Any) -> EnabledResult:
        asked = {"mandate_id": "acme", "account_id": pool, "enabled": enabled, "key": "ticket-1", "by": "olga", **fields}
        return set_account_enabled(database, ROOT, AccountEnabling.read(asked))

    return call


@pytest.fixture
def set_limit(database: Database, pool: int) -> SetLimit:
    """Sets the credit limit of acme's pool, under a key of its own each time."""

    def call(credit_limit: object, **fields: Any) -> CreditLimitResult:
        asked = {"mandate_id": "acme", "account_id": pool, "credit_limit": credit_limit, "key": f"limit {credit_limit}", "by": "olga", **fields}
        return set_credit_limit(database, ROOT, CreditLimit.read(asked))

    return call


def test_an_account_is_disabled_and_enabled(set_enabled: SetEnabled, record: Record, rows: Rows, pool: int) -> None:
    """Usage of a disabled account is recorded all the same; the keys tell who did what and when."""
    done = set_enabled(enabled=False)
    assert (done.enabled, done.changed, done.repeated) == (False, True, False)
    assert rows("SELECT enabled FROM accounts WHERE id = :id", id=pool) == [{"enabled": False}]
    assert set(record(event()).outcomes) == {"recorded"}
    assert not set_enabled(enabled=False, key="ticket-2").changed
    set_enabled(enabled=True, key="ticket-3", by="otto")
    assert rows("SELECT enabled FROM accounts WHERE id = :id", id=pool) == [{"enabled": True}]
    history = rows("SELECT idempotency_key AS key, result FROM operation_keys WHERE operation = 'set_account_enabled' ORDER BY recorded_at")
    assert [(h["key"], h["result"]["enabled"], h["result"]["changed"], h["result"]["by"]) for h in history] == [
        ("ticket-1", False, True, "olga"),
        ("ticket-2", False, False, "olga"),
        ("ticket-3", True, True, "otto"),
    ]


def test_a_replay_undoes_nothing_that_came_later(set_enabled: SetEnabled, rows: Rows, pool: int) -> None:
    """An old request that comes again gets its first result, and the account stays as somebody else set it since."""
    first = set_enabled(enabled=False)
    set_enabled(enabled=True, key="ticket-2")
    again = set_enabled(enabled=False)
    assert (again.recorded_at, again.repeated) == (first.recorded_at, True)
    assert rows("SELECT enabled FROM accounts WHERE id = :id", id=pool) == [{"enabled": True}]
    with pytest.raises(Conflict, match="'ticket-1' was used for another set_account_enabled"):
        set_enabled(enabled=True)


def test_an_account_that_is_not_there_is_named(set_enabled: SetEnabled, set_limit: SetLimit) -> None:
    """So is a value that is neither true nor false."""
    for call in (set_enabled, set_limit):
        with pytest.raises(NotFound, match="mandate 'acme' has no account 4711"):
            call(call is set_enabled or "5", account_id=4711)
    with pytest.raises(RequestRefused, match="enabled: 'no' "):
        set_enabled("no")


def test_a_limit_is_set_changed_and_taken_away(set_limit: SetLimit, rows: Rows, pool: int) -> None:
    """The result has what it was and what it is; 0 is a limit, None is none."""
    for old, new in ((None, "0"), ("0", "100.5"), ("100.5", None)):
        done = set_limit(new)
        assert (done.old_credit_limit, done.credit_limit) == tuple(None if one is None else Decimal(one) for one in (old, new))
        assert done.balance == Decimal(-9)
        assert rows("SELECT credit_limit FROM accounts WHERE id = :id", id=pool) == [{"credit_limit": done.credit_limit}]
    history = rows("SELECT result ->> 'old_credit_limit' AS old, result ->> 'credit_limit' AS new FROM operation_keys ORDER BY recorded_at")
    assert [(h["old"], h["new"]) for h in history] == [(None, "0E-9"), ("0E-9", "100.500000000"), ("100.500000000", None)]


def test_a_limit_below_the_debt_is_a_crossing(set_limit: SetLimit, rows: Rows, record: Record, breaches: Breaches) -> None:
    """Each line that the debt is beyond by a new limit is reported once, and so is the way back."""
    set_limit("20")
    assert rows(ALERTS) == []
    set_limit("10")
    assert [tuple(a.values()) for a in rows(ALERTS)] == [("WARNING", False, Decimal(-9))]
    set_limit("8")
    record(event(price_chf="1"))
    assert [(a["kind"], a["recovered"]) for a in rows(ALERTS)] == [("WARNING", False), ("CREDIT_LIMIT", False)]
    set_limit(None)
    assert [(a["kind"], a["recovered"]) for a in rows(ALERTS)][2:] == [("WARNING", True), ("CREDIT_LIMIT", True)]
    assert breaches() == {}


def test_a_limit_of_another_model_means_nothing(
    set_limit: SetLimit, rows: Rows, database: Database, put_settings: PutSettings, record: Record
) -> None:
    """It is kept for the day on which the mandate is billed that way, and crosses no line until then."""
    put_settings("prepaid", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(mandate_id="prepaid", price_chf="9"))
    before = rows(ALERTS)
    pool = rows("SELECT id FROM accounts WHERE mandate_id = 'prepaid' AND user_id IS NULL")[0]["id"]
    assert set_limit("1", mandate_id="prepaid", account_id=pool).credit_limit == Decimal(1)
    assert rows(ALERTS) == before


def test_only_a_pool_has_a_limit(set_limit: SetLimit, rows: Rows) -> None:
    """A user's account is refused, and so are a negative limit and one that isn't named."""
    ada = rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"]
    with pytest.raises(RequestRefused, match=f"account_id: {ada} is a user's account, and only a pool has a credit limit"):
        set_limit("5", account_id=ada)
    with pytest.raises(RequestRefused, match="credit_limit: '-1' is negative"):
        set_limit("-1")
    with pytest.raises(RequestRefused, match="credit_limit: is missing"):
        CreditLimit.read({"mandate_id": "acme", "account_id": ada, "key": "k", "by": "olga"})


def test_the_same_limit_is_set_once_per_key(set_limit: SetLimit, rows: Rows, pool: int) -> None:
    """A repeated request changes nothing, whatever the limit is by then."""
    set_limit("5", key="k")
    set_limit("6")
    again = set_limit("5", key="k")
    assert (again.credit_limit, again.repeated) == (Decimal(5), True)
    assert rows("SELECT credit_limit FROM accounts WHERE id = :id", id=pool) == [{"credit_limit": Decimal(6)}]
    with pytest.raises(Conflict, match="'k' was used for another set_credit_limit"):
        set_limit(None, key="k")
