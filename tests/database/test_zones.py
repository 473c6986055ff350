"""Time zones: PostgreSQL takes them by IANA's rules, as Python does, and says of each local day when it begins."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT
from core.database.database import Database
from core.database.zones import first_moment, local_day, local_time
from core.ledger.read_balance_at import balance_at
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.top_up import TopUp, top_up
from core.reports.statement import statement
from core.time_zones import is_time_zone
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["run"]

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
TWINS = ["CET", "MET", "EET", "WET", "EST", "MST", "HST"]
ODD = ["Etc/GMT+5", "Etc/GMT-14", "GMT+0", "GMT-0", "GMT0", "EST5EDT", "PST8PDT", "UCT", "Zulu", "W-SU", "NZ-CHAT", "GB-Eire", "Factory"]


def turns(zone: ZoneInfo) -> list[datetime]:
    """The moments at which the zone's clocks change, to the second."""

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    found, step = [], timedelta(days=7)
    moment = FIRST
    while moment < LAST:
        low, high = moment, moment + step
        if offset(low) != offset(high):
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(high)
        moment += step
    return found


@pytest.fixture(scope="module")
def zones() -> dict[str, list[datetime]]:
    """Every zone of Python's with the changes of its clocks."""
    return {name: turns(ZoneInfo(name)) for name in sorted(available_timezones()) if is_time_zone(name)}


@pytest.fixture
def known(rows: Rows, zones: dict[str, list[datetime]]) -> dict[str, list[datetime]]:
    """Those of them that the database has."""
    names = {row["name"] for row in rows("SELECT name FROM pg_timezone_names")}
    return {name: found for name, found in zones.items() if name in names}


def test_python_and_the_database_agree_on_every_zone(owner_database: Database, known: dict[str, list[datetime]]) -> None:
    """Around each change of the clocks, and every 53 days: the local time is that of the database's own file of the zone, and Python's.

    Python's zone data may be of another age than the database's, and then says otherwise of a few zones.
    """
    around = [timedelta(seconds=s) for s in (-86400, -3601, -1, 0, 1, 1799, 3600, 7200, 86400)]
    always = [FIRST + timedelta(days=53 * n, hours=n % 24) for n in range(160)]
    asked = text(f"""
        SELECT m, {local_time("m", "z.name")} AS shown, CAST(m AS timestamp) AS by_file
          FROM (SELECT CAST(:name AS text) AS name) z, unnest(CAST(:moments AS timestamptz[])) m
    """)
    not_by_file, not_pythons = set(), set()
    for name, found in known.items():
        with owner_database.transaction() as connection:
            connection.execute(text("SELECT set_config('timezone', :name, true)"), {"name": name})
            moments = [*always, *(turn + delta for turn in found for delta in around)]
            shown = connection.execute(asked, {"name": name, "moments": moments}).all()
        not_by_file |= {name for row in shown if row.shown != row.by_file}
        not_pythons |= {name for row in shown if row.shown != row.m.astimezone(ZoneInfo(name)).replace(tzinfo=None)}
    assert not_by_file == set()
    assert len(not_pythons) <= 20, not_pythons
    assert not not_pythons & {*TWINS, *ODD}
    assert {*TWINS, *ODD} <= known.keys()


def test_a_day_begins_with_its_first_moment(rows: Rows, known: dict[str, list[datetime]]) -> None:
    """Around each change: that moment is on the day or later, and a microsecond before it is an earlier day; none is a second midnight."""
    begins = first_moment("CAST(m.day AS timestamp)", "z.name")
    asked = f"""
        SELECT * FROM (SELECT m.day, {begins} AS begun FROM unnest(CAST(:days AS date[])) AS m(day), (SELECT CAST(:name AS text) AS name) z) AS days
         WHERE {local_day("begun", "CAST(:name AS text)")} < day
            OR {local_day("(begun - interval '1 microsecond')", "CAST(:name AS text)")} >= day
    """
    around = [timedelta(days=n) for n in (-1, 0, 1, 2)]
    wrong = {}
    for name, found in known.items():
        days = sorted({turn.astimezone(ZoneInfo(name)).date() + delta for turn in found for delta in around})
        if bad := rows(asked, name=name, days=days):
            wrong[name] = bad[0]
    # Where the clocks were set back over midnight at one minute past it, that day has two parts: the first one counts.
    assert {name for name in wrong if name not in ("America/St_Johns", "Canada/Newfoundland", "America/Goose_Bay")} == set()


@pytest.mark.parametrize("abbreviations", ["Default", "Australia", "India"])
def test_no_zone_is_taken_for_an_abbreviation(abbreviations: str, owner_database: Database) -> None:
    """Whichever of the sets of abbreviations that PostgreSQL brings along the server uses, each zone of such a name keeps its own rules."""
    with owner_database.transaction() as connection:
        connection.execute(text(f"SET LOCAL timezone_abbreviations = '{abbreviations}'"))
        twins = connection.execute(
            text("SELECT n.name FROM pg_timezone_abbrevs a JOIN pg_timezone_names n ON upper(n.name) = upper(a.abbrev) ORDER BY 1")
        )
        names = [name for name in twins.scalars() if is_time_zone(name)]
        assert set(TWINS) <= set(names)
        for name in names:
            for moment in (datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 7, 15, 12, tzinfo=UTC)):
                sql = text(f"SELECT {local_time('CAST(:moment AS timestamptz)', 'CAST(:name AS text)')}")
                shown = connection.execute(sql, {"moment": moment, "name": name}).scalar_one()
                assert shown == moment.astimezone(ZoneInfo(name)).replace(tzinfo=None), name


def test_zones_enter_sql_in_one_place() -> None:
    """No other module gives PostgreSQL a zone's name: `AT TIME ZONE` is followed by UTC, or made by `core.database.zones`."""
    strays = [
        f"{path}: {line.strip()}"
        for package in ("core", "cli", "tasks", "worker")
        for path in sorted((Path(__file__).parents[2] / package).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"AT TIME ZONE (?!'UTC')|\btimezone\((?!timedelta)|set_config\('timezone", line) and path.name != "zones.py"
    ]
    assert strays == []


@pytest.mark.parametrize(("zone", "late"), [("CET", "22:30"), ("MET", "22:30"), ("EET", "21:30"), ("WET", "23:30")])
def test_summer_evenings_are_the_next_day_in_zones_named_like_abbreviations(
    zone: str, late: str, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches, database: Database
) -> None:
    """Usage, amendments and statements alike, by the clocks of summer."""
    put_settings(users=["ada"], time_zone=zone)
    rows("UPDATE billing_settings_history SET changed_at = '2020-06-01T00:00:00Z'")
    record(event(event_id="e1", occurred_at=f"2020-07-31T{late}:00Z"), clock=lambda: datetime(2020, 8, 2, tzinfo=UTC))
    price = NewPrice.read({"mandate_id": "acme", "event_id": "e1", "price_chf": "2"})
    amend_prices(database, ROOT, [price], key="k", by="olga", worker="test")
    days = rows("SELECT local_date FROM transactions WHERE event_id = 'e1' AND transaction_type = 'DEBIT'")
    assert [row["local_date"] for row in days] == [date(2020, 8, 1)] * 2
    assert [row.day for row in statement(database, ROOT, "acme", date(2020, 8, 1)).by_day] == [date(2020, 8, 1)]
    assert breaches() == {}


def test_a_payment_has_the_day_of_the_zones_own_clocks(put_settings: PutSettings, record: Record, rows: Rows, database: Database) -> None:
    """Today, in a zone whose name is an abbreviation too; grants likewise."""
    put_settings(users=["ada"], time_zone="CET")
    record(event())
    account = rows("SELECT id FROM accounts")[0]["id"]
    top_up(database, ROOT, TopUp.read({"mandate_id": "acme", "account_id": account, "amount": "1", "key": "k", "by": "olga"}))
    found = rows("SELECT recorded_at, local_date FROM transactions WHERE transaction_type = 'CREDIT'")
    assert [row["local_date"] for row in found] == [row["recorded_at"].astimezone(ZoneInfo("Europe/Brussels")).date() for row in found]


BEGINNINGS = [
    ("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00:00+00:00"),  # midnight comes twice
    ("America/Havana", "2026-11-01", "2026-11-01T04:00:00+00:00"),
    ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00+00:00"),  # there is none
    ("America/Santiago", "2025-09-07", "2025-09-07T04:00:00+00:00"),
    ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00+00:00"),
    ("Asia/Beirut", "2025-10-26", "2025-10-25T22:00:00+00:00"),  # the clocks went back from it
    ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),  # the day was left out
    ("CET", "2026-07-01", "2026-06-30T22:00:00+00:00"),
    ("UTC", "2026-07-01", "2026-07-01T00:00:00+00:00"),
]


@pytest.mark.parametrize(("zone", "day", "begins"), BEGINNINGS)
def test_a_days_end_is_the_next_days_first_moment(
    zone: str, day: str, begins: str, put_settings: PutSettings, rows: Rows, database: Database
) -> None:
    """A balance at a day's end is that of the first moment of the next one."""
    put_settings(users=["ada"], time_zone=zone)
    rows("UPDATE billing_settings_history SET changed_at = '2000-01-01T00:00:00Z'")
    before = date.fromisoformat(day) - timedelta(days=1)
    assert balance_at(database, ROOT, "acme", None, before).moment == datetime.fromisoformat(begins)


def test_a_month_is_over_at_its_first_midnight(put_settings: PutSettings, rows: Rows, database: Database) -> None:
    """October in Havana ended when midnight came first, an hour before it came again."""
    put_settings(users=["ada"], time_zone="America/Havana")
    rows("UPDATE billing_settings_history SET changed_at = '2020-01-01T00:00:00Z'")
    first = datetime(2020, 11, 1, 4, tzinfo=UTC)
    ended = [statement(database, ROOT, "acme", date(2020, 10, 1), moment).ended for moment in (first - timedelta(seconds=1), first)]
    assert ended == [False, True]


@pytest.mark.parametrize(("zone", "day", "begins"), BEGINNINGS)
def test_periods_of_focus_begin_with_the_day(zone: str, day: str, begins: str, run: Run, record: Record, put_settings: PutSettings) -> None:
    """Usage right at the day's beginning is in the charge period that begins then, and the period before ends there."""
    put_settings(users=["ada"], time_zone=zone)
    start = datetime.fromisoformat(begins)
    record(*[event(occurred_at=moment.isoformat()) for moment in (start - timedelta(seconds=1), start)], clock=lambda: start + timedelta(days=3))
    out = run("export", "transactions", "--columns", "focus").out.splitlines()
    names = out[0].split(",")
    lines = [dict(zip(names, line.split(","), strict=False)) for line in out[1:]]
    usage = sorted((line for line in lines if line["ChargeCategory"] == "Usage"), key=lambda line: line["x_OccurredAt"])
    written = start.isoformat().replace("+00:00", "Z")
    assert usage[0]["ChargePeriodEnd"] == written
    assert usage[1]["ChargePeriodStart"] == written


def test_the_expressions_take_any_date(rows: Rows) -> None:
    """The first and the last day that Python has begin somewhere."""
    sql = f"SELECT {first_moment('CAST(CAST(:day AS date) AS timestamp)', chr(39) + 'Europe/Zurich' + chr(39))} > '-infinity' AS found"
    assert [rows(sql, day=day)[0]["found"] for day in (date(1, 1, 2), date(9999, 12, 30))] == [True, True]
