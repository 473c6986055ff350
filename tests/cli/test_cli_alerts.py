"""`tollbook alerts`: what it shows, and what it withholds."""

import pytest

from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]


@pytest.fixture
def crossings(put_settings: PutSettings, record: Record) -> None:
    """Ada is below her threshold and below zero, Bob below his threshold."""
    put_settings(users=["ada", "bob"])
    record(event(user_id="ada", price_chf="11"), event(user_id="bob", price_chf="9"))


@pytest.mark.usefixtures("crossings")
def test_alerts_are_listed_newest_first(run: Run) -> None:
    """By mandate, kind and time, page by page; people see whose line it was, programs every field."""
    found = run("alerts", "--json").json
    assert sorted((a["user_id"], a["kind"], a["balance_after"]) for a in found) == [
        ("ada", "WARNING", "-1.000000000"),
        ("ada", "ZERO", "-1.000000000"),
        ("bob", "WARNING", "1.000000000"),
    ]
    assert [a["id"] for a in found] == sorted((a["id"] for a in found), reverse=True)
    assert [a["user_id"] for a in run("alerts", "--kind", "zero", "--mandate", "acme", "--json").json] == ["ada"]
    assert run("alerts", "--limit", "1", "--offset", "1", "--json").json == found[1:2]
    assert run("alerts", "--since", found[0]["recorded_at"], "--json").json == found
    assert run("alerts", "--since", "2100-01-01T00:00:00Z", "--json").json == []
    shown = run("alerts")
    assert shown.code == 0
    assert "-1.000000000" in shown.out


@pytest.mark.usefixtures("crossings")
def test_withheld_alerts_wait_no_longer(run: Run, rows: Rows) -> None:
    """They stay in the list and are marked; `--unpublished` shows what waits."""
    assert len(run("alerts", "--unpublished", "--json").json) == 3
    assert run("alerts", "withhold", "--until", "2020-01-01T00:00:00Z", "--json").json == {"withheld": 0}
    assert run("alerts", "withhold").out == "withheld 3 alerts\n"
    assert run("alerts", "--unpublished", "--json").json == []
    assert run("alerts").out.count("withheld") == 3
    assert rows("SELECT count(*) AS n FROM balance_alerts WHERE published_at IS NULL") == [{"n": 3}]


def test_a_wrong_time_is_named(run: Run) -> None:
    """A time without offset is refused with what would do."""
    ended = run("alerts", "--since", "2026-01-31T12:00:00")
    assert ended.code == 2
    assert "'2026-01-31T12:00:00' is not an RFC 3339 time with offset" in ended.err
