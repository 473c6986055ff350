"""What corrections do to the counters of caps: amendments move those of their day, refunds none, an import those of its history."""

from collections.abc import Callable
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.accept_conflict import accept_conflict
from core.importing.files import find_book_files
from core.importing.import_books import import_books
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.revert_prices import Reverting, revert_prices
from tests.caps.scene import Counted, SetCap, counted, put_cap
from tests.conftest import Record, Rows
from tests.sample_events import OCCURRED_AT, event
from tests.scene import Breaches, PutSettings

__all__ = ["counted", "put_cap"]
EVER = date(1, 1, 1)
DAY = OCCURRED_AT.astimezone(UTC).date()
BEFORE = OCCURRED_AT - timedelta(days=3)
Spent = Callable[[], dict[tuple[int, str, date], Decimal]]
Amend = Callable[..., Any]


@pytest.fixture
def spent(counted: Counted) -> Spent:
    """Reads what is spent of every counter that isn't 0."""
    return lambda: {key: amount for key, (amount, _) in counted().items() if amount}


@pytest.fixture
def amend(database: Database) -> Amend:
    """Amends events of acme, by id, to these prices under a key."""

    def call(key: str, **prices: str) -> Any:
        asked = [NewPrice.read({"mandate_id": "acme", "event_id": event_id, "price_chf": price}) for event_id, price in prices.items()]
        return amend_prices(database, ROOT, asked, key=key, by="olga", worker="test")

    return call


def test_amended_prices_move_the_counter_of_their_own_day(
    put_cap: SetCap, put_settings: PutSettings, record: Record, amend: Amend, spent: Spent, database: Database, breaches: Breaches
) -> None:
    """By the difference, whatever day it is by now, and as often as they are amended; a revert takes it back."""
    put_settings(users=["ada", "bob"])
    day = put_cap("100", "DAY", clock=BEFORE).cap.id
    each = put_cap("100", "TOTAL", scope="EACH_USER", dimension="model", value="gpt").cap.id
    record(
        event(event_id="old", price_chf="1", model="gpt", occurred_at=BEFORE.isoformat()),
        event(event_id="new", price_chf="2", user_id="bob"),
        event(event_id="same", price_chf="4", model="gpt"),
    )
    before = {(day, "", BEFORE.date()): 1, (day, "", DAY): 6, (each, "ada", EVER): 5}
    assert spent() == before
    amend("first", old="1.5", new="0.5")
    assert spent() == {(day, "", BEFORE.date()): Decimal("1.5"), (day, "", DAY): Decimal("4.5"), (each, "ada", EVER): Decimal("5.5")}
    assert breaches() == {}
    revert_prices(database, ROOT, Reverting("first", "olga", "test"))
    assert spent() == before
    amend("second", old="0.5")
    amend("third", old="0.25")
    assert spent()[day, "", BEFORE.date()] == Decimal("0.25")
    assert breaches() == {}


def test_an_accepted_conflict_counts_as_what_it_says(
    put_cap: SetCap,
    put_settings: PutSettings,
    record: Record,
    spent: Spent,
    rows: Rows,
    database: Database,
    config: Configuration,
    breaches: Breaches,
) -> None:
    """Taken back under the old user, model and day, and counted under the new ones, by the mandate's zone."""
    put_settings(users=["ada", "bob"], time_zone="Pacific/Auckland")
    day = put_cap("100", "DAY", clock=BEFORE - timedelta(days=1), scope="EACH_USER").cap.id
    models = {name: put_cap("100", "TOTAL", dimension="model", value=name).cap.id for name in ("m1", "m2")}
    noon = BEFORE.replace(hour=12, minute=30)  # already tomorrow in Auckland
    first = event(event_id="e1", price_chf="2", model="m1", occurred_at=(noon - timedelta(hours=13)).isoformat())
    record(first)
    today = noon.date()
    assert spent() == {(day, "ada", today): 2, (models["m1"], "", EVER): 2}
    record({**first, "price_chf": "3", "model": "m2", "user_id": "bob", "occurred_at": noon.isoformat()})
    (letter,) = rows("SELECT id FROM dead_letters")
    accept_conflict(database, ROOT, letter["id"], by="olga", config=config, worker="test")
    assert spent() == {(day, "bob", today + timedelta(days=1)): 3, (models["m2"], "", EVER): 3}
    assert breaches() == {}


def test_amendments_of_days_before_the_cap_stand_nowhere(
    put_cap: SetCap, put_settings: PutSettings, record: Record, amend: Amend, spent: Spent, breaches: Breaches
) -> None:
    """Neither what was nor what is: the counter would be the less for usage that it never had."""
    put_settings(users=["ada"])
    record(event(event_id="old", price_chf="1", occurred_at=BEFORE.isoformat()))
    put_cap("100", "DAY", clock=OCCURRED_AT)
    amend("k", old="0.5")
    assert spent() == {}
    assert breaches() == {}


def test_a_recovery_is_told_once(put_cap: SetCap, put_settings: PutSettings, record: Record, amend: Amend, rows: Rows) -> None:
    """Usage reaches 80 %, an amendment takes it below 50 %, further usage reaches them again: one way there and one back are told."""
    put_settings(users=["ada"])
    put_cap("10", "TOTAL")
    record(event(event_id="e1", price_chf="8"))
    amend("down", e1="4")
    record(event(price_chf="4"))
    amend("again", e1="0")
    told = rows("SELECT share, recovered, spent_before, spent_after, batch_id IS NOT NULL AS in_batch FROM cap_alerts ORDER BY id")
    assert [tuple(row.values()) for row in told] == [
        (50, False, 0, 8, True), (80, False, 0, 8, True), (50, True, 8, 4, True), (80, True, 8, 4, True),
    ]  # fmt: skip


def test_refunds_give_nothing_back(
    put_cap: SetCap, put_settings: PutSettings, record: Record, spent: Spent, rows: Rows, database: Database, breaches: Breaches
) -> None:
    """What was used was used."""
    put_settings(users=["ada"])
    cap_id = put_cap("100", "TOTAL").cap.id
    record(event(price_chf="3"))
    (debit,) = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW'")
    refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": debit["id"], "key": "r", "by": "olga", "amount": "2"}))
    assert spent() == {(cap_id, "", EVER): 3}
    assert breaches() == {}


def test_imported_history_counts_in_windows_that_are_counted(
    put_cap: SetCap, put_settings: PutSettings, record: Record, spent: Spent, database: Database, config: Configuration, tmp_path: Path,
    breaches: Breaches, rows: Rows,
) -> None:  # fmt: skip
    """Usage of before stands in a total, not in days of before the cap; what is no usage stands nowhere; again it counts nothing twice."""
    put_settings(users=["ada", "bob"])
    total, day = put_cap("10", "TOTAL", scope="EACH_USER").cap.id, put_cap("10", "DAY", clock=OCCURRED_AT).cap.id
    record(event(price_chf="1"), event(price_chf="1", user_id="bob"))
    (tmp_path / "transactions.csv").write_text(
        "id,event_id,mandate_id,user_id,transaction_type,reference_type,amount,occurred_at,description,provider,model,input_tokens\n"
        "1,,acme,ada,CREDIT,SYSTEM,20,2024-01-01T00:00:00Z,Initial credit,,,\n"
        "2,e-1,acme,ada,DEBIT,WORKFLOW,4.5,2024-01-02T23:30:00+01:00,,anthropic,claude,100\n"
        "3,e-2,acme,ada,DEBIT,WORKFLOW,0.5,2024-01-02T23:30:00+01:00,,anthropic,claude,100\n"
        f"4,e-3,acme,bob,DEBIT,WORKFLOW,2,{OCCURRED_AT.isoformat()},,,,\n"
        "5,,acme,bob,ADJUSTMENT,ADJUSTMENT,-3,2024-01-03T00:00:00Z,Cash,,,\n"
    )
    for _ in range(2):
        done = import_books(database, ROOT, find_book_files(tmp_path), by="olga", worker="test", config=config)
        assert done.problems == []
        assert spent() == {(total, "ada", EVER): 6, (total, "bob", EVER): 3, (day, "", DAY): 4}
    assert breaches().keys() <= {"I6"}
    assert [(row["user_id"], row["share"]) for row in rows("SELECT user_id, share FROM cap_alerts")] == [("ada", 50)]
