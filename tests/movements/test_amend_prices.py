"""A wrongly priced day: amended under one key, in parts, resumable, and taken back to the last centime."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements import amend_prices as amend_prices_module
from core.movements import amended_prices as prices_module
from core.movements.amend_prices import amend_prices, check_prices
from core.movements.amended_prices import PriceTotals
from core.movements.new_price import NewPrice
from core.movements.revert_prices import Reverting, revert_prices
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
Amend = Callable[..., list[PriceTotals]]
DAY = 12  # events per mandate


@pytest.fixture
def day(put_settings: PutSettings, record: Record) -> list[NewPrice]:
    """A day of two mandates at 0.5 each, whose right price is 0.01 times the number of the event."""
    put_settings("acme", users=["ada", "bob"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada", "bob"])
    events = [
        event(mandate_id=mandate, event_id=f"e{n:02}", user_id=("ada", "bob")[n % 2], price_chf="0.5", model="m", usage={"input_tokens": n})
        for mandate in ("pool", "acme")
        for n in range(1, DAY + 1)
    ]
    record(*events)
    return [
        NewPrice.read({"mandate_id": e["mandate_id"], "event_id": e["event_id"], "price_chf": f"0.{i % DAY + 1:02}"}) for i, e in enumerate(events)
    ]


@pytest.fixture
def amend(database: Database, day: list[NewPrice], monkeypatch: pytest.MonkeyPatch) -> Amend:
    """Amends the day in parts of five events."""
    monkeypatch.setattr(prices_module, "EVENTS_MAX", 5)
    monkeypatch.setattr("core.movements.revert_prices.EVENTS_MAX", 5)

    def call(prices: list[NewPrice] = day, *, key: str = "k", database: Database = database) -> list[PriceTotals]:
        return amend_prices(database, ROOT, prices, key=key, by="olga", worker="test")

    return call


@pytest.fixture
def revert(database: Database) -> Callable[..., list[PriceTotals]]:
    """Reverts what was amended under a key."""

    def call(key: str = "k", *, dry_run: bool = False) -> list[PriceTotals]:
        return revert_prices(database, ROOT, Reverting(key, "olga", "test", dry_run))

    return call


def amendments(rows: Rows) -> int:
    """How many amendments there are."""
    return int(rows("SELECT count(*) AS n FROM amendments")[0]["n"])


RIGHT = sum(Decimal(n) / 100 for n in range(1, DAY + 1))


def test_a_day_is_set_right_and_taken_back(amend: Amend, revert: Amend, rows: Rows, balances: Balances, breaches: Breaches) -> None:
    """Totals per mandate are exact, balances follow, tokens and days stay, and the revert restores every balance."""
    before = balances()
    acme, pool = amend()
    assert (acme.mandate_id, acme.events, acme.amended, acme.unchanged, acme.repeated) == ("acme", DAY, DAY, 0, False)
    assert (acme.before, acme.after) == (DAY * Decimal("0.5"), RIGHT) == (pool.before, pool.after)
    assert balances()["pool", None] == -RIGHT
    assert sum(balances()["acme", user] for user in ("ada", "bob")) == 20 - RIGHT
    debits = rows("SELECT event_id, amount, model, input_tokens, operation_key FROM transactions WHERE reference_type = 'AMENDMENT' AND amount < 0.5")
    assert {(d["model"], d["operation_key"]) for d in debits} == {("m", "k")}
    assert all(d["amount"] == Decimal(d["input_tokens"]) / 100 for d in debits)
    assert breaches() == {}
    back = revert()
    assert [(t.mandate_id, t.events, t.amended, t.before, t.after) for t in back] == [
        (m, DAY, DAY, RIGHT, DAY * Decimal("0.5")) for m in ("acme", "pool")
    ]
    assert balances() == before
    assert [t.amended for t in revert()] == [0, 0]
    assert balances() == before
    assert breaches() == {}


def test_the_same_key_and_prices_again_change_nothing(
    amend: Amend, day: list[NewPrice], rows: Rows, balances: Balances, database: Database, breaches: Breaches
) -> None:
    """A replay gets the same totals, also after later amendments; other prices under the key are a conflict."""
    first = amend()
    other = [price.model_copy(update={"price_chf": Decimal(1)}) for price in day]
    with pytest.raises(Conflict, match="'k' was used for another amend_prices"):
        amend(other)
    amend(other, key="k2")
    after = balances()
    again = amend()
    assert [(t.amended, t.before, t.after, t.repeated) for t in again] == [(t.amended, t.before, t.after, True) for t in first]
    assert balances() == after
    assert amendments(rows) == 4 * DAY
    assert breaches() == {}


def test_what_costs_that_much_already_stays(amend: Amend, day: list[NewPrice], rows: Rows, breaches: Breaches) -> None:
    """An event at its right price is counted as unchanged and gets no entries."""
    same = [price.model_copy(update={"price_chf": Decimal("0.500000000")}) for price in day[:3]]
    (pool,) = amend(same)
    assert (pool.amended, pool.unchanged, pool.before) == (0, 3, Decimal(0))
    assert amendments(rows) == 0
    assert breaches() == {}


def test_a_check_writes_nothing_and_says_what_will_be(amend: Amend, day: list[NewPrice], database: Database, rows: Rows) -> None:
    """Its totals are those of the amendment; what stands in the way is named."""
    tables = ("amendments", "transactions", "operation_keys", "accounts", "batches")
    before = [rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    checked = check_prices(database, ROOT, day, key="k")
    assert [rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before
    done = amend()
    assert [(t.events, t.amended, t.before, t.after, t.problems) for t in checked] == [(t.events, t.amended, t.before, t.after, []) for t in done]
    assert [(t.amended, t.before, t.after) for t in check_prices(database, ROOT, day, key="k")] == [(t.amended, t.before, t.after) for t in done]
    (usage,) = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW' AND event_id = 'e01' AND mandate_id = 'acme'")
    assert usage
    rows(
        "INSERT INTO refunds (mandate_id, refund_transaction_id, transaction_id, amount) SELECT 'acme', 1, debit_id, 0.01 FROM amendments"
        " WHERE mandate_id = 'acme' AND event_id = 'e01'"
    )
    unknown = NewPrice.read({"mandate_id": "acme", "event_id": "nobody", "price_chf": "1"})
    (acme, _) = check_prices(database, ROOT, [unknown, *[p.model_copy(update={"price_chf": Decimal(9)}) for p in day]], key="k2")
    assert (acme.events, acme.amended, len(acme.problems)) == (DAY + 1, DAY - 1, 2)
    assert "event 'e01' of mandate 'acme' has refunds" in acme.problems[0]
    assert acme.problems[1] == "event_id: event 'nobody' of mandate 'acme' is not recorded"


def test_an_interrupted_run_goes_on_where_it_stopped(
    amend: Amend, rows: Rows, balances: Balances, breaches: Breaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash in the middle the same call completes, each event is amended once, and the totals are those of the whole."""
    from core.movements.amend import amend as real

    calls: list[object] = []

    def crashing(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise RuntimeError("crashed")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(amend_prices_module, "amend", crashing)
    with pytest.raises(RuntimeError, match="crashed"):
        amend()
    assert amendments(rows) == 10
    assert breaches() == {}
    acme, pool = amend()
    assert (acme.amended, acme.after, pool.amended, pool.after) == (DAY, RIGHT, DAY, RIGHT)
    assert amendments(rows) == 2 * DAY
    assert balances()["pool", None] == -RIGHT
    assert breaches() == {}


def test_two_runs_at_once_amend_each_event_once(
    amend: Amend, connect: Callable[[], Database], record: Record, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """The same command twice at the same moment, beside usage of the same accounts: nobody is stuck, nothing is doubled."""
    live = [event(mandate_id="pool", user_id="ada", price_chf="0.01") for _ in range(50)]
    at_once(
        *[partial(amend, database=connect()) for _ in range(3)],
        *[partial(record, *live[n::2], database=connect()) for n in range(2)],
    )
    assert amendments(rows) == 2 * DAY
    assert balances()["pool", None] == -RIGHT - Decimal("0.5")
    assert breaches() == {}


def test_a_revert_leaves_alone_what_came_after(
    amend: Amend, revert: Amend, day: list[NewPrice], rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """An event that was amended again keeps that; the others get their price of before, and a reverted key is used up."""
    amend()
    amend([day[0].model_copy(update={"price_chf": Decimal(7)})], key="k2")
    dry = revert(dry_run=True)
    assert [(t.amended, len(t.problems)) for t in dry] == [(DAY, 0), (DAY - 1, 1)]
    assert amendments(rows) == 2 * DAY + 1
    acme, pool = revert()
    assert (acme.amended, pool.amended) == (DAY, DAY - 1)
    assert pool.problems == ["event_id: event 'e01' of mandate 'pool' was amended again since then"]
    assert balances()["pool", None] == -7 - (DAY - 1) * Decimal("0.5")
    with pytest.raises(NotFound, match="no prices were amended under 'k3'"):
        revert("k3")
    with pytest.raises(Conflict, match="key: 'k' was reverted for mandate 'acme': amend under a new one"):
        amend()
    assert breaches() == {}


def test_a_reverted_key_that_was_not_complete_can_not_go_on(
    amend: Amend, revert: Amend, day: list[NewPrice], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was interrupted and reverted is over: the same command is refused instead of amending the rest."""
    with monkeypatch.context() as patched:
        patched.setattr(amend_prices_module, "_finish", lambda *_: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception):
            amend()
    revert()
    with pytest.raises(Conflict, match="'k' was reverted for mandate 'acme'"):
        amend()


def test_wrong_requests_are_named(amend: Amend, day: list[NewPrice], rows: Rows) -> None:
    """An event twice, one that isn't recorded, a key that is none: the error says which, and nothing is amended."""
    with pytest.raises(RequestRefused, match="event 'e01' of mandate 'pool' is named twice"):
        amend([*day, day[0]])
    with pytest.raises(RequestRefused, match="event 'nobody' of mandate 'acme' is not recorded"):
        amend([NewPrice.read({"mandate_id": "acme", "event_id": "nobody", "price_chf": "1"})])
    with pytest.raises(RequestRefused, match="key: 'a\\\\x1fb' is not 1 to 128"):
        amend(key="a\x1fb")
    assert amendments(rows) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"price_chf": "-1"}, "price_chf: '-1' is negative"),
        ({"price_chf": "NaN"}, "price_chf: 'NaN' is not a plain decimal number"),
        ({"price_chf": "1000001"}, "price_chf: '1000001' is above 1000000 CHF"),
        ({"event_id": ""}, "event_id: ''"),
        ({"mandate_id": "a\nb"}, "mandate_id: 'a\\\\nb' has a control character"),
        ({"cost": "1"}, "'cost': is none of mandate_id, event_id, price_chf"),
    ],
)
def test_a_wrong_price_is_named(fields: dict[str, object], problem: str) -> None:
    """Field and value of whatever is wrong; a price is read as a producer's is."""
    with pytest.raises(RequestRefused, match=problem):
        NewPrice.read({"mandate_id": "acme", "event_id": "e", "price_chf": "1", **fields})
