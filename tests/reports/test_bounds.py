"""What bounded an event's call, as it is explained: the hold that it named, and the caps that it counts in."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT, administrator, user
from core.billing import BillingModel
from core.database.database import Database
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.top_up import TopUp, top_up
from core.reports.explain import explain, explain_event
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.holds.scene import PutHold, putting
from tests.ledger.test_held import seen
from tests.reports.priced_scene import call
from tests.scene import PutAccount, PutSettings

__all__ = ["run"]
CHF = Decimal
NOW = datetime.now(UTC)


@pytest.fixture
def put_hold(rows: Rows) -> PutHold:
    """Puts open holds of ada's on account 1, which has 10 CHF."""
    return putting(rows)


@pytest.fixture(autouse=True)
def books(put_settings: PutSettings, put_account: PutAccount) -> None:
    """Ada and bob pay for themselves."""
    put_settings(users=["ada", "bob"])
    put_account("ada", "10")
    put_account("bob", "10")


def put_cap(rows: Rows, scope: str = "ALL", period: str = "DAY", **fields: Any) -> int:
    """The id of a new cap of 5 CHF."""
    columns = {"mandate_id": "acme", "scope": scope, "period": period, "limit_chf": CHF(5), "action": "REFUSE", "first_day": date(1, 1, 1),
               "created_by": "olga", **fields}  # fmt: skip
    places = ", ".join(f":{name}" for name in columns)
    (found,) = rows(f"INSERT INTO caps ({', '.join(columns)}) VALUES ({places}) RETURNING id", **columns)
    return int(found["id"])


def put_counter(rows: Rows, cap_id: int, user_id: str, window: date, spent: str) -> None:
    """So much was spent in the window."""
    rows("INSERT INTO cap_counters (cap_id, user_id, window_start, spent) VALUES (:c, :u, :w, :s)", c=cap_id, u=user_id, w=window, s=CHF(spent))


def test_the_hold_that_an_event_named(database: Database, record: Record, put_hold: PutHold) -> None:
    """0.25 of 1 is captured and the rest released; 3 on 2 captures 2 and is 1 over; what comes later is counted."""
    put_hold("less", "1", account_id=1, authorised_at=NOW, expires_at=NOW + timedelta(hours=23))
    put_hold("more", "2", account_id=1, authorised_at=NOW, expires_at=NOW + timedelta(hours=23))
    record(call(event_id="one", hold_key="less"), call(event_id="two", hold_key="more", price_chf="3"))
    record(call(event_id="three", hold_key="less", price_chf="0.5"))
    less = explain_event(database, ROOT, "acme", "one").hold
    assert less is not None
    assert seen(less.state, less.amount, less.captured, less.released, less.over_hold) == ("CAPTURED", 1, CHF("0.25"), CHF("0.75"), 0)
    assert (less.used, less.use_count, less.late_count) == (CHF("0.75"), 2, 1)
    assert explain_event(database, ROOT, "acme", "three").hold == less
    more = explain_event(database, ROOT, "acme", "two").hold
    assert more is not None
    assert seen(more.state, more.captured, more.released, more.over_hold, more.late_count) == ("CAPTURED", 2, 0, 1, 0)


def test_a_hold_that_nobody_has_authorised(database: Database, record: Record) -> None:
    """The event itself has written one of 0; an event that names none has none."""
    record(call(event_id="one", hold_key="unknown"), call(event_id="two"))
    found = explain_event(database, ROOT, "acme", "one").hold
    assert found is not None
    assert seen(found.hold_key, found.state, found.amount, found.captured, found.use_count) == ("unknown", "CAPTURED", 0, 0, 1)
    assert explain_event(database, ROOT, "acme", "two").hold is None


def test_somebody_elses_hold_is_shown_to_who_sees_both(database: Database, run: Run, record: Record, put_hold: PutHold) -> None:
    """Ada's event named bob's, which stays open: she isn't shown it, the administrator is, with whose it is."""
    put_hold("bobs", "1", account_id=2, user_id="bob", authorised_at=NOW, expires_at=NOW + timedelta(hours=23))
    record(call(event_id="one", hold_key="bobs"))
    for actor in (ROOT, administrator("acme")):
        found = explain_event(database, actor, "acme", "one").hold
        assert found is not None
        assert seen(found.user_id, found.state, found.remaining, found.use_count) == ("bob", "OPEN", 1, 0)
    assert explain_event(database, user("ada"), "acme", "one").hold is None
    assert "another user's, left as it was  bob" in run("explain", "--mandate", "acme", "--event", "one").out


def test_the_caps_that_an_entry_counts_in(database: Database, record: Record, rows: Rows) -> None:
    """Those of today that count its user, model and day, each with what was spent in its window; no other, and none for a payment."""
    record(call(event_id="one"))
    (entry,) = rows("SELECT id, local_date FROM transactions WHERE event_id = 'one'")
    day = entry["local_date"]
    everybody, each = put_cap(rows), put_cap(rows, "EACH_USER", "MONTH", dimension="model", value="gpt", action="ALERT")
    one = put_cap(rows, "USER", "TOTAL", user_id="ada")
    put_cap(rows, "USER", user_id="bob")
    put_cap(rows, dimension="provider", value="other")
    put_cap(rows, "EACH_USER", first_day=day + timedelta(days=1))
    put_cap(rows, "EACH_USER", "WEEK", removed_at=NOW)
    put_counter(rows, everybody, "", day, "1.5")
    put_counter(rows, everybody, "", day - timedelta(days=1), "4")
    put_counter(rows, each, "ada", day.replace(day=1), "0.25")
    put_counter(rows, each, "bob", day.replace(day=1), "1.25")
    shown = [seen(c.cap_id, c.scope, c.window_start, c.spent, c.limit_chf, c.action) for c in explain_event(database, ROOT, "acme", "one").caps]
    assert shown == [
        (everybody, "ALL", day, CHF("1.5"), 5, "REFUSE"),
        (each, "EACH_USER", day.replace(day=1), CHF("0.25"), 5, "ALERT"),
        (one, "USER", date(1, 1, 1), 0, 5, "REFUSE"),
    ]
    assert [c.cap_id for c in explain(database, user("ada"), entry["id"]).caps] == [each, one]  # what all have spent isn't hers to see
    top_up(database, ROOT, TopUp.read({"mandate_id": "acme", "account_id": 1, "amount": "1", "key": "k", "by": "olga"}))
    (paid,) = rows("SELECT id FROM transactions WHERE reference_type = 'PAYMENT'")
    assert explain(database, ROOT, paid["id"]).caps == []


def test_an_amended_event_counts_as_it_stands(database: Database, record: Record, rows: Rows) -> None:
    """Its new debit counts in the caps of its day, the reversal is shown in none."""
    record(call(event_id="one"))
    cap = put_cap(rows, "EACH_USER")
    amend_prices(database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "one", "price_chf": "1.5"})], key="k", by="olga", worker="test")
    amended = rows("SELECT id, transaction_type FROM transactions WHERE reference_type = 'AMENDMENT' ORDER BY id")
    shown = {entry["transaction_type"]: [c.cap_id for c in explain(database, ROOT, entry["id"]).caps] for entry in amended}
    assert shown == {"ADJUSTMENT": [], "DEBIT": [cap]}


def test_people_and_receipts_are_told_too(run: Run, record: Record, rows: Rows, put_hold: PutHold) -> None:
    """Whose balance, which hold, which cap: on the screen, in the receipt, and in JSON with decimals as texts."""
    put_hold("call-7", "1", account_id=1, authorised_at=NOW, expires_at=NOW + timedelta(hours=23))
    cap = put_cap(rows, "EACH_USER")
    record(call(event_id="one", hold_key="call-7"))
    out = " ".join(run("explain", "--mandate", "acme", "--event", "one").out.split())
    for said in (
        "the hold that it named, as it is now:",
        "captured CHF 0.250000000",
        "caps that it counts in:",
        "paid by: ada (account 1)",
        "hold: call-7, CAPTURED: 0.250000000 CHF captured of 1.000000000",
        f"counts in: cap {cap}",
    ):
        assert said in out, said
    document = run("explain", "--mandate", "acme", "--event", "one", "--json").json
    assert (document["hold"]["hold_key"], document["hold"]["captured"], document["caps"][0]["cap_id"]) == ("call-7", "0.250000000", cap)
    told = document["receipt"]
    assert (told["hold"]["released"], told["hold"]["state"], told["caps"][0]["limit_chf"]) == ("0.750000000", "CAPTURED", "5.000000000")


def test_a_pool_pays_and_the_hold_is_the_users(
    database: Database, put_settings: PutSettings, put_account: PutAccount, record: Record, rows: Rows
) -> None:
    """The hold is of the user whose call it was, the balance of the pool."""
    put_settings("globex", BillingModel.PREPAY_MANDATE, users=["ada"])
    pool = put_account(None, "5", mandate_id="globex")
    put_account("ada", mandate_id="globex")
    putting(rows)("k", "2", account_id=pool, mandate_id="globex", authorised_at=NOW, expires_at=NOW + timedelta(hours=23))
    record(call(event_id="one", hold_key="k", mandate_id="globex"))
    found = explain_event(database, user("ada"), "globex", "one")
    assert found.hold is not None
    assert found.balance_account is not None
    assert (found.hold.user_id, found.hold.captured, found.balance_account.id) == ("ada", CHF("0.25"), pool)
    assert seen(found.balance_account.balance, found.balance_account.held, found.balance_account.available) == (CHF("4.75"), 0, CHF("4.75"))
