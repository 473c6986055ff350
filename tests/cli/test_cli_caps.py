"""`tollbook caps`: set, listed, shown, removed, and what they told; and what `check` says of them."""

import pytest

from tests.cli.test_cli import Run, run
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]
DAY = ("caps", "set", "acme", "--limit", "5", "--period", "day", "--user", "ada", "--by", "olga")


@pytest.fixture(autouse=True)
def acme(put_settings: PutSettings) -> None:
    """A mandate with two members."""
    put_settings(users=["ada", "bob"])


def test_a_cap_is_set_and_changed(run: Run) -> None:
    """What is shown says what was done; programs get every field."""
    done = run(*DAY, "--json").json
    assert (done["done"], done["crossings"], done["cap"]["limit_chf"], done["cap"]["scope"]) == ("CREATED", 0, "5.000000000", "USER")
    assert run(*DAY).out.startswith("unchanged\n")
    changed = run(*DAY[:4], "6", *DAY[5:], "--action", "alert", "--shares", "50, 90")
    assert changed.out.startswith("changed\n")
    assert all(told in changed.out for told in ("ada", "DAY", "6.000000000", "ALERT", "50 90"))
    raised = run(*DAY[:4], "7", *DAY[5:], "--json").json["cap"]  # what isn't named stays
    assert (raised["limit_chf"], raised["action"], raised["shares"]) == ("7.000000000", "ALERT", [50, 90])
    of_model = run("caps", "set", "acme", "--limit", "1", "--period", "Month", "--each-user", "--model", "gpt", "--shares", "", "--json").json["cap"]
    assert (of_model["scope"], of_model["dimension"], of_model["value"], of_model["shares"]) == ("EACH_USER", "model", "gpt", [])
    assert [cap["id"] for cap in run("caps", "list", "--mandate", "acme", "--json").json] == [done["cap"]["id"], of_model["id"]]
    assert [cap["id"] for cap in run("caps", "list", "--user", "bob", "--json").json] == [of_model["id"]]
    shown = run("caps", "list").out
    assert "each user" in shown
    assert "model gpt" in shown


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--each-user",), "name --user or --each-user, not both"),
        (("--model", "m", "--provider", "p"), "name one of --provider, --model and --feature"),
        (("--shares", "50,x"), "'50,x' is no list of percentages"),
        (("--period", "year"), "'year' is not one of"),
    ],
)
def test_what_can_not_be_meant_is_refused(run: Run, more: tuple[str, ...], told: str) -> None:
    """Wrong usage, named."""
    ended = run(*DAY, *more)
    assert ended.code == 2
    assert told in ended.err


def test_a_reached_cap_is_shown_tells_and_refuses(run: Run, record: Record) -> None:
    """Its window, its alerts, and the check that names which cap and when it opens; removed, it refuses nobody."""
    cap_id = str(run("caps", "set", "acme", "--limit", "2", "--period", "total", "--user", "ada", "--json").json["cap"]["id"])
    other = run("caps", "set", "acme", "--limit", "0", "--period", "day", "--feature", "chat", "--json").json["cap"]["id"]
    record(event(price_chf="1.5"))
    record(event(price_chf="1"))
    (window,) = run("caps", "show", "acme", cap_id, "--json").json["windows"]
    assert (window["user_id"], window["spent"], window["left"], window["reached"], window["percent"]) == (
        "ada",
        "2.500000000",
        "0.000000000",
        True,
        "125.00",
    )
    assert "reached" in run("caps", "show", "acme", cap_id).out
    told = run("caps", "alerts", "--cap", cap_id, "--json").json
    assert [(alert["share"], alert["recovered"]) for alert in told] == [(100, False), (80, False), (50, False)]
    assert run("caps", "alerts", "--mandate", "acme", "--unpublished").out.count("ada") == 3
    refused = run("check", "acme", "ada")
    assert refused.code == 3
    assert "CAP_EXCEEDED" in refused.out
    assert f"{cap_id}: 2.000000000 CHF in total, spent 2.500000000 and held 0.000000000; it doesn't open by itself" in refused.out
    assert run("check", "acme", "bob", "--json").json["unjudged_caps"] == [other]
    assert "opens at" in run("check", "acme", "bob", "--feature", "chat").out
    gone = run("caps", "remove", "acme", cap_id, "--by", "olga", "--json").json
    assert gone["removed_by"] == "olga"
    assert run("check", "acme", "ada").code == 0
    assert [cap["id"] for cap in run("caps", "list", "--json").json] == [other]
    assert len(run("caps", "list", "--removed", "--json").json) == 2


def test_only_root_sets_caps(run: Run) -> None:
    """An administrator sees those of their mandates."""
    run(*DAY)
    refused = run(*DAY, "--as", "administrator:acme")
    assert (refused.code, "may not set a cap" in refused.err) == (6, True)
    assert len(run("caps", "list", "--as", "administrator:acme", "--json").json) == 1
    assert "may not list the caps of mandates" in run("caps", "list", "--as", "user:ada").err
