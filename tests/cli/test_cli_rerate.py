"""`tollbook prices rerate|waive|settle` as an operator uses them."""

from datetime import timedelta

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.propose import propose
from tests.cli.test_cli import Run, run
from tests.conftest import Record
from tests.movements.rerating import SINCE, TODAY, set_terms, usage
from tests.prices.scene import accepted, offer, row
from tests.scene import PutSettings

__all__ = ["run"]

DAYS = ("--from", TODAY.isoformat(), "--to", (TODAY + timedelta(days=1)).isoformat())


@pytest.fixture
def proposal(database: Database, put_settings: PutSettings, record: Record) -> str:
    """Two calls rated at 0.00572, and the id of a proposal by which each is 0.01012."""
    put_settings("acme", users=["ada"])
    set_terms(database)
    accepted(database, [row(), row(leaf="output", amount="15")])
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    record(usage(event_id="e1"), usage(event_id="e2"), usage(event_id="lost", usage_dialect=..., usage=..., usage_basis="none"))
    version = propose(database, ROOT, offer(row(amount="10")), proposed_by="olga").version
    assert version is not None
    return str(version.id)


def test_accepting_lists_what_re_rating_sets_right(run: Run, proposal: str) -> None:
    """Accept names the events, a dry run their difference, rerate does it, and the revert takes it back."""
    shown = run("prices", "accept", proposal).out
    assert f"2 recorded events would be rated otherwise by version {proposal}" in shown
    again = ("prices", "rerate", *DAYS, "--version", proposal, "--key", "k")
    dry = run(*again, "--dry-run")
    assert dry.out.splitlines()[-1] == "dry run: nothing was written"
    done = run(*again, "--json").json
    assert [(d["mandate_id"], d["model"], d["events"], d["before"], d["after"]) for d in done["deltas"]] == [
        ("acme", "gpt", 2, "0.011440000", "0.020240000")
    ]
    assert run(*again).out.splitlines()[-1] == "repeated: nothing was changed now"
    assert "can only be present" in run(*again, "--fx", "old").err
    assert "goes with --key alone" in run("prices", "rerate", "--revert", *DAYS, "--key", "k").err
    assert "name --from, --to and --version" in run("prices", "rerate", "--key", "k").err
    assert run("prices", "rerate", "--revert", "--key", "k", "--json").json["mandates"][0]["amended"] == 2
    assert "was reverted" in run(*again).err


def test_what_a_version_changes_can_be_waived(run: Run, proposal: str) -> None:
    """By whom and why is shown."""
    accepted_as = run("prices", "accept", proposal, "--json").json
    assert (accepted_as["reach"]["events"], accepted_as["repeated"]) == (2, False)
    assert "waived by olga: below a centime" in run("prices", "waive", proposal, "--reason", "below a centime", "--by", "olga").out


@pytest.mark.usefixtures("proposal")
def test_a_parked_event_is_settled(run: Run) -> None:
    """At the price and for the reason that are named; again it is the same."""
    settle = ("prices", "settle", "acme", "lost", "0.25", "--reason", "as billed", "--by", "olga")
    first = run(*settle, "--json").json
    assert (first["amount"], first["parked_for"], first["repeated"]) == ("0.250000000", "no_usage", False)
    assert run(*settle, "--json").json == {**first, "repeated": True}
