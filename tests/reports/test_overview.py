"""The overview: what the stored statistics say, added up by hand; and nothing else is read."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from core.asking.rights import ROOT, administrator, user
from core.billing import BillingModel, CapPeriod
from core.caps.set_cap import NewCap, set_cap
from core.database.database import Database
from core.errors import Forbidden, RequestRefused
from core.money import ZERO
from core.periods import PeriodType
from core.reports.overview import Overview, Share, overview
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.reports.priced_scene import COST, PRICE, call, put_prices
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutSettings

Of = Callable[..., Overview]
CLOCK = partial(datetime.fromisoformat, "2026-05-02T00:00:00Z")


@pytest.fixture
def of(database: Database) -> Of:
    """The overview of days such as 2026-01-31, as root."""
    return lambda first, last, **more: overview(database, ROOT, first=date.fromisoformat(first), last=date.fromisoformat(last), **more)


@pytest.fixture
def usage(put_settings: PutSettings, record: Record, database: Database) -> None:
    """Of acme's ada 1, 2, 4 … CHF from the last of January on, one a month; of globex's bob a tenth of that, by another model and feature."""
    put_settings("acme", users=["ada"])
    put_settings("globex", BillingModel.UNLIMITED, users=["bob"])
    for n, day in enumerate(("2026-01-31", "2026-02-28", "2026-03-01", "2026-04-30")):
        price = Decimal(2**n)
        record(event(price_chf=f"{price}", occurred_at=f"{day}T10:00:00Z", provider="openai", model="gpt", feature_code="chat"), clock=CLOCK)
        other = {"mandate_id": "globex", "user_id": "bob", "provider": "google", "model": "gemini"}
        record(event(price_chf=f"{price / 10}", occurred_at=f"{day}T10:00:00Z", **other), clock=CLOCK)
    roll_up_usage(database)


def costs(shares: list[Share]) -> dict[str, Decimal]:
    """What each used, in CHF, by its name."""
    return {one.name: one.sums.cost for one in shares}


@pytest.mark.usefixtures("usage")
def test_usage_is_added_up_in_every_way(of: Of) -> None:
    """By day, mandate, model, feature and user: the same total, the dearest first, and only the days that are asked for."""
    found = of("2026-02-28", "2026-03-31")
    assert (found.period_type, found.total.cost, found.total.billed_cost, found.total.event_count) == (PeriodType.DAY, Decimal("6.6"), Decimal(6), 4)
    assert {one.start: one.sums.cost for one in found.by_period if one.sums.cost} == {
        date(2026, 2, 28): Decimal("2.2"),
        date(2026, 3, 1): Decimal("4.4"),
    }
    assert len(found.by_period) == 32
    assert list(costs(found.by_mandate).items()) == [("acme's name", Decimal(6)), ("globex's name", Decimal("0.6"))]
    assert costs(found.by_model) == {"gpt": Decimal(6), "gemini": Decimal("0.6")}
    assert costs(found.by_feature) == {"chat": Decimal(6), "unknown": Decimal("0.6")}
    assert costs(found.by_user) == {"ada": Decimal(6), "bob": Decimal("0.6")}
    assert [(one.note, one.others) for one in found.by_user] == [("acme's name", 0), ("globex's name", 0)]


@pytest.mark.usefixtures("usage")
@pytest.mark.parametrize(
    ("first", "last", "cost", "months"),
    [
        ("2026-01-01", "2026-12-31", "16.5", {1: "1.1", 2: "2.2", 3: "4.4", 4: "8.8"}),
        ("2026-01-31", "2026-05-05", "16.5", {1: "1.1", 2: "2.2", 3: "4.4", 4: "8.8"}),
        ("2026-02-01", "2026-06-30", "15.4", {2: "2.2", 3: "4.4", 4: "8.8"}),
        ("2026-03-02", "2026-09-01", "8.8", {4: "8.8"}),
        ("2025-11-15", "2026-04-29", "7.7", {1: "1.1", 2: "2.2", 3: "4.4"}),
    ],
)
def test_a_long_time_is_by_month(of: Of, first: str, last: str, cost: str, months: dict[int, str]) -> None:
    """Whole months and the days before and after them come to what the days alone come to."""
    found = of(first, last)
    assert (found.period_type, found.total.cost) == (PeriodType.MONTH, Decimal(cost))
    assert {one.start.month: one.sums.cost for one in found.by_period if one.sums.cost} == {month: Decimal(sum_) for month, sum_ in months.items()}
    assert all(one.start.day == 1 for one in found.by_period)


@pytest.mark.usefixtures("usage")
def test_what_lies_beyond_the_first_is_one_row(of: Of) -> None:
    """With how many there are, and what they come to; also where it is a single one."""
    found = of("2026-01-01", "2026-01-31", limit=1)
    for shares in (found.by_mandate, found.by_model, found.by_feature, found.by_user):
        assert [(one.others, one.sums.cost) for one in shares] == [(0, Decimal(1)), (1, Decimal("0.1"))]
    assert found.total.cost == Decimal("1.1")


@pytest.mark.usefixtures("usage")
def test_who_sees_what(of: Of, database: Database) -> None:
    """Root everything or the mandates that are named, administrators theirs, users nothing; and no time is too long for that."""
    days: dict[str, Any] = {"first": date(2026, 1, 1), "last": date(2026, 1, 31)}
    assert costs(of("2026-01-01", "2026-01-31", mandate_ids=["globex"]).by_user) == {"bob": Decimal("0.1")}
    assert costs(overview(database, administrator("acme"), **days).by_mandate) == {"acme's name": Decimal(1)}
    with pytest.raises(Forbidden):
        overview(database, user("ada"), **days)
    for first, last in (("2026-02-01", "2026-01-31"), ("2010-01-01", "2026-01-31"), ("9999-12-01", "9999-12-31")):
        with pytest.raises(RequestRefused):
            of(first, last)


def test_an_overview_of_nothing(of: Of) -> None:
    """Books without usage: every day is there, with nothing."""
    found = of("2026-02-01", "2026-02-28")
    assert (found.total.event_count, found.total.cost, found.by_mandate, len(found.by_period)) == (0, ZERO, [], 28)


def test_what_providers_charge_is_roots_to_see(database: Database, record: Record, put_settings: PutSettings, rows: Rows) -> None:
    """Three calls of 0.0056 USD each, by everything that they can be added up by, and of the others what is left."""
    put_settings("acme", users=["ada", "bob"])
    put_prices(database, rows, acme="computed")
    record(*[call(user_id=user_id, price_chf=...) for user_id in ("ada", "ada", "bob")])
    roll_up_usage(database)
    days: dict[str, Any] = {"first": OCCURRED_AT.date() - timedelta(days=2), "last": OCCURRED_AT.date() + timedelta(days=2)}
    found = overview(database, ROOT, **days, limit=1)
    assert (found.total.cost, found.total.provider_cost) == (3 * Decimal(PRICE), {"USD": 3 * Decimal(COST)})
    for shares in (found.by_mandate, found.by_model, found.by_feature):
        assert [one.sums.provider_cost for one in shares] == [{"USD": 3 * Decimal(COST)}]
    assert [one.sums.provider_cost for one in found.by_user] == [{"USD": 2 * Decimal(COST)}, {"USD": Decimal(COST)}]
    assert sum((one.sums.provider_cost.get("USD", ZERO) for one in found.by_period), ZERO) == 3 * Decimal(COST)
    seen = overview(database, administrator("acme"), **days)
    shares = [*seen.by_mandate, *seen.by_model, *seen.by_feature, *seen.by_user]
    everything = [seen.total, *(one.sums for one in seen.by_period), *(one.sums for one in shares)]
    assert (seen.total.cost, [one.provider_cost for one in everything if one.provider_cost]) == (3 * Decimal(PRICE), [])


def test_the_fullest_caps_are_shown(database: Database, record: Record, put_settings: PutSettings) -> None:
    """Present windows of which at least half is spent, the fullest first."""
    put_settings("acme", users=["ada"])
    for limit, period in (("4", CapPeriod.TOTAL), ("10", CapPeriod.MONTH), ("5", CapPeriod.DAY)):
        asked = {"mandate_id": "acme", "scope": "ALL", "period": period.value, "limit_chf": limit, "by": "olga"}
        set_cap(database, ROOT, NewCap.read(asked))
    record(event(price_chf="3", occurred_at=datetime.now(UTC).isoformat()))
    found = overview(database, ROOT, first=date(2026, 1, 1), last=date(2026, 1, 31))
    assert [(str(one.limit_chf), one.mandate_name) for one in found.caps] == [("4.000000000", "acme's name"), ("5.000000000", "acme's name")]
    assert {one.spent for one in found.caps} == {Decimal(3)}


@pytest.mark.usefixtures("usage")
def test_no_ledger_is_read(of: Of, database: Database) -> None:
    """Statistics, accounts and names alone: the cost doesn't grow with the events."""
    seen: list[str] = []

    def saw(_connection: Any, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sqlalchemy_event.listen(database._engine, "before_cursor_execute", saw)
    try:
        of("2026-01-01", "2026-12-31")
    finally:
        sqlalchemy_event.remove(database._engine, "before_cursor_execute", saw)
    assert len(seen) <= 10
    assert not [statement for statement in seen if "transactions" in statement or "event_keys" in statement]
