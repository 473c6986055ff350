"""What an accepted version reaches back to: counted by model, a finding until it is re-rated or waived."""

from datetime import UTC, datetime, timedelta

import pytest

from core.asking.rights import ROOT, user
from core.database.database import Database
from core.errors import Forbidden, NotFound, RequestRefused
from core.movements.reach import ModelReach, count_reach, events_changed_by, waive_reach
from core.movements.refund import Refund, refund
from core.movements.rerate import rerate, revert_rerating, reverting
from core.movements.rerating import Rerating
from core.prices.differing import differing_since
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.verifying.reconcile import reconcile
from tests.conftest import Record, Rows
from tests.movements.rerating import NEW, OLD, SINCE, TODAY, broken, set_terms, usage
from tests.prices.scene import accepted, at, row
from tests.sample_events import NOW
from tests.scene import Breaches, PutSettings


@pytest.fixture
def recorded(database: Database, put_settings: PutSettings, record: Record) -> None:
    """Three calls of gpt and two of other, rated by the active version."""
    put_settings("acme", users=["ada"])
    set_terms(database)
    accepted(database, [row(), row(leaf="output", amount="15"), row("other"), row("other", leaf="output", amount="15")])
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    record(*(usage(event_id=f"g{n}") for n in range(3)), *(usage(event_id=f"o{n}", model="other") for n in range(2)))


def findings(database: Database, rows: Rows) -> list[str]:
    """The open findings about price changes, after a check of the books."""
    reconcile(database, worker="test", at_once=True)
    return [one["subject"] for one in rows("SELECT subject FROM reconcile_findings WHERE invariant = 'P7' AND resolved_at IS NULL")]


@pytest.mark.usefixtures("recorded")
def test_a_change_that_reaches_back_is_counted_by_model_until_it_is_re_rated(database: Database, rows: Rows, breaches: Breaches) -> None:
    """The finding stands until a re-rating of all; after the revert it is there again."""
    version = accepted(database, [row(amount="10")])
    reach = count_reach(database, ROOT, version)
    assert (reach.events, reach.models) == (3, [ModelReach("gpt", 3, 3 * OLD, 3 * NEW)])
    assert findings(database, rows) == [f"version {version} of the price book"]
    assert broken(breaches) == set()
    rerate(database, ROOT, Rerating("k", version, TODAY, TODAY + timedelta(days=1)), by="olga", worker="test")
    assert findings(database, rows) == []
    revert_rerating(database, ROOT, reverting("k", "olga", "test"))
    assert findings(database, rows) == [f"version {version} of the price book"]


@pytest.mark.usefixtures("recorded")
def test_a_waived_change_is_no_finding(database: Database, rows: Rows) -> None:
    """By whom and why is kept, also when it is counted again; a replay shows the first. The next version is looked at anew."""
    version = accepted(database, [row(amount="10")])
    with pytest.raises(NotFound, match=f"nothing was counted of version {version}"):
        waive_reach(database, ROOT, version, reason="small", by="olga")
    count_reach(database, ROOT, version)
    waive_reach(database, ROOT, version, reason="small", by="olga")
    waived = waive_reach(database, ROOT, version, reason="other", by="otto")
    assert (waived.events, waived.waived_by, waived.waived_reason) == (3, "olga", "small")
    assert count_reach(database, ROOT, version).waived_by == "olga"
    assert findings(database, rows) == []
    later = accepted(database, [row(amount="20")])
    assert count_reach(database, ROOT, later).events == 3
    assert findings(database, rows) == [f"version {later} of the price book"]
    with pytest.raises(RequestRefused, match="reason"):
        waive_reach(database, ROOT, later, reason="", by="olga")
    with pytest.raises(Forbidden):
        waive_reach(database, user("ada"), later, reason="small", by="ada")


@pytest.mark.usefixtures("recorded")
def test_the_nightly_check_counts_what_nobody_did(database: Database, rows: Rows) -> None:
    """Whoever accepted may have been interrupted before the count."""
    version = accepted(database, [row(amount="10")])
    assert rows("SELECT * FROM price_reach") == []
    assert findings(database, rows) == [f"version {version} of the price book"]


@pytest.mark.usefixtures("recorded")
def test_a_change_from_now_on_reaches_no_event(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of before end and have other ids; no event is even looked at."""
    soon = (NOW + timedelta(days=2)).date().isoformat()
    version = accepted(database, [row(until=soon), row(amount="10", since=soon)])
    monkeypatch.setattr("core.movements.reach.Repricer.judge", lambda _, __, entries, ___: pytest.fail("looked") if entries else _Nothing)
    assert events_changed_by(database, ROOT, version) == []


class _Nothing:
    """Nothing was judged."""

    repriced = ()


@pytest.mark.usefixtures("recorded")
def test_refunded_events_are_not_counted(database: Database, rows: Rows) -> None:
    """Re-rating wouldn't touch them."""
    version = accepted(database, [row(amount="10")])
    (debit,) = rows("SELECT id FROM transactions WHERE event_id = 'g1'")
    asked = Refund.read({"mandate_id": "acme", "transaction_id": debit["id"], "amount": "0.001", "key": "r", "by": "olga", "reason": "test"})
    refund(database, ROOT, asked)
    assert [(model.model, model.events) for model in events_changed_by(database, ROOT, version)] == [("gpt", 2)]
    with pytest.raises(NotFound, match="there is no version 99"):
        events_changed_by(database, ROOT, 99)


def test_models_differ_from_the_first_moment_at_which_they_do() -> None:
    """Rows that end where their like begin differ in nothing; amounts are compared as numbers."""
    always, dear = row(), row(amount="10")
    halves = [row(until="2026-06-01"), row(amount="5.00", since="2026-06-01")]
    assert differing_since([always], halves) == {}
    assert differing_since([always], [dear]) == {("openai", "gpt"): None}
    later = [row(until="2026-06-01"), row(amount="10", since="2026-06-01")]
    assert differing_since([always], later) == {("openai", "gpt"): at("2026-06-01")}
    assert differing_since([], [row("new", since="2026-06-01")]) == {("openai", "new"): datetime(2026, 6, 1, tzinfo=UTC)}
