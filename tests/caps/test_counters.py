"""The counters of caps as batches move them, and how checks and holds judge by them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event as sqlalchemy_event

from core.billing import BillingModel, CapAction, CapDimension, CapPeriod, CapScope
from core.caps.counters import Moved, caps_of, move_counters
from core.caps.judge import lock_counters, read_counters, unjudged
from core.caps.model import Cap, Caps, CounterKey
from core.database.database import Database
from core.ledger.opening import KnownAccounts
from core.money import ZERO
from core.settings.model import BillingSettings
from tests.books.threads import at_once
from tests.caps.test_windows import cap, spending
from tests.conftest import Rows
from tests.scene import PutSettings

DAY = date(2026, 5, 5)
ZONES = {"acme": "Europe/Zurich"}
COUNTERS = "SELECT cap_id, user_id, window_start, spent, held FROM cap_counters ORDER BY 1, 2, 3"
PutCaps = Callable[..., Caps]


@pytest.fixture
def put_caps(rows: Rows) -> PutCaps:
    """Gives acme these caps, beside whatever sets them; their ids are new."""

    def put(*caps: Cap) -> Caps:
        kept = []
        for one in caps:
            (row,) = rows(
                """INSERT INTO caps (mandate_id, scope, user_id, dimension, value, period, limit_chf, action, shares, first_day, created_by)
                   VALUES ('acme', :scope, :user_id, :dimension, :value, :period, :limit, :action, :shares, :first_day, 'test') RETURNING id""",
                scope=one.scope.value,
                user_id=one.user_id,
                dimension=one.dimension.value if one.dimension else "",
                value=one.value,
                period=one.period.value,
                limit=one.limit_chf,
                action=one.action.value,
                shares=list(one.shares),
                first_day=one.first_day,
            )
            kept.append(cap(**{name: getattr(one, name) for name in ("scope", "user_id", "dimension", "value", "period", "limit_chf")},
                            number=row["id"], action=one.action, shares=one.shares, first_day=one.first_day))  # fmt: skip
        rows("UPDATE billing_settings SET caps_token = gen_random_uuid() WHERE mandate_id = 'acme'")
        return Caps(kept)

    return put


@pytest.fixture
def counters(rows: Rows) -> Callable[[], dict[tuple[int, str, date], tuple[Decimal, Decimal]]]:
    """Reads every counter: `{key: (spent, held)}`."""
    return lambda: {CounterKey(r["cap_id"], r["user_id"], r["window_start"]): (r["spent"], r["held"]) for r in rows(COUNTERS)}


def moved(amount: str, held: str = "0", day: date = DAY, **fields: Any) -> Moved:
    """Usage of ada, unless `fields` say otherwise."""
    return Moved(spending(**fields), day, Decimal(amount), Decimal(held))


def move(database: Database, caps: Caps, *changes: Moved, batch_id: int | None = None) -> None:
    """Moves counters in a transaction of its own."""
    with database.transaction() as connection:
        move_counters(connection, {"acme": caps}, changes, batch_id)


def settings(token: Any) -> BillingSettings:
    """Settings of acme with this token."""
    return BillingSettings("acme", BillingModel.PREPAY_USER, ZERO, ZERO, "UTC", 1, block_on_zero_balance=True, caps_token=token)


def test_a_batch_moves_each_counter_once_by_its_sum(database: Database, put_caps: PutCaps, counters: Any, put_settings: PutSettings) -> None:
    """Three events of two users: one counter of all, one of each, and one of what only one of them names."""
    put_settings()
    caps = put_caps(cap(), cap(scope=CapScope.EACH_USER, period=CapPeriod.MONTH), cap(dimension=CapDimension.MODEL, value="gpt"))
    of_all, of_each, of_model = [one.id for one in caps]
    move(database, caps, moved("1"), moved("2", model="gpt"), moved("0.5", user_id="bob"), moved("7", day=DAY + timedelta(days=1)))
    assert counters() == {
        (of_all, "", DAY): (Decimal("3.5"), 0),
        (of_all, "", DAY + timedelta(days=1)): (7, 0),
        (of_each, "ada", date(2026, 5, 1)): (10, 0),
        (of_each, "bob", date(2026, 5, 1)): (Decimal("0.5"), 0),
        (of_model, "", DAY): (2, 0),
    }
    move(database, caps, moved("-3"))
    assert counters()[of_all, "", DAY] == (Decimal("0.5"), 0)


def test_others_and_nothing_move_no_counter(database: Database, put_caps: PutCaps, counters: Any, put_settings: PutSettings) -> None:
    """Usage of a mandate without caps, events of price 0, and what adds up to nothing write no row."""
    put_settings()
    caps = put_caps(cap())
    move(database, caps, Moved(spending()._replace(mandate_id="other"), DAY, Decimal(5)), moved("0"), moved("1"), moved("-1"))
    assert counters() == {}


def test_holds_come_and_go_and_nothing_is_held_below_zero(database: Database, put_caps: PutCaps, counters: Any, put_settings: PutSettings) -> None:
    """What was never counted as held can't be given back; the usage beside it counts all the same."""
    put_settings()
    caps = put_caps(cap())
    key = next(iter(caps)).id, "", DAY
    move(database, caps, moved("0", "3"))
    assert counters() == {key: (0, 3)}
    move(database, caps, moved("2", "-1"))
    assert counters() == {key: (2, 2)}
    move(database, caps, moved("1", "-5"))
    assert counters() == {key: (3, 0)}
    later = DAY + timedelta(days=1)
    move(database, caps, moved("0", "-5", day=later))
    assert counters()[key[0], "", later] == (0, 0)


def test_each_share_is_told_once_and_left_once(database: Database, put_caps: PutCaps, rows: Rows, put_settings: PutSettings) -> None:
    """Up over 50 and 80 %, down below 80 %, up again: the third way is not told a second time; another window is."""
    put_settings()
    caps = put_caps(cap(scope=CapScope.EACH_USER))
    alerts = "SELECT user_id, window_start, share, recovered, spent_before, spent_after, threshold, limit_chf, batch_id FROM cap_alerts ORDER BY id"
    move(database, caps, moved("4.5"), batch_id=7)
    assert rows(alerts) == []
    move(database, caps, moved("4"), batch_id=8)
    told = {"user_id": "ada", "window_start": DAY, "spent_before": Decimal("4.5"), "spent_after": Decimal("8.5"), "limit_chf": 10, "batch_id": 8}
    assert rows(alerts) == [
        {**told, "share": 50, "recovered": False, "threshold": 5},
        {**told, "share": 80, "recovered": False, "threshold": 8},
    ]
    move(database, caps, moved("-1"))
    assert [(row["share"], row["recovered"]) for row in rows(alerts)][2:] == [(80, True)]
    move(database, caps, moved("1"))
    move(database, caps, moved("-1"))
    assert len(rows(alerts)) == 3
    move(database, caps, moved("5", user_id="bob"), moved("5", day=DAY + timedelta(days=1)))
    assert [(row["user_id"], row["window_start"].day, row["share"]) for row in rows(alerts)][3:] == [("ada", 6, 50), ("bob", 5, 50)]


def test_alerts_of_caps_and_of_balances_share_their_ids(database: Database, put_caps: PutCaps, rows: Rows, put_settings: PutSettings) -> None:
    """No two alerts of either kind have one id."""
    put_settings()
    before = rows("SELECT nextval('balance_alerts_id_seq') AS id")[0]["id"]
    move(database, put_caps(cap()), moved("6"))
    assert [row["id"] for row in rows("SELECT id FROM cap_alerts")] == [before + 1]


def test_caps_are_known_by_their_token(database: Database, put_caps: PutCaps, rows: Rows, put_settings: PutSettings) -> None:
    """No token: no statement. A token that is known: none either. Another one: they are read anew, whoever changed them."""
    put_settings()
    known, statements = KnownAccounts(), 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    def asked(token: Any) -> dict[str, Caps]:
        with database.transaction() as connection:
            sqlalchemy_event.listen(connection, "before_cursor_execute", count)
            return caps_of(connection, [settings(token)], known)

    assert (asked(None), statements) == ({}, 0)
    own = put_caps(cap())
    (token,) = [row["caps_token"] for row in rows("SELECT caps_token FROM billing_settings")]
    first = asked(token)
    assert ([one.id for one in first["acme"]], statements) == ([one.id for one in own], 1)
    assert asked(token)["acme"] is first["acme"]
    assert statements == 1
    put_caps(cap(scope=CapScope.EACH_USER))
    (token,) = [row["caps_token"] for row in rows("SELECT caps_token FROM billing_settings")]
    assert (len(asked(token)["acme"].all), statements) == (2, 2)
    known.forget()
    assert (len(asked(token)["acme"].all), statements) == (2, 3)
    assert asked(uuid4())["acme"].all  # what a token says that isn't the present one: the present caps


def test_a_cap_refuses_at_its_limit(database: Database, put_caps: PutCaps, put_settings: PutSettings) -> None:
    """Spent and held together, at the limit exactly; an alerting cap never does; the first by id is named, with when it opens."""
    put_settings()
    caps = put_caps(
        cap(action=CapAction.ALERT, limit_chf=Decimal(1)),
        cap(scope=CapScope.EACH_USER),
        cap(period=CapPeriod.TOTAL, limit_chf=Decimal("9.999999999")),
    )
    _, each, total = caps
    move(database, caps, moved("6"))
    with database.transaction() as connection:
        found = read_counters(connection, [(caps, spending(), DAY), (caps, spending("bob"), DAY)], ZONES, None)
        assert found.refusal(caps, spending(), DAY) is None
        locked = lock_counters(connection, [(caps, spending(), DAY), (caps, spending("bob"), DAY)], ZONES, None)
        locked.hold(caps, spending(), DAY, Decimal("3.999999999"))
        refused = locked.refusal(caps, spending(), DAY)
        assert refused is not None
        assert (refused.cap, refused.user_id, refused.spent, refused.held, refused.opens_at) == (
            total,
            None,
            Decimal(6),
            Decimal("3.999999999"),
            None,
        )
        locked.hold(caps, spending(), DAY, Decimal("0.000000001"))
        refused = locked.refusal(caps, spending(), DAY)
        assert refused is not None
        assert (refused.cap, refused.window_start, refused.opens_at) == (each, DAY, datetime(2026, 5, 5, 22, tzinfo=UTC))
        assert getattr(locked.refusal(caps, spending("bob"), DAY), "cap", None) == total
        locked.save()
    with database.transaction() as connection:
        again = read_counters(connection, [(caps, spending(), DAY)], ZONES, None).refusal(caps, spending(), DAY)
    assert again is not None
    assert (again.cap, again.held) == (each, Decimal(4))


@pytest.mark.parametrize(
    ("zone", "day", "period", "opens"),
    [
        ("Europe/Zurich", date(2026, 3, 28), CapPeriod.DAY, "2026-03-28T23:00:00+00:00"),
        ("Europe/Zurich", date(2026, 3, 29), CapPeriod.DAY, "2026-03-29T22:00:00+00:00"),  # 23 hours long
        ("Europe/Zurich", date(2026, 10, 25), CapPeriod.DAY, "2026-10-25T23:00:00+00:00"),  # 25 hours long
        ("Europe/Zurich", date(2027, 1, 1), CapPeriod.WEEK, "2027-01-03T23:00:00+00:00"),
        ("Pacific/Kiritimati", date(2026, 12, 31), CapPeriod.MONTH, "2026-12-31T10:00:00+00:00"),
        ("Asia/Beirut", date(2023, 3, 25), CapPeriod.DAY, "2023-03-25T22:00:00+00:00"),
        ("America/Santiago", date(2023, 9, 2), CapPeriod.DAY, "2023-09-03T04:00:00+00:00"),  # the next day has no midnight
        ("America/Havana", date(2026, 10, 31), CapPeriod.DAY, "2026-11-01T04:00:00+00:00"),  # the next day has two
    ],
)
def test_a_window_opens_at_the_mandates_midnight(
    zone: str, day: date, period: CapPeriod, opens: str, database: Database, put_caps: PutCaps, put_settings: PutSettings
) -> None:
    """Where midnight comes twice at the first, where there is none when the clocks leap over it."""
    put_settings()
    caps = put_caps(cap(period=period))
    move(database, caps, moved("10", day=day))
    with database.transaction() as connection:
        refused = read_counters(connection, [(caps, spending(), day)], {"acme": zone}, None).refusal(caps, spending(), day)
    assert refused is not None
    assert refused.opens_at == datetime.fromisoformat(opens)


def test_holds_that_are_over_are_not_held(database: Database, put_caps: PutCaps, rows: Rows, put_settings: PutSettings) -> None:
    """From their end by the clock on, in the windows of their own day alone; one whose event is parked stays held."""
    put_settings()
    caps = put_caps(cap(scope=CapScope.EACH_USER), cap(dimension=CapDimension.MODEL, value="gpt"))
    each, of_model = caps
    begun = datetime(2026, 5, 5, 10, tzinfo=UTC)
    holds = {
        "short": (1, "ada", "gpt", DAY),
        "bob": (1, "bob", "gpt", DAY),
        "parked": (1, "ada", None, DAY),
        "old": (1, "ada", None, date(2026, 5, 4)),
    }
    for key, (minutes, user_id, model, day) in {**holds, "long": (60, "ada", "gpt", DAY)}.items():
        rows(
            """INSERT INTO holds (mandate_id, hold_key, user_id, amount, model, local_date, authorised_at, expires_at)
               VALUES ('acme', :key, :user_id, 2, :model, :day, :begun, :end)""",
            key=key, user_id=user_id, model=model, day=day, begun=begun, end=begun + timedelta(minutes=minutes),
        )  # fmt: skip
        move(database, caps, moved("0", "2", day=day, user_id=user_id, model=model))
    rows(
        """INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, received_at, hold_key,
                                      hold_user_id)
           VALUES ('acme', 'e', 'x', 1, '{}', false, 'test', 'unpriced_model', :at, 'parked', 'ada')""",
        at=begun,
    )

    def held(minutes: int) -> dict[int, Decimal]:
        at = begun + timedelta(minutes=minutes)
        asked = spending(model="gpt")
        with database.transaction() as connection:
            found = read_counters(connection, [(caps, asked, DAY)], ZONES, at)._found
        return {key.cap_id: counter.held for key, counter in found.items()}

    assert held(0) == {each.id: 6, of_model.id: 6}
    assert held(1) == {each.id: 4, of_model.id: 2}  # long and parked; long
    assert held(60) == {each.id: 2, of_model.id: 0}


def test_caps_on_what_a_question_does_not_name_are_told(put_caps: PutCaps, put_settings: PutSettings) -> None:
    """Refusing ones that may be about this user; what is named is judged, and alerting ones judge nothing."""
    named = {"dimension": CapDimension.MODEL, "value": "gpt"}
    caps = Caps([cap(1), cap(2, **named), cap(3, **named, action=CapAction.ALERT), cap(4, **named, scope=CapScope.USER, user_id="bob")])
    assert unjudged(caps, spending()) == (2,)
    assert unjudged(caps, spending("bob")) == (2, 4)
    assert unjudged(caps, spending("bob", model="other")) == ()


def test_many_at_once_move_the_same_counters(connect: Callable[[], Database], put_caps: PutCaps, counters: Any, put_settings: PutSettings) -> None:
    """Threads that move, lock and hold the same counters in any order of events lose nothing, and none waits for ever."""
    put_settings()
    caps = put_caps(*[cap(scope=CapScope.EACH_USER, period=period, limit_chf=Decimal(10**6)) for period in CapPeriod], cap(limit_chf=Decimal(10**6)))
    users = [f"user-{n}" for n in range(6)]

    def spend(number: int) -> None:
        database = connect()
        for turn in range(15):
            order = users if (turn + number) % 2 else users[::-1]
            if number % 3 == 0:
                with database.transaction() as connection:
                    locked = lock_counters(connection, [(caps, spending(user), DAY) for user in order], ZONES, None)
                    for user in order:
                        locked.hold(caps, spending(user), DAY, Decimal(1))
                    locked.save()
            move(database, caps, *[moved("0.25", "-1" if number % 3 == 0 else "0", user_id=user) for user in order])

    at_once(*[lambda number=number: spend(number) for number in range(6)])
    found = counters()
    assert len(found) == 4 * 6 + 1
    assert {held for _, held in found.values()} == {0}
    assert {spent for key, (spent, _) in found.items() if key[1]} == {Decimal("0.25") * 15 * 6}
    assert found[caps.all[-1].id, "", DAY] == (Decimal("0.25") * 15 * 6 * 6, 0)
