"""Balances have more room than single amounts: usage is recorded whatever the balance, and movements keep their bound."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from alembic import command

from core.alerts.message import AlertMessage
from core.alerts.sql.outbox import waiting_alerts
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.database.sessions import Way, open_engine
from core.errors import RequestRefused
from core.events.outcome import Outcome
from core.ledger.read_balance import balance
from core.money import AMOUNT_MAX
from core.movements.adjust import Adjustment, adjust
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.plan_switch import plan_switch
from core.movements.refund import Refund, refund
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.recording.backfill_accounts import backfill_accounts
from core.schema import migrate
from core.verifying.repair import repair_books
from tests.conftest import DatabaseUrls, Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

MILLION = "1000000"  # CHF, the highest price
FLOOR = Decimal(-AMOUNT_MAX)
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]


@pytest.fixture
def asked() -> Callable[..., dict[str, Any]]:
    """The fields of a request of olga's about acme, under a key of its own."""
    numbers = iter(range(1000))
    return lambda **fields: {"mandate_id": "acme", "key": f"k{next(numbers)}", "by": "olga", **fields}


@pytest.fixture
def ada(put_settings: PutSettings, record: Record, rows: Rows, database: Database, asked: Callable[..., dict[str, Any]]) -> int:
    """The id of ada's account, which is as far down as a movement takes it."""
    put_settings(users=["ada"])
    record(event(event_id="first", price_chf="10"))
    account_id = int(rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"])
    adjust(database, ROOT, Adjustment(**asked(account_id=account_id, amount=str(FLOOR), reason="r")))
    return account_id


def test_usage_is_recorded_below_the_bound(ada: int, record: Record, rows: Rows, balances: Balances, breaches: Breaches) -> None:
    """It has happened: neither a dead letter nor a rounded balance, and the books are in order."""
    result = record(event(price_chf="0.000000001"), *[event(price_chf=MILLION) for _ in range(3)])
    assert set(result.outcomes) == {Outcome.RECORDED}
    assert balances()["acme", "ada"] == FLOOR - 3_000_000 - Decimal("0.000000001")
    assert rows("SELECT FROM dead_letters") == []
    assert breaches() == {}


def test_a_crossing_below_the_bound_is_told(
    put_settings: PutSettings, record: Record, rows: Rows, database: Database, asked: Callable[..., dict[str, Any]], breaches: Breaches
) -> None:
    """The alert of the highest credit limit holds the balances, and its message is that of the contract."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    record(event(price_chf="0.5"))
    pool = rows("SELECT id FROM accounts WHERE user_id IS NULL")[0]["id"]
    rows("UPDATE accounts SET credit_limit = 10000000000 WHERE id = :pool", pool=pool)
    adjust(database, ROOT, Adjustment(**asked(account_id=pool, amount="-9999999999.5", reason="r")))
    record(event(price_chf="2"))
    with database.transaction() as connection:
        alerts = [AlertMessage.model_validate(alert.fields) for alert in waiting_alerts(connection, 10)]
    assert [(a.kind, str(a.balance_before), str(a.balance_after), str(a.threshold)) for a in alerts] == [
        ("WARNING", "-0.500000000", "-10000000000.000000000", "-9000000000.000000000"),
        ("CREDIT_LIMIT", "-10000000000.000000000", "-10000000002.000000000", "-10000000000.000000000"),
    ]
    assert breaches() == {}


def test_movements_bring_back_and_take_no_further(
    ada: int, record: Record, database: Database, asked: Callable[..., dict[str, Any]], balances: Balances, breaches: Breaches
) -> None:
    """From beyond the bound a top-up, a refund and a lower price are booked, and so is a higher price; what else takes further is refused by name."""
    record(event(event_id="high", price_chf=MILLION), event(event_id="low", price_chf="1"))
    assert top_up(database, ROOT, TopUp(**asked(account_id=ada, amount="1"))).balance == FLOOR - 1_000_000
    first = amend_prices(
        database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "low", "price_chf": "3"})], key="up", by="olga", worker="w"
    )
    assert [(total.amended, total.problems) for total in first] == [(1, [])]
    assert balances()["acme", "ada"] == FLOOR - 1_000_002
    with pytest.raises(RequestRefused, match=rf"amount: would take account {ada} from -10001000002.000000000 to .*, beyond what the books can hold"):
        adjust(database, ROOT, Adjustment(**asked(account_id=ada, amount="-0.000000001", reason="r")))
    assert top_up(database, ROOT, TopUp(**asked(account_id=ada, amount="10000000000"))).balance == -1_000_002
    assert breaches() == {}


def test_a_refund_is_booked_beyond_the_bound(
    ada: int, record: Record, rows: Rows, database: Database, asked: Callable[..., dict[str, Any]], balances: Balances, breaches: Breaches
) -> None:
    """What is given back brings the balance nearer to zero."""
    record(event(event_id="high", price_chf=MILLION), event(price_chf="5"))
    high = rows("SELECT id FROM transactions WHERE event_id = 'high'")[0]["id"]
    assert refund(database, ROOT, Refund(**asked(transaction_id=high))).balance == FLOOR - 5
    assert breaches() == {}


def test_a_switch_with_a_leg_beyond_the_bound_is_refused_by_name(
    ada: int, record: Record, database: Database, asked: Callable[..., dict[str, Any]], balances: Balances, breaches: Breaches
) -> None:
    """Neither planned nor done: one entry would be more than an amount can be. A payment before it makes it possible."""
    record(event(price_chf="2"))
    to_pool = {"billing_model": BillingModel.PREPAY_MANDATE}
    for try_it in (plan_switch, switch_billing_model):
        with pytest.raises(RequestRefused, match=f"amount: would take account {ada} from -10000000002"):
            try_it(database, ROOT, ModelSwitch(**asked(**to_pool)))
    assert balances() == {("acme", "ada"): FLOOR - 2}
    top_up(database, ROOT, TopUp(**asked(account_id=ada, amount="2")))
    switch_billing_model(database, ROOT, ModelSwitch(**asked(**to_pool)))
    assert balances() == {("acme", "ada"): 0, ("acme", None): FLOOR}
    assert breaches() == {}


def test_a_pool_beyond_the_bound_stays_at_a_switch(
    put_settings: PutSettings, record: Record, rows: Rows, database: Database, asked: Callable[..., dict[str, Any]], breaches: Breaches
) -> None:
    """It is below zero, so nothing of it moves, and the result says how much."""
    put_settings(model=BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(price_chf="1"))
    pool = rows("SELECT id FROM accounts WHERE user_id IS NULL")[0]["id"]
    adjust(database, ROOT, Adjustment(**asked(account_id=pool, amount="-9999999999", reason="r")))
    record(event(price_chf="1"))
    done = switch_billing_model(database, ROOT, ModelSwitch(**asked(billing_model=BillingModel.PREPAY_USER)))
    assert (done.unmoved_amount, done.leg_count) == (FLOOR - 1, 0)
    assert breaches() == {}


def test_such_a_balance_is_read_and_repaired_exactly(ada: int, record: Record, rows: Rows, database: Database, breaches: Breaches) -> None:
    """As far down as a balance goes, views show it to the last unit, and a repair writes it."""
    record(event(price_chf="0.000000001"))
    rows("UPDATE accounts SET balance = -9999999999999999999.999999999 WHERE id = :id", id=ada)
    assert str(balance(database, ROOT, "acme", "ada").balance) == "-9999999999999999999.999999999"
    with pytest.raises(RequestRefused, match="more than one adjustment can be"):
        repair_books(database, ROOT, key="k", reason="r", by="olga", account_id=ada, by_adjustment=True)
    repair_books(database, ROOT, key="k", reason="r", by="olga", account_id=ada)
    assert breaches() == {}


def test_a_grant_that_would_overflow_is_refused_alone(
    database: Database,
    config: Configuration,
    put_settings: PutSettings,
    put_mandate: PutMandate,
    record: Record,
    rows: Rows,
    asked: Callable[..., dict[str, Any]],
    breaches: Breaches,
) -> None:
    """The others of its page get theirs; it is named each time, waits on, and is made once there is room."""
    put_settings()
    record(*[event(user_id=user, price_chf="1") for user in ("ada", "bob", "cid")])
    put_mandate(users=["ada", "bob", "cid"])
    bob = rows("SELECT id FROM accounts WHERE user_id = 'bob'")[0]["id"]
    top_up(database, ROOT, TopUp(**asked(account_id=bob, amount="9999999995")))
    told: list[str] = []

    def backfill() -> dict[str, int] | None:
        return backfill_accounts(database, config=config, worker="test", at_once=True, refused=lambda refusal: told.append(str(refusal)))

    nothing = {"accounts": 0, "pools": 0, "parked_released": 0}
    assert backfill() == {**nothing, "grants_due": 2, "grants_refused": 1}
    assert backfill() == {**nothing, "grants_due": 0, "grants_refused": 1}
    refusal = f"amount: would take account {bob} from 9999999994.000000000 to 10000000004.000000000 CHF, beyond what the books can hold"
    assert told == [f"{refusal} by a movement of 10.000000000 CHF"] * 2
    assert rows("SELECT user_id FROM accounts WHERE grant_due") == [{"user_id": "bob"}]
    adjust(database, ROOT, Adjustment(**asked(account_id=bob, amount="-4", reason="r")))
    assert backfill() == {**nothing, "grants_due": 1}
    assert breaches() == {}


def test_the_room_is_made_without_rewriting_a_row(empty_database_urls: DatabaseUrls) -> None:
    """Both tables keep their files, and alerts of before are told from those that are counted."""
    engine = open_engine(Way(empty_database_urls.owner, "DATABASE_OWNER_URL", {}))
    files = "SELECT pg_relation_filenode('accounts'), pg_relation_filenode('balance_alerts'), pg_relation_filenode('billing_settings_history')"
    write = "INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version)"
    write += " VALUES ('acme', 1, 'ZERO', false, 0, -1, 0, 1)"
    try:
        with engine.begin() as connection:
            command.upgrade(migrate._alembic(connection), "0016_room-1")
            connection.exec_driver_sql("INSERT INTO accounts (mandate_id, user_id, account_type, opened_version) VALUES ('acme', 'ada', 'USER', 1)")
            connection.exec_driver_sql(write)
            before = connection.exec_driver_sql(files).one()
            command.upgrade(migrate._alembic(connection), "0016_room")
            assert connection.exec_driver_sql(files).one() == before
            connection.exec_driver_sql(write)
            assert connection.exec_driver_sql("SELECT alert_count FROM accounts").scalar_one() == 1
            assert list(connection.exec_driver_sql("SELECT counted FROM balance_alerts ORDER BY id").scalars()) == [False, True]
    finally:
        engine.dispose()
