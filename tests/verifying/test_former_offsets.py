"""A zone's rules that changed after entries were recorded: I16 tells which, an operator accepts it by name, and damage still shows."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from core.asking.rights import ROOT, administrator
from core.database.database import Database
from core.database.sessions import Way, open_engine
from core.errors import Forbidden, NotFound, RequestRefused
from core.schema import migrate
from core.time_zones import likely_offset, parse_offset, show_offset
from core.verifying.accept_former_offset import FormerOffsetAsked, OffsetAccepted, accept_former_offset
from core.verifying.plan_repairs import plan_repairs
from core.verifying.read_findings import list_findings
from core.verifying.read_zones import check_zones
from core.verifying.reconcile import reconcile
from core.verifying.verify import verify
from tests.cli.test_cli import Run, run
from tests.conftest import DatabaseUrls, IsolatedConfiguration, Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["run"]

ZONE = "Africa/Abidjan"  # at UTC; here it was at +01:00 when the entries were recorded
Accept = Callable[..., OffsetAccepted]


@pytest.fixture
def accept(database: Database) -> Accept:
    """Accepts a former offset as an operator would."""

    def call(offset: str = "+01:00", time_zone: str = ZONE) -> OffsetAccepted:
        asked = {"time_zone": time_zone, "offset": offset, "reason": "tzdata 2026c", "by": "olga"}
        return accept_former_offset(database, ROOT, FormerOffsetAsked.read(asked))

    return call


@pytest.fixture
def changed(put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """Five entries of two mandates in a zone at +01:00, three of them at night, after which the zone's rules say UTC for their time."""
    for mandate in ("acme", "globex"):
        put_settings(mandate, users=["ada"], time_zone="Etc/GMT-1")
    times = ["2026-10-24T23:30:00Z", "2026-10-24T12:00:00Z", "2026-10-25T23:00:00Z", "2026-10-25T22:59:00Z"]
    clock = datetime(2026, 10, 27, tzinfo=UTC)
    record(*[event(event_id=f"e{n}", occurred_at=time) for n, time in enumerate(times)], clock=lambda: clock)
    record(event(event_id="other", mandate_id="globex", occurred_at="2026-10-26T23:10:00Z"), clock=lambda: clock)
    rows("UPDATE transactions SET local_date = CAST(recorded_at AT TIME ZONE 'UTC' AS date) WHERE reference_type = 'SYSTEM'")
    for table in ("billing_settings", "billing_settings_history"):
        rows(f"UPDATE {table} SET time_zone = '{ZONE}'")


def entries(rows: Rows) -> list[tuple[object, ...]]:
    """Every transaction, whole."""
    return [tuple(row.values()) for row in rows("SELECT * FROM transactions ORDER BY id")]


@pytest.mark.usefixtures("changed")
def test_the_entries_are_named_with_what_today_says(breaches: Breaches) -> None:
    """Stored day, zone, moment and the day of today's rules, and where to look."""
    found = breaches()
    assert list(found) == ["I16"]
    assert len(found["I16"]) == 3
    assert found["I16"][0].detail == (
        f"local day 2026-10-25, but by the present rules of {ZONE} its 2026-10-24 23:30:00+00 is on 2026-10-24:"
        " if they changed, see `tollbook zones check`"
    )


@pytest.mark.usefixtures("changed")
def test_a_check_proposes_the_offset_of_then(database: Database, run: Run) -> None:
    """Zone, mandates, entries, their span, the offset now and the likely one; a repair points there and does nothing itself."""
    (former,) = check_zones(database, ROOT).former
    assert (former.time_zone, former.mandates, former.entries, former.present_offset, former.likely_offset) == (ZONE, 2, 3, "+00:00", "+01:00")
    assert (former.first, former.last) == (datetime(2026, 10, 24, 23, 30, tzinfo=UTC), datetime(2026, 10, 26, 23, 10, tzinfo=UTC))
    told = run("zones", "check")
    assert (told.code, ZONE in told.out, "+01:00" in told.out) == (1, True, True)
    assert plan_repairs(database, ROOT).local_days == 3
    assert "local days: 3 transactions to be explained, not repaired: see `tollbook zones check`" in run("repair", "--dry-run").out


@pytest.mark.usefixtures("changed")
def test_an_accepted_offset_settles_it_and_is_kept(accept: Accept, breaches: Breaches, rows: Rows, database: Database, run: Run) -> None:
    """No entry changes, I16 holds, findings are resolved, and who accepted what, why, is in the books; a second time there is nothing."""
    reconcile(database, worker="test", at_once=True)
    before = entries(rows)
    done = accept()
    assert (done.entries, done.offset) == (3, "+01:00")
    assert entries(rows) == before
    assert breaches() == {}
    reconcile(database, worker="test", at_once=True)
    assert list_findings(database, ROOT) == []
    (kept,) = run("zones", "check", "--json").json["accepted"]
    assert {"time_zone": ZONE, "offset_seconds": 3600, "accepted_by": "olga", "reason": "tzdata 2026c"}.items() <= kept.items()
    with pytest.raises(NotFound, match="no entry in 'Africa/Abidjan' breaks I16"):
        accept()
    assert run("zones", "check").code == 0


@pytest.mark.usefixtures("changed")
def test_the_command_accepts_as_the_function_does(run: Run, breaches: Breaches) -> None:
    """With the login of whoever types it."""
    done = run("zones", "accept", ZONE, "--offset", "+01:00", "--reason", "tzdata 2026c", "--json").json
    assert (done["entries"], done["offset"], breaches()) == (3, "+01:00", {})
    assert run("zones", "accept", ZONE, "--offset", "1", "--reason", "r").err.startswith("error: offset: '1' is not an offset from UTC")


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE transactions SET local_date = local_date + 1 WHERE event_id = 'e0'",
        "UPDATE transactions SET local_date = local_date - 2 WHERE event_id = 'e2'",
        "UPDATE transactions SET local_date = local_date + 1 WHERE event_id = 'e1'",
        "UPDATE transactions SET recorded_at = recorded_at + interval '1 day' WHERE event_id = 'e0'",
    ],
)
def test_damage_shows_after_an_acceptance(damage: str, accept: Accept, breaches: Breaches, rows: Rows) -> None:
    """A day that neither today's rules nor the accepted offset give, and an entry that was recorded later."""
    accept()
    rows(damage)
    assert len(breaches()["I16"]) == 1


@pytest.mark.usefixtures("changed")
def test_only_what_the_offset_explains_is_accepted(accept: Accept, breaches: Breaches, rows: Rows, database: Database) -> None:
    """A damaged entry among them stays a violation; an offset that explains none is refused, and so is one for another zone."""
    rows("UPDATE transactions SET local_date = local_date + 3 WHERE event_id = 'e2'")
    assert [former.likely_offset for former in check_zones(database, ROOT).former] == ["+01:00", None]
    with pytest.raises(NotFound):
        accept("-01:00")
    with pytest.raises(NotFound):
        accept(time_zone="Europe/Zurich")
    assert accept().entries == 2
    assert len(breaches()["I16"]) == 1


def test_only_root_may(database: Database) -> None:
    """Nor may an administrator look, since it is about all mandates."""
    asked = FormerOffsetAsked.read({"time_zone": ZONE, "offset": "+01:00", "reason": "r", "by": "olga"})
    with pytest.raises(Forbidden):
        accept_former_offset(database, administrator("acme"), asked)
    with pytest.raises(Forbidden):
        check_zones(database, administrator("acme"))


def test_wrong_questions_are_refused_by_field() -> None:
    """An offset as +01:00, a reason, somebody."""
    with pytest.raises(RequestRefused, match=r"offset: '\+1' is not an offset.*reason"):
        FormerOffsetAsked.read({"time_zone": ZONE, "offset": "+1", "reason": "", "by": "olga"})


@pytest.mark.parametrize(("written", "seconds"), [("+01:00", 3600), ("-03:30", -12600), ("+00:00", 0), ("+05:45", 20700)])
def test_offsets_are_read_and_written_alike(written: str, seconds: int) -> None:
    """Whatever their sign."""
    assert (parse_offset(written), show_offset(timedelta(seconds=seconds))) == (seconds, written)


@pytest.mark.parametrize(
    ("present", "at_least", "less_than", "likely"),
    [(0, 50, 24 * 60, 60), (60, -600, 60, 0), (570, 590, 2000, 600), (0, 10, 29, 15), (0, 12 * 60, 30 * 60, None), (0, 10, 5, None)],
)
def test_the_likely_offset_is_near_and_round(present: int, at_least: int, less_than: int, likely: int | None) -> None:
    """Whole hours before halves and quarters, at most three hours from today's; none where nothing explains all entries. In minutes."""
    bounds = [timedelta(minutes=minutes) for minutes in (present, at_least, less_than)]
    assert likely_offset(*bounds) == (None if likely is None else timedelta(minutes=likely))


def test_an_upgrade_accepts_what_was_recorded_under_abbreviations(empty_database_urls: DatabaseUrls) -> None:
    """Books of before, with a summer evening in CET on the day of winter's clocks: their entries stay, and the upgraded books are in order.

    A mandate whose zone the database lacked is marked, unless its zone was ever chosen.
    """
    engine = open_engine(Way(empty_database_urls.owner, "DATABASE_OWNER_URL", {}))
    before = ScriptDirectory(migrate._scripts()).get_revision("0018_zones").down_revision
    settings = "'UNLIMITED', 10, 10, true, true"
    with engine.begin() as connection:
        command.upgrade(migrate._alembic(connection), str(before))
        for mandate, versions, named in (("acme", ["CET"], None), ("dnipro", ["UTC"], "Europe/Nowhere"), ("kept", ["Asia/Tokyo", "UTC"], "Mars")):
            connection.execute(text("INSERT INTO directory_mandates (id, name, time_zone) VALUES (:m, :m, :z)"), {"m": mandate, "z": named})
            columns = "mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance, notify_on_warning, time_zone"
            for version, zone in enumerate(versions, 1):
                history = f"INSERT INTO billing_settings_history ({columns}, version, changed_by) VALUES (:m, {settings}, :z, :v, 'test')"
                connection.execute(text(history), {"m": mandate, "z": zone, "v": version})
            present = f"INSERT INTO billing_settings ({columns}, version) VALUES (:m, {settings}, :z, :v)"
            connection.execute(text(present), {"m": mandate, "z": versions[-1], "v": len(versions)})
        connection.execute(
            text("""
            INSERT INTO transactions (id, mandate_id, account_id, transaction_type, amount, reference_type, description, occurred_at, local_date,
                                      settings_version)
            SELECT 1, 'acme', 1, 'ADJUSTMENT', 0, 'ADJUSTMENT', 'x', m, CAST(m AT TIME ZONE 'CET' AS date), 1
              FROM (SELECT timestamptz '2026-07-31 22:30:00+00' AS m) AS moment
            """)
        )
    migrate.upgrade(empty_database_urls.owner, empty_database_urls.worker)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT local_date FROM transactions")).scalar_one() == date(2026, 7, 31)
        missing = {
            row.mandate_id: row.time_zone_missing for row in connection.execute(text("SELECT mandate_id, time_zone_missing FROM billing_settings"))
        }
    assert missing == {"acme": None, "dnipro": "Europe/Nowhere", "kept": None}
    engine.dispose()
    database = Database(empty_database_urls.worker, IsolatedConfiguration())
    try:
        assert not [verdict for verdict in verify(database, ROOT) if verdict.invariant == "I16" and verdict.violations]
        (accepted,) = check_zones(database, ROOT).accepted
    finally:
        database.dispose()
    assert (accepted.time_zone, accepted.offset_seconds) == ("CET", 3600)
