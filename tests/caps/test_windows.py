"""What a cap counts, and in which window: by local days alone, in Python as in SQL."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.model import SHARES_DEFAULT, Cap, Caps, CounterKey, Reached, Spending, share_line, window_end, window_start
from core.caps.sql.conditions import counter_user, counts
from core.caps.sql.conditions import window_start as window_start_sql
from tests.conftest import Rows

EVER = date(1, 1, 1)


def cap(number: int = 1, **fields: Any) -> Cap:
    """A cap of acme of everybody's usage, 10 CHF a day; `fields` vary it."""
    whole: dict[str, Any] = {
        "id": number,
        "mandate_id": "acme",
        "scope": CapScope.ALL,
        "user_id": "",
        "dimension": None,
        "value": "",
        "period": CapPeriod.DAY,
        "limit_chf": Decimal(10),
        "action": CapAction.REFUSE,
        "shares": SHARES_DEFAULT,
        "first_day": EVER,
        **fields,
    }
    return Cap(**whole)


def spending(user_id: str = "ada", **fields: Any) -> Spending:
    """Usage of a user of acme; what isn't named is unknown."""
    return Spending("acme", user_id, **{"provider": None, "model": None, "feature_code": None, **fields})


@pytest.mark.parametrize(
    ("period", "day", "start", "end"),
    [
        (CapPeriod.DAY, date(2026, 3, 29), date(2026, 3, 29), date(2026, 3, 30)),  # the clocks change
        (CapPeriod.WEEK, date(2027, 1, 1), date(2026, 12, 28), date(2027, 1, 4)),  # a Friday, in week 53 of the year before
        (CapPeriod.WEEK, date(2026, 12, 28), date(2026, 12, 28), date(2027, 1, 4)),
        (CapPeriod.WEEK, date(2027, 1, 3), date(2026, 12, 28), date(2027, 1, 4)),
        (CapPeriod.WEEK, date(1, 1, 1), date(1, 1, 1), date(1, 1, 8)),  # a Monday
        (CapPeriod.MONTH, date(2028, 2, 29), date(2028, 2, 1), date(2028, 3, 1)),
        (CapPeriod.MONTH, date(2026, 12, 31), date(2026, 12, 1), date(2027, 1, 1)),
        (CapPeriod.MONTH, date(2026, 1, 31), date(2026, 1, 1), date(2026, 2, 1)),
        (CapPeriod.TOTAL, date(2026, 7, 1), EVER, None),
    ],
)
def test_a_window_is_a_day_an_iso_week_a_month_or_all(period: CapPeriod, day: date, start: date, end: date | None) -> None:
    """It begins and ends at local days, over the ends of months and years."""
    assert window_start(period, day) == start
    assert window_end(period, start) == end


def test_sql_and_python_agree_on_windows(rows: Rows) -> None:
    """Every day of four years, a leap year among them, is in the same window of each period."""
    for period in CapPeriod:
        found = rows(
            f"""SELECT day, {window_start_sql("p", "day")} AS start
                  FROM (SELECT :period AS period) AS p, (SELECT CAST(d AS date) AS day
                        FROM generate_series(timestamp '2026-12-20', timestamp '2030-01-10', interval '1 day') AS d) AS days""",
            period=period.value,
        )
        assert len(found) > 1_100
        assert [row["start"] for row in found] == [window_start(period, row["day"]) for row in found]


CAPS = [
    cap(1),
    cap(2, scope=CapScope.USER, user_id="ada"),
    cap(3, scope=CapScope.EACH_USER),
    cap(4, dimension=CapDimension.PROVIDER, value="openai"),
    cap(5, dimension=CapDimension.MODEL, value="gpt", scope=CapScope.EACH_USER),
    cap(6, dimension=CapDimension.FEATURE, value="chat", scope=CapScope.USER, user_id="bob"),
]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (spending(), {1: "", 2: "ada", 3: "ada"}),
        (spending("bob"), {1: "", 3: "bob"}),
        (spending("bob", feature_code="chat"), {1: "", 3: "bob", 6: "bob"}),
        (spending("eve", provider="openai", model="gpt", feature_code="chat"), {1: "", 3: "eve", 4: "", 5: "eve"}),
        (spending(provider="gpt", model="openai", feature_code="openai"), {1: "", 2: "ada", 3: "ada"}),
        (spending(provider=""), {1: "", 2: "ada", 3: "ada"}),
    ],
)
def test_whose_usage_of_what_counts_where(usage: Spending, expected: dict[int, str], rows: Rows) -> None:
    """Everybody's together, one user's, each user's by itself; what a cap is about must be named, and named so. SQL says the same."""
    day = date(2026, 5, 5)
    assert {key.cap_id: key.user_id for key in Caps(CAPS).counters(usage, day)} == expected
    assert set(expected) == {one.id for one in CAPS if one.counts(usage)}
    of_entry, of_cap = [
        "(SELECT " + ", ".join(f"CAST(:{prefix}{name} AS text) AS {name}" for name in names) + ")"
        for prefix, names in (("", ("user_id", *CapDimension)), ("of_", ("scope", "user_id", "dimension", "value")))
    ]
    query = f"SELECT {counter_user('p', 'e.user_id')} AS user_id FROM {of_entry} AS e, {of_cap} AS p WHERE {counts('p', 'e')}"
    in_sql = {}
    for one in CAPS:
        told = {"of_scope": one.scope.value, "of_user_id": one.user_id, "of_dimension": one.dimension or "", "of_value": one.value}
        for row in rows(query, **told, **{name: value for name, value in usage._asdict().items() if name != "mandate_id"}):
            in_sql[one.id] = row["user_id"]
    assert in_sql == expected


def test_windows_before_the_first_day_are_not_counted() -> None:
    """A week's cap counts from the Monday of its running week on; usage of the Sunday before stands nowhere."""
    own = Caps([cap(1, period=CapPeriod.WEEK, first_day=date(2026, 11, 23))])
    assert own.counters(spending(), date(2026, 11, 22)) == []
    assert own.counters(spending(), date(2026, 11, 23)) == [CounterKey(1, "", date(2026, 11, 23))]


def test_a_share_is_reached_at_its_line_and_left_below_it() -> None:
    """50, 80 and 100 % of 10 CHF: at 5, 8 and 10 exactly; on the way down the same ones, as left."""
    own = Caps([cap()])
    lines = {50: Decimal(5), 80: Decimal(8), 100: Decimal(10)}

    def reached(before: str, after: str) -> list[Reached]:
        return own.reached(1, Decimal(before), Decimal(after))

    assert reached("0", "4.999999999") == []
    assert reached("4.999999999", "5") == [Reached(50, lines[50], recovered=False)]
    assert reached("5", "7.999999999") == []
    assert reached("0", "100") == [Reached(share, line, recovered=False) for share, line in lines.items()]
    assert reached("8", "7.999999999") == [Reached(80, lines[80], recovered=True)]
    assert reached("100", "0") == [Reached(share, line, recovered=True) for share, line in lines.items()]


def test_a_share_that_is_no_whole_amount_is_reached_by_the_least_amount_that_is_enough() -> None:
    """A third of a nano-franc isn't spent: 33 % of 0.000000001 CHF is reached at that amount, and never before."""
    assert share_line(Decimal("0.000000001"), 33) == Decimal("0.000000001")
    assert share_line(Decimal("0.000000010"), 50) == Decimal("0.000000005")
    assert share_line(Decimal(0), 50) == 0


def test_a_limit_of_nothing_is_reached_from_the_beginning() -> None:
    """So no share of it is crossed, up or down."""
    assert Caps([cap(limit_chf=Decimal(0))]).reached(1, Decimal(0), Decimal(5)) == []


def test_a_day_is_counted_once_whatever_its_length() -> None:
    """Windows of days follow each other without a gap, over both changes of the clock."""
    day = date(2026, 3, 20)
    while day < date(2026, 11, 10):
        assert window_end(CapPeriod.DAY, window_start(CapPeriod.DAY, day)) == day + timedelta(days=1)
        day += timedelta(days=1)
