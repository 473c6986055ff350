"""A time zone that this program or the database doesn't know is told: in the log, at imports, by checks; and what helps, helps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from core import time_zones
from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.events.outcome import Outcome
from core.metrics import ZONES_MISSING
from core.movements.update_settings import update_settings
from core.schema import migrate
from core.settings.backfill import backfill_settings
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.read import settings_of
from core.verifying.read_zones import unknown_zones
from tests.cli.test_cli import Run, run
from tests.conftest import DatabaseUrls, Record, Rows
from tests.directory.test_import_directory import written
from tests.importing.test_import_books import Take, settings, take
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

__all__ = ["run", "take"]

NEW = "Europe/Newzone"  # which only newer zone data has
Open = Callable[[], object]


@pytest.fixture(params=["database", "program", "both"])
def lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A zone that the database lacks, that this program lacks, or both; returns its name."""
    names = time_zones._names()
    if request.param == "database":
        monkeypatch.setattr(time_zones, "_names", lambda: names | {NEW})
        return NEW
    if request.param == "program":
        monkeypatch.setattr(time_zones, "_names", lambda: names - {"Europe/Kyiv"})
        return "Europe/Kyiv"
    return NEW


@pytest.fixture(params=["usage", "backfill", "get-or-create", "create", "update"])
def opened(request: pytest.FixtureRequest, record: Record, database: Database, config: Configuration) -> Open:
    """Each way in which acme comes to settings."""
    ways: dict[str, Open] = {
        "usage": lambda: record(event()),
        "backfill": lambda: backfill_settings(database, config=config, worker="test", at_once=True),
        "get-or-create": lambda: get_or_create_settings(database, ROOT, "acme", created_by="olga", config=config),
        "create": lambda: create_settings(database, ROOT, "acme", {}, created_by="olga", config=config),
        "update": lambda: update_settings(database, ROOT, "acme", {"default_user_credit": "5"}, changed_by="olga", config=config),
    }
    return ways[request.param]


def test_whoever_opens_settings_the_missing_zone_is_kept_counted_and_logged(
    lacking: str, opened: Open, put_mandate: PutMandate, database: Database
) -> None:
    """The settings have the default zone, say which one is missing, and the log names both with the mandate."""
    put_mandate(users=["ada"], time_zone=lacking)
    before = ZONES_MISSING._value.get()
    with structlog.testing.capture_logs() as logged:
        opened()
    found = settings_of(database, ROOT, "acme")
    assert (found.time_zone, found.time_zone_missing) == ("UTC", lacking)
    assert ZONES_MISSING._value.get() == before + 1
    (line,) = [line for line in logged if line["event"] == "settings.time_zone_missing"]
    assert (line["log_level"], line["mandate_id"], line["time_zone"], line["taken"]) == ("warning", "acme", lacking, "UTC")


def test_a_configured_default_that_the_database_lacks_is_missing_too(
    put_mandate: PutMandate, record: Record, make_config: Callable[..., Configuration], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mandate for which the directory names no zone is in UTC, and its settings say that the default is missing."""
    names = time_zones._names()
    monkeypatch.setattr(time_zones, "_names", lambda: names | {NEW})
    put_mandate(users=["ada"])
    assert record(event(), config=make_config(default_time_zone=NEW)).outcomes == [Outcome.RECORDED]
    found = settings_of(database, ROOT, "acme")
    assert (found.time_zone, found.time_zone_missing) == ("UTC", NEW)


@pytest.mark.parametrize("chosen", ["Europe/Kiev", "UTC"])
def test_it_is_missing_until_somebody_chooses(
    chosen: str, put_mandate: PutMandate, record: Record, database: Database, config: Configuration
) -> None:
    """Another change keeps it in mind; a chosen zone, the one that it has too, settles it and is a version of its own."""
    put_mandate(users=["ada"], time_zone=NEW)
    record(event())
    other = update_settings(database, ROOT, "acme", {"default_user_credit": "5"}, changed_by="olga", config=config)
    assert (other.time_zone_missing, unknown_zones(database, ROOT).total) == (NEW, 1)
    settled = update_settings(database, ROOT, "acme", {"time_zone": chosen}, changed_by="olga", config=config)
    assert (settled.time_zone, settled.time_zone_missing, settled.version) == (chosen, None, 3)
    assert unknown_zones(database, ROOT).total == 0
    again = update_settings(database, ROOT, "acme", {"time_zone": chosen}, changed_by="olga", config=config)
    assert again.version == 3


def test_an_import_says_which_mandates_have_no_zone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it means and what helps, on standard error."""
    names = time_zones._names()
    monkeypatch.setattr(time_zones, "_names", lambda: names | {NEW})
    file = written(tmp_path, f"id,name,label,enabled,time_zone\nacme,Acme,acme,true,Europe/Zurich\ndnipro,Dnipro,dnipro,true,{NEW}\n")
    told = run("directory", "import", "--mandates", str(file))
    assert told.code == 0
    assert told.err.startswith(f"warning: mandate dnipro: time zone {NEW} is not known to the database or this program, its days can't be told: ")
    assert f"tollbook settings update dnipro --time-zone {NEW}" in told.err
    assert "acme" not in told.err


def test_a_row_with_a_zone_that_this_program_lacks_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    """It is told where the zone is looked for."""
    file = written(tmp_path, f"id,name,label,enabled,time_zone\ndnipro,Dnipro,dnipro,true,{NEW}\n")
    told = run("directory", "import", "--mandates", str(file))
    assert told.code == 1
    assert f"time_zone is not an IANA time zone that this program knows (got '{NEW}')" in told.err


def test_checks_tell_of_it_until_it_is_settled(
    run: Run, lacking: str, put_mandate: PutMandate, record: Record, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`db check` and `zones check` fail and name mandate, zone and command; once the data is newer they ask for the choice."""
    available = time_zones._names() | {"Europe/Kyiv"}
    put_mandate(users=["ada"], time_zone=lacking)
    for has_settings in (False, True):
        if has_settings:
            record(event())
        (line,) = migrate.check(database_urls.owner)
        assert line.startswith(f"mandate 'acme': time zone '{lacking}' is or was not known")
        assert line.endswith("; its settings have UTC: see `tollbook zones check`" if has_settings else "known: see `tollbook zones check`")
        assert run("db", "check").code == 1
        told = run("zones", "check")
        assert (told.code, f"time zone {lacking} is not known" in told.out) == (1, True)
        (found,) = run("zones", "check", "--json").json["unknown"]
        assert found == {"mandate_id": "acme", "time_zone": lacking, "taken": "UTC" if has_settings else None, "is_known": False}
    if lacking == "Europe/Kyiv":
        monkeypatch.setattr(time_zones, "_names", lambda: available)
        told = run("zones", "check")
        assert (told.code, "now it is: `tollbook settings update acme --time-zone Europe/Kyiv`" in told.out) == (1, True)
        assert run("settings", "update", "acme", "--time-zone", "Europe/Kyiv").code == 0
    else:
        assert run("settings", "update", "acme", "--time-zone", "Europe/Kiev").code == 0
    assert (run("zones", "check").code, run("db", "check").code) == (0, 0)


def test_settings_whose_zone_the_database_has_lost_are_told(put_settings: PutSettings, database: Database) -> None:
    """Such as after a restore onto a server with older zone data: their usage could not be recorded."""
    put_settings(users=["ada"], time_zone=NEW)
    (found,) = unknown_zones(database, ROOT).mandates
    assert (found.mandate_id, found.time_zone, found.taken, found.is_known) == ("acme", NEW, None, False)


def test_many_mandates_are_counted(put_mandate: PutMandate, run: Run, database: Database) -> None:
    """The first twenty are shown, all are counted, and disabled ones don't matter."""
    for n in range(23):
        put_mandate(f"m{n:02}", time_zone=NEW)
    put_mandate("off", time_zone=NEW, enabled=False)
    assert unknown_zones(database, ROOT, rows_max=5).total == 23
    out = run("zones", "check").out
    assert "3 further mandates with time zones that are not known" in out
    assert out.count("mandate m") == 20


def test_an_import_of_books_refuses_a_zone_that_the_database_lacks(take: Take, monkeypatch: pytest.MonkeyPatch, rows: Rows) -> None:
    """By line, before its entries could not be written."""
    names = time_zones._names()
    monkeypatch.setattr(time_zones, "_names", lambda: names | {NEW})
    done = take({"settings.jsonl": settings("good") + settings("zoned", time_zone=NEW)})
    assert [str(problem) for problem in done.problems] == [f"settings.jsonl:2: time_zone: '{NEW}' is not a time zone that the database knows"]
    assert rows("SELECT * FROM billing_settings") == []
