"""Setting, changing and removing caps: what they count from when, and what is told."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.asking.rights import ROOT
from core.billing import CapAction, CapScope
from core.caps.read import cap, list_caps
from core.caps.remove_cap import CapRemoval, remove_cap
from core.caps.set_cap import CAPS_MAX, CapDone, NewCap
from core.database.database import Database
from core.errors import NotFound, RequestRefused
from core.ledger.opening import KnownAccounts
from tests.books.threads import at_once
from tests.caps.scene import Counted, SetCap, counted, put_cap
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["counted", "put_cap"]
TOKEN = "SELECT caps_token FROM billing_settings WHERE mandate_id = 'acme'"
TOLD = "SELECT cap_id, user_id, share, recovered, spent_after FROM cap_alerts ORDER BY id"
EVER = date(1, 1, 1)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
Remove = Callable[[int], Any]


@pytest.fixture
def remove(database: Database) -> Remove:
    """Removes a cap of acme, as olga."""
    return lambda cap_id: remove_cap(database, ROOT, CapRemoval.read({"mandate_id": "acme", "cap_id": cap_id, "by": "olga"}))


def day_of(moment: datetime) -> date:
    """The local day in UTC."""
    return moment.astimezone(UTC).date()


def test_a_cap_is_set_once_and_changed_in_place(put_cap: SetCap, put_settings: PutSettings, rows: Rows) -> None:
    """Again the same changes nothing, not even the token; another limit, action or shares change it under its id and its windows."""
    put_settings()
    first = put_cap("5", user_id="ada")
    assert (first.done, first.cap.scope, first.cap.limit_chf, first.cap.shares, first.cap.created_by) == (
        CapDone.CREATED, CapScope.USER, Decimal(5), [50, 80, 100], "olga",
    )  # fmt: skip
    (token,) = rows(TOKEN)
    assert token["caps_token"] is not None
    assert put_cap("5.000000000", user_id="ada").done is CapDone.UNCHANGED
    assert rows(TOKEN) == [token]
    changed = put_cap("6", user_id="ada", action="ALERT", shares=[90, 30, 90])
    assert (changed.done, changed.cap.id, changed.cap.limit_chf, changed.cap.action) == (CapDone.CHANGED, first.cap.id, Decimal(6), CapAction.ALERT)
    assert (changed.cap.shares, changed.cap.changed_by, changed.cap.first_day) == ([30, 90], "olga", first.cap.first_day)
    assert rows(TOKEN) != [token]
    others = [put_cap("5"), put_cap("5", scope="EACH_USER"), put_cap("5", user_id="ada", dimension="model", value="gpt"), put_cap("5", "WEEK")]
    assert len({one.cap.id for one in (first, *others)}) == 5
    assert {one.done for one in others} == {CapDone.CREATED}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"scope": "USER"}, "user_id"),
        ({"scope": "ALL", "user_id": "ada"}, "user_id"),
        ({"scope": "EACH_USER", "user_id": "ada"}, "user_id"),
        ({"dimension": "model"}, "dimension"),
        ({"value": "gpt"}, "value"),
        ({"dimension": "colour", "value": "red"}, "dimension"),
        ({"action": "ALERT", "shares": []}, "shares"),
        ({"shares": [0]}, "shares.0"),
        ({"shares": [1001]}, "shares.0"),
        ({"period": "YEAR"}, "period"),
        ({"limit_chf": "-1"}, "limit_chf"),
        ({"limit_chf": 0.5}, "limit_chf"),
        ({"limit_chf": "1.0000000001"}, "limit_chf"),
        ({"by": ""}, "by"),
    ],
)
def test_what_contradicts_itself_is_refused(put_cap: SetCap, put_settings: PutSettings, rows: Rows, fields: dict[str, Any], named: str) -> None:
    """With the field and its value, and nothing is written."""
    put_settings()
    with pytest.raises(RequestRefused) as refused:
        put_cap(**{"period": "DAY", **fields})
    assert refused.value.field == named
    assert rows("SELECT FROM caps") == []


def test_a_mandate_without_settings_has_no_caps(put_cap: SetCap) -> None:
    """It is told so, and nothing is opened."""
    with pytest.raises(NotFound, match="has no billing settings"):
        put_cap()


def test_a_mandate_has_so_many_caps_at_most(put_cap: SetCap, put_settings: PutSettings, rows: Rows, remove: Remove) -> None:
    """One more is refused; where one is removed there is room again."""
    put_settings()
    rows(
        """INSERT INTO caps (mandate_id, scope, user_id, period, limit_chf, action, first_day, created_by)
           SELECT 'acme', 'USER', 'user-' || n, 'DAY', 1, 'REFUSE', '2026-01-01', 'test' FROM generate_series(1, :n) AS n""",
        n=CAPS_MAX,
    )
    with pytest.raises(RequestRefused, match="as many as a mandate may have"):
        put_cap()
    remove(rows("SELECT min(id) AS id FROM caps")[0]["id"])
    assert put_cap().done is CapDone.CREATED


def test_a_new_cap_counts_its_running_window(
    put_cap: SetCap, put_settings: PutSettings, record: Record, counted: Counted, rows: Rows, breaches: Breaches
) -> None:
    """A total all that ever was, a day its day; a user's, a model's and each user's are told apart; late events of before stand nowhere."""
    put_settings(users=["ada", "bob"])
    now = datetime.now(UTC)
    today, long_ago = now - timedelta(seconds=1), now - timedelta(days=40)
    record(
        event(price_chf="1", occurred_at=today.isoformat(), model="gpt"),
        event(price_chf="2", occurred_at=today.isoformat(), user_id="bob"),
        event(price_chf="4", occurred_at=long_ago.isoformat()),
    )
    total, of_ada = put_cap("100", "TOTAL").cap.id, put_cap("100", "TOTAL", user_id="ada").cap.id
    each, of_model = put_cap("100", scope="EACH_USER").cap, put_cap("100", "TOTAL", dimension="model", value="gpt").cap.id
    day = each.first_day
    expected = {(total, "", EVER): 7, (of_ada, "ada", EVER): 5, (of_model, "", EVER): 1}
    if day_of(today) == day:  # midnight hasn't passed since
        expected |= {(each.id, "ada", day): 1, (each.id, "bob", day): 2}
    assert {key: spent for key, (spent, _) in counted().items()} == expected
    record(event(price_chf="8", occurred_at=long_ago.isoformat()))
    expected |= {(total, "", EVER): 15, (of_ada, "ada", EVER): 13}
    assert {key: spent for key, (spent, _) in counted().items()} == expected
    assert breaches() == {}


def test_a_new_cap_counts_open_holds(put_cap: SetCap, put_settings: PutSettings, counted: Counted, rows: Rows) -> None:
    """What they keep still, in the window of their authorisation; settled ones not."""
    put_settings()
    hold = """INSERT INTO holds (mandate_id, hold_key, user_id, amount, captured, released, state, settled_at, local_date, authorised_at, expires_at)
              VALUES ('acme', :key, 'ada', 5, :captured, :released, :state, :settled, :day, now(), now() + interval '1 hour')"""
    day = day_of(NOON)
    rows(hold, key="open", captured=2, released=0, state="OPEN", settled=None, day=day)
    rows(hold, key="before", captured=0, released=0, state="OPEN", settled=None, day=day - timedelta(days=1))
    rows(hold, key="done", captured=2, released=3, state="CAPTURED", settled=NOON, day=day)
    cap_id = put_cap(clock=NOON).cap.id
    assert counted() == {(cap_id, "", day): (Decimal(0), Decimal(3))}


@pytest.mark.parametrize(
    ("period", "clock", "zone", "first_day"),
    [
        ("DAY", "2026-03-29T22:30:00Z", "Europe/Zurich", date(2026, 3, 30)),
        ("DAY", "2026-03-29T21:30:00Z", "Europe/Zurich", date(2026, 3, 29)),
        ("WEEK", "2027-01-01T12:00:00Z", "UTC", date(2026, 12, 28)),
        ("MONTH", "2026-12-31T12:00:00Z", "Pacific/Kiritimati", date(2027, 1, 1)),
        ("MONTH", "2028-02-29T12:00:00Z", "UTC", date(2028, 2, 1)),
        ("TOTAL", "2026-05-05T12:00:00Z", "UTC", EVER),
    ],
)
def test_a_cap_counts_from_its_running_window_on(
    put_cap: SetCap, put_settings: PutSettings, period: str, clock: str, zone: str, first_day: date
) -> None:
    """By the mandate's local day, on days of a clock change and over the ends of years and months."""
    put_settings(time_zone=zone)
    assert put_cap("1", period, clock=datetime.fromisoformat(clock)).cap.first_day == first_day


def test_another_zone_moves_no_entry(
    put_cap: SetCap, put_settings: PutSettings, record: Record, rows: Rows, change: Callable[..., Any], counted: Counted, breaches: Breaches
) -> None:
    """What was recorded stays in its window, what comes is counted by its own local day, whichever zone that is of."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    cap_id = put_cap("100", "TOTAL").cap.id
    each = put_cap("100", scope="EACH_USER").cap
    record(event(price_chf="1", occurred_at=datetime.now(UTC).isoformat()))
    before = counted()
    assert {key: spent for key, (spent, _) in before.items()} == {(cap_id, "", EVER): 1, (each.id, "ada", each.first_day): 1}
    change(time_zone="Pacific/Pago_Pago")  # 25 hours behind: a day earlier, or two, from which on the cap now counts
    record(event(price_chf="2", occurred_at=datetime.now(UTC).isoformat()))
    earlier = datetime.now(ZoneInfo("Pacific/Pago_Pago")).date()
    of_each = {(each.id, "ada", each.first_day): 1, (each.id, "ada", earlier): 2}
    assert {key: spent for key, (spent, _) in counted().items()} == {(cap_id, "", EVER): 3, **of_each}
    assert breaches() == {}


def test_what_a_new_cap_or_limit_reaches_is_told_once(put_cap: SetCap, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """Set over usage of 6: 50 % of 10. Lowered to 7: 80 %. Raised to 20: both are left. Lowered again: nothing is told twice."""
    put_settings(users=["ada"])
    record(event(price_chf="6"))

    def set_to(limit: str) -> list[tuple[int, bool]]:
        already = len(rows(TOLD))
        put_cap(limit, "TOTAL")
        return [(row["share"], row["recovered"]) for row in rows(TOLD)[already:]]

    assert set_to("10") == [(50, False)]
    assert set_to("7") == [(80, False)]
    assert set_to("20") == [(50, True), (80, True)]
    assert set_to("7") == []
    assert set_to("6") == [(100, False)]
    assert {(row["user_id"], row["spent_after"]) for row in rows(TOLD)} == {("", Decimal(6))}


def test_a_share_that_is_new_and_reached_is_told(put_cap: SetCap, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """One that goes is not told as left."""
    put_settings(users=["ada"])
    put_cap("10", "TOTAL", scope="EACH_USER", shares=[50])
    record(event(price_chf="6"))
    put_cap("10", "TOTAL", scope="EACH_USER", shares=[60, 90])
    assert [(row["user_id"], row["share"], row["recovered"]) for row in rows(TOLD)] == [("ada", 50, False), ("ada", 60, False)]


def test_a_removed_cap_counts_no_more_and_a_new_one_anew(
    put_cap: SetCap, remove: Remove, put_settings: PutSettings, record: Record, counted: Counted, rows: Rows, database: Database, breaches: Breaches
) -> None:
    """Its counter stays as it was; the mandate has no token where no cap is left; the new one has counted what came in between."""
    put_settings(users=["ada"])
    old = put_cap("100", "TOTAL").cap.id
    record(event(price_chf="1"))
    gone = remove(old)
    assert (gone.id, gone.removed_by) == (old, "olga")
    assert remove(old) == gone
    assert rows(TOKEN) == [{"caps_token": None}]
    record(event(price_chf="2"))
    new = put_cap("100", "TOTAL").cap.id
    record(event(price_chf="4"))
    assert {key[0]: spent for key, (spent, _) in counted().items()} == {old: 1, new: 7}
    assert [one.id for one in list_caps(database, ROOT, ["acme"])] == [new]
    assert [one.id for one in list_caps(database, ROOT, ["acme"], removed=True)] == [old, new]
    assert breaches() == {}
    with pytest.raises(NotFound, match="has no cap 4711"):
        remove(4711)


def test_two_who_set_the_same_at_once_make_one_cap(put_cap: SetCap, put_settings: PutSettings, connect: Callable[[], Database], rows: Rows) -> None:
    """One creates it, the others find it; of different limits the last one stands."""
    put_settings()
    done = at_once(*[lambda: put_cap("5", "TOTAL", database=connect()).done for _ in range(4)])
    assert sorted(done) == ["CREATED", "UNCHANGED", "UNCHANGED", "UNCHANGED"]
    at_once(*[lambda limit=limit: put_cap(limit, "TOTAL", database=connect()) for limit in ("6", "7")])
    (kept,) = rows("SELECT limit_chf FROM caps")
    assert kept["limit_chf"] in (6, 7)


def test_caps_set_while_usage_is_recorded_miss_nothing(
    put_cap: SetCap, remove: Remove, put_settings: PutSettings, record: Record, connect: Callable[[], Database], breaches: Breaches, counted: Counted
) -> None:
    """Recorders of this and another process know new caps from their next batch on; whatever came before was counted by who set them."""
    put_settings(users=["ada", "bob"])
    record(event(), event(user_id="bob"))

    def use(user_id: str) -> None:
        database, known = connect(), KnownAccounts()
        for _ in range(25):
            events = event(user_id=user_id, price_chf="1"), event(user_id="ada", price_chf="1", model="gpt")
            record(*events, database=database, known_accounts=known)

    def set_them() -> None:
        database = connect()
        for turn in range(12):
            put_cap(str(10 + turn), "TOTAL", database=database, scope="EACH_USER")
            one = put_cap("100", "TOTAL", database=database, dimension="model", value="gpt").cap.id
            if turn % 2:
                remove(one)

    at_once(lambda: use("ada"), lambda: use("bob"), set_them)
    put_cap("100", "TOTAL", dimension="model", value="gpt")
    assert breaches() == {}
    by_user = {key[1]: spent for key, (spent, _) in counted().items() if key[1]}
    assert by_user == {"ada": Decimal("75.25"), "bob": Decimal("25.25")}


def test_a_cap_shows_its_present_windows(put_cap: SetCap, put_settings: PutSettings, record: Record, database: Database) -> None:
    """Most spent first, with what is left, as a part of the limit, and when the next one begins."""
    put_settings(users=["ada", "bob"])
    own = put_cap("3", "TOTAL", scope="EACH_USER").cap
    record(event(price_chf="1"), event(price_chf="3.5", user_id="bob"))
    found = cap(database, ROOT, "acme", own.id)
    assert found.cap == own
    assert [(w.user_id, w.spent, w.left, w.percent, w.reached, w.opens_at) for w in found.windows] == [
        ("bob", Decimal("3.5"), Decimal(0), Decimal("116.66"), True, None),
        ("ada", Decimal(1), Decimal(2), Decimal("33.33"), False, None),
    ]
    nothing = put_cap("0", "DAY", user_id="eve").cap.id
    (window,) = cap(database, ROOT, "acme", nothing).windows
    assert (window.user_id, window.spent, window.left, window.percent, window.reached) == ("eve", Decimal(0), Decimal(0), None, True)
    assert window.window_end is not None
    assert window.opens_at == datetime.combine(window.window_end, datetime.min.time(), UTC)
    with pytest.raises(NotFound, match="has no cap"):
        cap(database, ROOT, "acme", 4711)


def test_a_request_is_read_strictly() -> None:
    """A field that there is none of is named."""
    with pytest.raises(RequestRefused, match="colour: is not a field of this request"):
        NewCap.read({"mandate_id": "acme", "by": "olga", "limit_chf": "1", "period": "DAY", "colour": "red"})
