"""A usage event takes what it used of the hold that it names, in the transaction of its debit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.events.outcome import Outcome
from core.holds.expire import expire_holds
from core.ledger.opening import KnownAccounts
from core.metrics import HOLD_EVENTS
from core.recording.batch import settle_batch
from core.recording.delivery import read_events
from core.recording.record_usage import record_usage
from core.recording.release_parked import release_all_parked
from core.recording.settle import settle
from tests.conftest import Record, Rows
from tests.holds.scene import NOON, Found, PutHold, finding, putting
from tests.sample_events import event, raw
from tests.scene import PutAccount, PutMandate, PutSettings


@pytest.fixture
def put_hold(rows: Rows) -> PutHold:
    """Puts an open hold."""
    return putting(rows)


@pytest.fixture
def found(rows: Rows) -> Found:
    """Looks at a hold."""
    return finding(rows)


@pytest.fixture
def ada(put_settings: PutSettings, put_account: PutAccount) -> int:
    """The account of ada, who pays for herself, with CHF 10."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada", "bob"])
    return put_account("ada", "10")


class Use:
    """Records an event of ada's that names a hold, at a time by which holds end."""

    def __init__(self, database: Database, config: Configuration, known_accounts: KnownAccounts) -> None:
        self._books = database, config, known_accounts

    def __call__(self, *prices: str, key: str = "call-1", at: datetime = NOON, **fields: Any) -> list[Outcome]:
        """The outcome of an event at each of these prices."""
        database, config, known = self._books
        events = [raw(event(price_chf=price, hold_key=key, **fields)) for price in prices]
        return record_usage(database, events, config=config, known_accounts=known, worker="test", hold_clock=at).outcomes


@pytest.fixture
def use(database: Database, config: Configuration, known_accounts: KnownAccounts) -> Use:
    """Records usage under a hold."""
    return Use(database, config, known_accounts)


def account(rows: Rows, account_id: int) -> tuple[str, str]:
    """Balance and held of an account."""
    (row,) = rows("SELECT balance, held FROM accounts WHERE id = :id", id=account_id)
    return f"{row['balance']:.2f}", f"{row['held']:.2f}"


@pytest.mark.parametrize(
    ("price", "captured", "released", "over"),
    [("0.30", "0.30", "0.70", "0"), ("1", "1", "0", "0"), ("1.25", "1", "0", "0.25"), ("0", "0", "1", "0")],
)
def test_a_final_event_takes_what_it_used_and_gives_the_rest_back(
    rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use, price: str, captured: str, released: str, over: str
) -> None:
    """Less, equal or more: the debit is recorded in full, captured is at most the amount, the excess is over the hold."""
    put_hold(amount="1", account_id=ada)
    assert use(price) == [Outcome.RECORDED]
    hold = found()
    assert (hold["state"], hold["captured"], hold["released"], hold["expired"]) == ("CAPTURED", Decimal(captured), Decimal(released), 0)
    assert (hold["used"], hold["over_hold"], hold["use_count"], hold["late_count"]) == (Decimal(price), Decimal(over), 1, 0)
    assert hold["settled_at"] == NOON
    assert account(rows, ada) == (f"{Decimal(10) - Decimal(price):.2f}", "0.00")


def test_events_that_are_not_final_take_part_after_part(rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use) -> None:
    """The hold stays open with what is left of it, in one batch or in several."""
    put_hold(amount="1", account_id=ada)
    use("0.20", "0.30", hold_final=False)
    assert (found()["state"], found()["captured"]) == ("OPEN", Decimal("0.5"))
    assert account(rows, ada) == ("9.50", "0.50")
    use("0.40", hold_final=False)
    use("0.40")
    hold = found()
    assert (hold["state"], hold["captured"], hold["released"]) == ("CAPTURED", 1, 0)
    assert (hold["used"], hold["over_hold"], hold["use_count"]) == (Decimal("1.3"), Decimal("0.3"), 4)
    assert account(rows, ada) == ("8.70", "0.00")


def test_what_comes_after_the_final_event_is_an_ordinary_debit(rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use) -> None:
    """In the same batch and in a later one; it is counted."""
    put_hold(amount="1", account_id=ada)
    before = HOLD_EVENTS.labels("after_final")._value.get()
    use("0.25", "0.50")
    use("0.75")
    hold = found()
    assert (hold["captured"], hold["released"]) == (Decimal("0.25"), Decimal("0.75"))
    assert (hold["used"], hold["use_count"], hold["late_count"], hold["over_hold"]) == (Decimal("1.5"), 3, 2, 0)
    assert account(rows, ada) == ("8.50", "0.00")
    assert HOLD_EVENTS.labels("after_final")._value.get() == before + 1  # the third is told as late: the hold was settled before its batch


def test_a_duplicate_captures_nothing(rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use) -> None:
    """Nor does a conflict: the hold stays as the first event left it."""
    put_hold(amount="1", account_id=ada)
    one: dict[str, Any] = {"event_id": "event-of-the-hold", "hold_final": False}
    assert use("0.25", **one) == [Outcome.RECORDED]
    assert use("0.25", "0.25", **one) == [Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert use("0.50", **one) == [Outcome.CONFLICT]
    assert (found()["state"], found()["captured"], found()["use_count"]) == ("OPEN", Decimal("0.25"), 1)
    assert account(rows, ada) == ("9.75", "0.75")


def test_a_dead_letter_leaves_the_hold_open(rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use) -> None:
    """What can't be recorded uses nothing."""
    put_hold(amount="1", account_id=ada)
    assert use("-1") == [Outcome.REJECTED]
    assert (found()["state"], account(rows, ada)) == ("OPEN", ("10.00", "1.00"))


def test_an_event_after_the_expiry_is_an_ordinary_debit(rows: Rows, ada: int, put_hold: PutHold, found: Found, use: Use) -> None:
    """Also before the sweep: by the clock alone. The hold is settled as expired, and the event counted as late."""
    put_hold(amount="1", account_id=ada)
    use("0.25", at=NOON + timedelta(minutes=15))
    hold = found()
    assert (hold["state"], hold["captured"], hold["expired"], hold["late_count"]) == ("EXPIRED", 0, 1, 1)
    assert account(rows, ada) == ("9.75", "0.00")
    use("0.25", at=NOON)  # a clock that goes back opens nothing again
    assert (found()["state"], found()["used"], found()["late_count"]) == ("EXPIRED", Decimal("0.5"), 2)


def test_an_event_of_another_user_leaves_the_hold(rows: Rows, ada: int, put_account: PutAccount, put_hold: PutHold, found: Found, use: Use) -> None:
    """Its debit is recorded on its own user's account."""
    bob = put_account("bob", "5")
    put_hold(amount="1", account_id=ada)
    assert use("0.25", user_id="bob") == [Outcome.RECORDED]
    assert (found()["state"], found()["use_count"]) == ("OPEN", 0)
    assert account(rows, ada) == ("10.00", "1.00")
    assert account(rows, bob) == ("4.75", "0.00")


def test_an_event_before_its_authorisation_leaves_a_captured_hold_of_nothing(rows: Rows, ada: int, found: Found, use: Use) -> None:
    """One for the key, however many events there are."""
    use("0.25", "0.50")
    use("0.75")
    hold = found()
    assert (hold["state"], hold["amount"], hold["captured"], hold["content_hash"]) == ("CAPTURED", 0, 0, None)
    assert (hold["used"], hold["use_count"], hold["late_count"]) == (Decimal("1.5"), 3, 2)
    assert account(rows, ada) == ("8.50", "0.00")


def test_an_unknown_hold_is_of_the_user_who_comes_first(ada: int, record: Record, found: Found) -> None:
    """Whatever the order of their ids; the other's event is an ordinary debit."""
    record(event(hold_key="call-1", user_id="bob", event_id="b"), event(hold_key="call-1", event_id="a"))
    assert (found()["user_id"], found()["use_count"]) == ("bob", 1)


def test_holds_of_many_keys_and_users_in_one_batch(
    rows: Rows, ada: int, put_account: PutAccount, put_hold: PutHold, record: Record, found: Found
) -> None:
    """Each takes from its own; balances and what is held move together, once for each account."""
    bob = put_account("bob", "10")
    put_hold("a", "1", account_id=ada, expires_at=NOON + timedelta(days=10_000))
    put_hold("b", "2", account_id=bob, user_id="bob", expires_at=NOON + timedelta(days=10_000))
    put_hold("c", "3", account_id=bob, user_id="bob", expires_at=NOON + timedelta(days=10_000))
    record(
        event(hold_key="b", user_id="bob", price_chf="0.5"),
        event(hold_key="a", price_chf="0.25"),
        event(hold_key="c", user_id="bob", price_chf="0.75", hold_final=False),
        event(hold_key="d", price_chf="0.125"),
        event(price_chf="1"),
    )
    assert [found(key)["state"] for key in "abcd"] == ["CAPTURED", "CAPTURED", "OPEN", "CAPTURED"]
    assert account(rows, ada) == ("8.62", "0.00")
    assert account(rows, bob) == ("8.75", "2.25")


def test_a_pool_is_freed_of_its_users_holds(rows: Rows, put_settings: PutSettings, put_account: PutAccount, put_hold: PutHold, use: Use) -> None:
    """Under PREPAY_MANDATE the pool holds for everybody."""
    put_settings("acme", BillingModel.PREPAY_MANDATE, users=["ada"])
    pool = put_account(None, "10")
    put_hold(amount="1", account_id=pool)
    use("0.25")
    assert account(rows, pool) == ("9.75", "0.00")


def test_under_unlimited_a_hold_is_captured_all_the_same(put_settings: PutSettings, put_hold: PutHold, found: Found, use: Use) -> None:
    """It is held of no account."""
    put_settings("acme", BillingModel.UNLIMITED, users=["ada"])
    put_hold(amount="1")
    use("0.25")
    assert (found()["state"], found()["captured"], found()["released"]) == ("CAPTURED", Decimal("0.25"), Decimal("0.75"))


def test_a_parked_event_captures_by_when_it_came(
    rows: Rows, database: Database, config: Configuration, put_mandate: PutMandate, put_hold: PutHold, found: Found, record: Record
) -> None:
    """Its hold doesn't end while it is parked, whatever the clock says; one that had ended before it came is over."""
    record(event(hold_key="in-time"), event(hold_key="too-late"))
    (came,) = rows("SELECT DISTINCT received_at FROM parked_events WHERE hold_key IS NOT NULL")
    put_hold("in-time", authorised_at=came["received_at"] - timedelta(hours=1), expires_at=came["received_at"] + timedelta(microseconds=1))
    put_hold("too-late", authorised_at=came["received_at"] - timedelta(hours=1), expires_at=came["received_at"])
    put_mandate("acme", users=["ada"])
    assert release_all_parked(database, config=config, worker="test").outcomes == [Outcome.RECORDED, Outcome.RECORDED]
    assert (found("in-time")["state"], found("in-time")["captured"]) == ("CAPTURED", Decimal("0.25"))
    assert (found("too-late")["state"], found("too-late")["late_count"]) == ("EXPIRED", 1)


def test_parked_events_of_one_hold_are_each_judged_by_when_they_came(
    rows: Rows, database: Database, config: Configuration, put_mandate: PutMandate, put_hold: PutHold, found: Found, record: Record
) -> None:
    """As if they were released one by one: the second came once the hold had ended."""
    record(event(hold_key="call-1", hold_final=False, event_id="a"))
    record(event(hold_key="call-1", event_id="b"))
    first, second = (row["received_at"] for row in rows("SELECT received_at FROM parked_events ORDER BY event_id"))
    assert first < second
    put_hold(authorised_at=first - timedelta(hours=1), expires_at=second)
    put_mandate("acme", users=["ada"])
    release_all_parked(database, config=config, worker="test")
    hold = found()
    assert (hold["state"], hold["captured"], hold["expired"], hold["late_count"]) == ("EXPIRED", Decimal("0.25"), Decimal("0.75"), 1)


def test_a_parked_event_of_another_user_keeps_no_hold(rows: Rows, database: Database, put_hold: PutHold, found: Found, record: Record) -> None:
    """The hold ends as if there were none; one of its own user keeps it."""
    record(event(hold_key="of-ada"), event(hold_key="of-bob"))
    came = rows("SELECT received_at FROM parked_events LIMIT 1")[0]["received_at"]
    times = {"authorised_at": came - timedelta(hours=1), "expires_at": came + timedelta(milliseconds=1)}
    put_hold("of-ada", **times)
    put_hold("of-bob", user_id="bob", **times)
    assert expire_holds(database, clock=came + timedelta(hours=1)) == 1
    assert (found("of-ada")["state"], found("of-bob")["state"]) == ("OPEN", "EXPIRED")


def test_two_batches_that_bring_one_new_key_are_both_recorded(
    rows: Rows, ada: int, database: Database, config: Configuration, found: Found, record: Record
) -> None:
    """The second waits for the first, and then finds what that has written; nothing of it is taken back."""
    worker = ThreadPoolExecutor(1)
    first = read_events([raw(event(hold_key="call-1", price_chf="1"))])
    with database.transaction() as connection:
        settle_batch(connection, first, settle, config=config, known_accounts=KnownAccounts(), worker="first")
        second = worker.submit(record, event(hold_key="call-1", price_chf="2"), event(price_chf="4"), known_accounts=KnownAccounts())
        while not rows("SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"):
            assert not second.done(), second.exception()
    assert second.result(timeout=30).outcomes == [Outcome.RECORDED, Outcome.RECORDED]
    assert (found()["use_count"], found()["used"], found()["late_count"]) == (2, 3, 1)
    assert account(rows, ada) == ("3.00", "0.00")
