"""The balance of an earlier moment: the exact sum of what was recorded before it, under the rules of its time."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import NotFound
from core.ledger.read_accounts import holder_account
from core.ledger.read_balance import balance
from core.ledger.read_balance_at import BalanceAt, balance_at
from core.ledger.sql import balance_at as movements
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

AHEAD = datetime.now(UTC) + timedelta(days=1)
At = Callable[..., BalanceAt]


@pytest.fixture
def at(database: Database) -> At:
    """The balance of acme or of a user in it, at a moment or day."""
    return lambda when, user_id=None: balance_at(database, ROOT, "acme", user_id, when)


@pytest.fixture
def age(rows: Rows) -> Callable[[str], None]:
    """Moves all that is recorded since the last call to a time: entries and settings versions."""
    seen = {"version": 0, "id": 0}

    def call(time: str) -> None:
        rows("UPDATE transactions SET recorded_at = :time WHERE id > :id", time=time, id=seen["id"])
        rows("UPDATE billing_settings_history SET changed_at = :time WHERE version > :version", time=time, version=seen["version"])
        seen.update(rows("SELECT (SELECT max(version) FROM billing_settings_history) AS version, (SELECT max(id) FROM transactions) AS id")[0])

    return call


@pytest.fixture
def story(put_settings: PutSettings, record: Record, database: Database, age: Callable[[str], None]) -> None:
    """A grant and usage in January, a payment in February, a switch to the pool with usage in March; the mandate is in Zurich."""
    put_settings(users=["ada", "bob"], time_zone="Europe/Zurich")
    record(event(user_id="ada", price_chf="1.5"), event(user_id="bob", price_chf="3"))
    age("2026-01-31T22:59:59.999999Z")
    ada = holder_account(database, ROOT, "acme", "ada").id
    top_up(database, ROOT, TopUp.read({"mandate_id": "acme", "account_id": ada, "amount": "20", "key": "invoice", "by": "olga"}))
    age("2026-01-31T23:00:00Z")
    switched = {"mandate_id": "acme", "billing_model": "PREPAY_MANDATE", "key": "switch", "by": "olga"}
    switch_billing_model(database, ROOT, ModelSwitch.read(switched))
    record(event(user_id="bob", price_chf="0.000000001"))
    age("2026-03-05T12:00:00Z")


@pytest.mark.parametrize(
    ("when", "user_id", "model", "expected"),
    [
        (date(2026, 1, 31), "ada", "PREPAY_USER", "8.5"),
        (date(2026, 1, 31), "bob", "PREPAY_USER", "7"),
        (date(2026, 1, 31), None, "PREPAY_USER", "15.5"),
        (date(2026, 2, 1), "ada", "PREPAY_USER", "28.5"),
        (datetime(2026, 1, 31, 23, tzinfo=UTC), "ada", "PREPAY_USER", "8.5"),
        (datetime(2026, 1, 31, 23, 0, 0, 1, tzinfo=UTC), "ada", "PREPAY_USER", "28.5"),
        (date(2026, 3, 4), None, "PREPAY_USER", "35.5"),
        (date(2026, 3, 5), "ada", "PREPAY_MANDATE", "35.499999999"),
        (date(2026, 3, 5), None, "PREPAY_MANDATE", "35.499999999"),
        (AHEAD, "bob", "PREPAY_MANDATE", "35.499999999"),
    ],
)
def test_the_balance_is_the_sum_of_what_was_recorded_before(story: None, at: At, when: date, user_id: str | None, model: str, expected: str) -> None:
    """A day ends at midnight in the mandate's zone; who paid is told by the model of that time."""
    found = at(when, user_id)
    assert (found.billing_model, found.balance) == (model, Decimal(expected))


def test_a_day_stands_for_its_end_in_the_mandates_zone(story: None, at: At) -> None:
    """The moment is in the answer."""
    assert at(date(2026, 1, 31)).moment == datetime(2026, 1, 31, 23, tzinfo=UTC)
    assert at(date(2026, 7, 1)).moment == datetime(2026, 7, 1, 22, tzinfo=UTC)


@pytest.mark.parametrize("model", BillingModel)
def test_of_now_it_is_the_present_balance(
    model: BillingModel, at: At, put_settings: PutSettings, record: Record, database: Database, put_mandate: PutMandate, rows: Rows
) -> None:
    """The sum of all movements is the balance, entries about others too."""
    put_settings(model=model, users=["ada", "bob"])
    record(event(user_id="ada", price_chf="1.25"), event(user_id="bob", price_chf="2"))
    ada, bob = (holder_account(database, ROOT, "acme", user).id for user in ("ada", "bob"))
    fields = {"mandate_id": "acme", "account_id": bob, "balance_account_id": ada, "amount": "5", "key": "present", "by": "olga"}
    top_up(database, ROOT, TopUp.read(fields))
    for user_id in ("ada", "bob", None):
        now, then = balance(database, ROOT, "acme", user_id), at(AHEAD, user_id)
        assert (then.balance, then.account_id, then.billing_model) == (now.balance, now.account_id, now.billing_model)


def test_what_was_not_there_yet_is_named(story: None, at: At, database: Database) -> None:
    """A mandate before its settings, a user who is no member, a mandate that nobody knows."""
    with pytest.raises(NotFound, match="mandate 'acme' had no billing settings yet at 2025-12-31"):
        at(date(2025, 12, 31))
    with pytest.raises(NotFound, match="user 'eve' is no enabled member of mandate 'acme'"):
        at(date(2026, 2, 1), "eve")
    with pytest.raises(NotFound, match="mandate 'nobody' has no billing settings"):
        balance_at(database, ROOT, "nobody", None, date(2026, 2, 1))


@pytest.mark.parametrize("statement", [movements._OF_USER, movements._OF_POOL, movements.OF_ALL_USERS], ids=["user", "pool", "all users"])
def test_no_balance_reads_other_mandates_entries(statement: object, story: None, owner_database: Database) -> None:
    """Every partition is read through an index."""
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        parameters = {"mandate_id": "acme", "account_id": 1, "moment": AHEAD}
        plan = connection.execute(text(f"EXPLAIN {statement}"), parameters).scalars().all()
    assert [line for line in plan if "Seq Scan on transactions" in line] == []
    wanted = (
        {"_account_id_recorded_at_idx", "_balance_account_id_recorded_at_idx"} if statement is movements._OF_USER else {"_mandate_id_recorded_at"}
    )
    assert all(any(name in line for line in plan) for name in wanted)
