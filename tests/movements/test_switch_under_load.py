"""A switch that is killed, one among an unbroken stream of usage, one over thousands of accounts."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import StorageUnavailable
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.movements.switch import ModelSwitch, SwitchResult, switch_billing_model
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

USER, POOL, LATER, FREE = BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED
TABLES = ("accounts", "billing_settings", "billing_settings_history", "transactions", "operation_keys", "balance_alerts")


def _switch(database: Database, model: BillingModel, key: str) -> SwitchResult:
    return switch_billing_model(database, ROOT, ModelSwitch.read({"mandate_id": "acme", "billing_model": model, "key": key, "by": "olga"}))


def _balances(rows: Rows, model: BillingModel | None) -> dict[int, Decimal]:
    """Balances by account id: all, or those alone that don't pay under the model."""
    found = rows("SELECT id, user_id, balance FROM accounts")
    return {a["id"]: a["balance"] for a in found if model in (None, FREE) or model.pool_pays == (a["user_id"] is not None)}


@contextmanager
def _broken_at(database: Database, number: int) -> Iterator[None]:
    """Inside, the connection breaks right before the statement of that number (from 1) reaches the server."""
    statements = itertools.count(1)

    def break_off(_connection: Any, cursor: Any, *_: Any) -> None:
        if next(statements) == number:
            cursor.connection.close()

    sqlalchemy_event.listen(database._engine, "before_cursor_execute", break_off)
    try:
        yield
    finally:
        sqlalchemy_event.remove(database._engine, "before_cursor_execute", break_off)


@pytest.mark.parametrize(("old", "new"), [(USER, LATER), (POOL, USER), (FREE, USER), (FREE, POOL), (POOL, LATER)])
def test_a_switch_that_is_killed_at_any_statement_completes_once_when_repeated(
    old: BillingModel, new: BillingModel, database: Database, record: Record, put_settings: PutSettings, rows: Rows, breaches: Breaches
) -> None:
    """After each crash everything is as before; the repetition that gets through moves the money once, and the next one nothing."""
    put_settings(model=old, users=["ada", "bob", "eve"])
    record(event(user_id="ada", price_chf="15"), event(user_id="bob", price_chf="1"))

    def books() -> list[Any]:
        return [rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES]

    untouched, total = books(), rows("SELECT sum(balance) AS total FROM accounts")
    for number in itertools.count(1):
        try:
            with _broken_at(database, number):
                done = _switch(database, new, "once")
        except StorageUnavailable:
            assert books() == untouched
        else:
            break
    assert number > 8
    assert not done.repeated
    assert rows("SELECT sum(balance) AS total FROM accounts") == total
    completed = books()
    assert _switch(database, new, "once").repeated
    assert books() == completed
    assert [row["version"] for row in rows("SELECT version FROM billing_settings_history ORDER BY 1")] == [1, 2]
    assert breaches() == {}


def test_a_commit_that_was_not_heard_of_is_not_done_twice(
    database: Database, record: Record, put_settings: PutSettings, rows: Rows, breaches: Breaches
) -> None:
    """Where the connection breaks right after the commit, the repetition gets the result of what was done."""
    put_settings(users=["ada", "bob"])
    record(event(user_id="ada", price_chf="15"), event(user_id="bob", price_chf="1"))

    def break_off(connection: Connection) -> None:
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.commit()
        driver_connection.close()

    sqlalchemy_event.listen(database._engine, "commit", break_off)
    with pytest.raises(StorageUnavailable):
        _switch(database, POOL, "once")
    sqlalchemy_event.remove(database._engine, "commit", break_off)
    assert rows("SELECT version FROM billing_settings") == [{"version": 2}]
    again = _switch(database, POOL, "once")
    assert (again.repeated, again.migrated_amount, again.leg_count) == (True, Decimal(4), 3)
    assert len(rows("SELECT FROM transactions WHERE reference_type = 'SWITCH'")) == 3
    assert breaches() == {}


def test_switches_get_through_an_unbroken_stream_of_usage(
    record: Record, connect: Callable[[], Database], put_settings: PutSettings, put_mandate: PutMandate, rows: Rows, breaches: Breaches
) -> None:
    """While three workers record without a pause, each switch gets its turn, and no event hits a balance that doesn't pay any more."""
    users = [f"user{n}" for n in range(20)]
    put_settings(users=users)
    enough, finished = Event(), SimpleQueue[int]()
    databases = [connect() for _ in range(3)]

    def stream(database: Database) -> int:
        memory, recorded = KnownAccounts(), 0
        while not enough.is_set():
            batch = [event(user_id=users[n % 20], price_chf="0.001") for n in range(recorded, recorded + 25)]
            assert set(record(*batch, database=database, known_accounts=memory).outcomes) == {Outcome.RECORDED}
            recorded += 25
            finished.put(recorded)
        return recorded

    with ThreadPoolExecutor(3) as workers:
        streams = [workers.submit(stream, one) for one in databases]
        try:
            database, resting = connect(), dict[int, Decimal]()
            for number, model in enumerate([POOL, USER, LATER, FREE, USER, FREE, POOL, LATER, USER] * 2):
                while not finished.empty():
                    finished.get()
                for _ in range(4):  # of three workers, so one batch at least has begun since the switch before
                    finished.get(timeout=60)
                assert resting.items() <= _balances(rows, None).items()
                put_mandate(users=[f"late{number}"])
                _switch(database, model, f"switch {number}")
                resting = _balances(rows, model)
        finally:
            enough.set()
        recorded = sum(one.result() for one in streams)
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": recorded}]
    versions = rows("SELECT DISTINCT settings_version AS version FROM transactions WHERE reference_type = 'WORKFLOW'")
    assert {row["version"] for row in versions} >= set(range(1, 19)), "usage was recorded between all switches"
    assert breaches() == {}


def test_thousands_of_accounts_switch_together(database: Database, record: Record, put_settings: PutSettings, rows: Rows, breaches: Breaches) -> None:
    """Five thousand members, most without an account yet: to the user each gets his share of the pool, and back all of it returns."""
    put_settings(model=POOL, users=["ada"])
    record(event(price_chf="0"))
    rows("INSERT INTO directory_memberships (mandate_id, user_id) SELECT 'acme', 'user' || n FROM generate_series(1, 4999) AS n")
    pool = "WHERE user_id IS NULL"
    rows(f"UPDATE accounts SET balance = 1 {pool}")
    rows("""
        INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  occurred_at, local_date, settings_version)
        SELECT mandate_id, id, id, 'CREDIT', 1, 'PAYMENT', 'scene', now(), (now() AT TIME ZONE 'UTC')::date, 1 FROM accounts WHERE user_id IS NULL
    """)
    split = _switch(database, USER, "split")
    assert (split.accounts_opened, split.user_count, split.leg_count) == (4999, 5000, 5001)
    assert rows(f"SELECT balance FROM accounts {pool}") == [{"balance": 0}]
    assert rows("SELECT DISTINCT balance FROM accounts WHERE user_id IS NOT NULL") == [{"balance": Decimal("0.0002")}]
    gathered = _switch(database, LATER, "gather")
    assert (gathered.migrated_amount, gathered.leg_count) == (Decimal(1), 5001)
    assert rows(f"SELECT balance FROM accounts {pool}") == [{"balance": 1}]
    assert breaches() == {}
