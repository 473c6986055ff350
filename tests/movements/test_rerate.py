"""Re-rating: events get the prices of another version for their own time; once, in parts, resumable, and taken back to the last digit."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

import pytest

from core.asking.rights import ROOT, user
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, Forbidden, NotFound, RequestRefused, StorageUnavailable
from core.movements import rerate as rerate_module
from core.movements.amended_prices import PriceTotals
from core.movements.refund import Refund, refund
from core.movements.rerate import check_rerate, rerate, revert_rerating, reverting
from core.movements.rerating import Left, Rerated, Rerating
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule, close_rule
from core.statistics.roll_up import roll_up_usage
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, Record, Rows
from tests.movements.rerating import EACH, NEW, NEW_COST, OLD, OLD_COST, SINCE, TODAY, broken, set_terms, usage
from tests.prices.scene import STANDARD, accepted, offer, row
from tests.recording.mortal import MortalDatabase
from tests.sample_events import NOW, OCCURRED_AT, event
from tests.scene import Breaches, Change, PutSettings

Balances = Callable[[], dict[tuple[str, str | None], Decimal]]


class Rerate(Protocol):
    """What the fixture `again` gives."""

    def __call__(self, version_id: int, key: str = "k", *, database: Database = ..., **fields: Any) -> Rerated:
        """Re-rates the day of the events."""


@pytest.fixture
def day(database: Database, put_settings: PutSettings, record: Record) -> int:
    """A day of two mandates that pay computed prices, by a version of the book; the id of the next, whose input costs 10."""
    put_settings("acme", users=["ada", "bob"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada", "bob"])
    set_terms(database)
    accepted(database, [row(), row(leaf="output", amount="15")])
    for mandate in ("acme", "pool"):
        set_mode(database, ROOT, mandate, Mode.COMPUTED, created_by="olga", since=SINCE)
    record(*(usage(mandate_id=mandate, event_id=f"e{n}", user_id=("ada", "bob")[n % 2]) for mandate in ("acme", "pool") for n in range(EACH)))
    return accepted(database, [row(amount="10")])


@pytest.fixture
def again(database: Database, monkeypatch: pytest.MonkeyPatch) -> Rerate:
    """Re-rates the day in parts of three events."""
    monkeypatch.setattr(rerate_module, "EVENTS_MAX", 3)
    monkeypatch.setattr("core.movements.revert_prices.EVENTS_MAX", 3)

    def call(version_id: int, key: str = "k", *, database: Database = database, **fields: Any) -> Rerated:
        days = {"first": fields.pop("first", TODAY), "last": fields.pop("last", TODAY + timedelta(days=1))}
        return rerate(database, ROOT, Rerating(key, version_id, **days, **fields), by="olga", worker="test")

    return call


def back(database: Database, key: str = "k", *, dry_run: bool = False) -> list[PriceTotals]:
    """Reverts it."""
    return revert_rerating(database, ROOT, reverting(key, "olga", "test", dry_run=dry_run))


def statistics(database: Database, rows: Rows) -> list[dict[str, Any]]:
    """All statistics as they are once everything is counted."""
    roll_up_usage(database)
    counted = [one for table in ("usage_statistics", "usage_measures") for one in rows(f"SELECT * FROM {table}")]
    told = [{name: str(value) for name, value in one.items() if name != "updated_at"} for one in counted]
    return sorted(told, key=lambda one: sorted(one.items()))


def present(rows: Rows) -> list[dict[str, Any]]:
    """What stands for each event, but for the ids of entries."""
    return rows("""
        SELECT t.mandate_id, t.event_id, t.amount, t.stamp_id, t.price_given, t.price_computed, t.provider_cost, t.provider_currency, t.leaves,
               t.unpriced, t.local_date, t.occurred_at, t.usage_values
          FROM transactions t
         WHERE t.transaction_type = 'DEBIT' AND NOT EXISTS (SELECT FROM amendments m WHERE m.reversed_id = t.id)
         ORDER BY t.mandate_id, t.event_id
    """)


def amounts(rows: Rows) -> set[tuple[Decimal, Decimal]]:
    """The amounts and provider costs that stand."""
    return {(one["amount"], one["provider_cost"]) for one in present(rows)}


def amendments(rows: Rows) -> int:
    """How many amendments there are."""
    return int(rows("SELECT count(*) AS n FROM amendments")[0]["n"])


def test_a_day_is_rated_again_and_taken_back(database: Database, day: int, again: Rerate, rows: Rows, balances: Balances, breaches: Breaches) -> None:
    """Amounts and provider costs are those of the version; the revert leaves balances, statistics and what stands as they were."""
    before, stood, counted = balances(), present(rows), statistics(database, rows)
    assert amounts(rows) == {(OLD, OLD_COST)}
    result = again(day)
    assert [(d.mandate_id, d.model, d.events, d.shadow, d.before, d.after, d.rated_after) for d in result.deltas] == [
        (mandate, "gpt", EACH, 0, EACH * OLD, EACH * NEW, EACH * NEW) for mandate in ("acme", "pool")
    ]
    assert (result.left, result.unchanged, result.repeated) == ([], 0, False)
    assert amounts(rows) == {(NEW, NEW_COST)}
    assert balances()["pool", None] == before["pool", None] - EACH * (NEW - OLD)
    stamps = rows("SELECT s.kind, s.version_id FROM stamps s WHERE s.id IN (SELECT stamp_id FROM transactions WHERE operation_key = 'k')")
    assert stamps == [{"kind": "rated", "version_id": day}]
    assert statistics(database, rows) != counted
    assert broken(breaches) == set()
    assert [(t.mandate_id, t.events, t.amended, t.problems) for t in back(database)] == [(m, EACH, EACH, []) for m in ("acme", "pool")]
    assert (balances(), present(rows), statistics(database, rows)) == (before, stood, counted)
    assert broken(breaches) == set()


def test_a_replay_gives_the_first_result(database: Database, day: int, again: Rerate, rows: Rows) -> None:
    """The same key and question again change nothing, whatever happened since; another question is a conflict."""
    first = again(day)
    other = accepted(database, [row(amount="20")])
    again(other, "k2")
    done = amendments(rows)
    replay = again(day)
    assert (replay.deltas, replay.left, replay.unchanged, replay.repeated) == (first.deltas, first.left, first.unchanged, True)
    assert amendments(rows) == done == 4 * EACH
    with pytest.raises(Conflict, match="'k' was used for another rerate_begun"):
        again(day, model="gpt")


def test_only_what_would_change_is_amended(database: Database, day: int, again: Rerate, rows: Rows) -> None:
    """Rows whose ids differ and whose amounts don't change nothing; and once it is right, nothing is left to do."""
    again(day)
    soon = (NOW + timedelta(days=2)).date().isoformat()
    closing = accepted(database, [row(amount="10", until=soon), row(amount="99", since=soon)])
    result = again(closing, "k2")
    assert (result.deltas, result.unchanged) == ([], 2 * EACH)
    assert amendments(rows) == 2 * EACH


def test_a_dry_run_tells_what_it_will_be_and_writes_nothing(database: Database, day: int, again: Rerate, rows: Rows) -> None:
    """Deltas by mandate and model, of an accepted version or a proposal; afterwards it tells the same of what was done."""
    tables = ("amendments", "transactions", "operation_keys", "accounts", "batches", "stamps")
    before = [rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    asked = Rerating("k", day, TODAY, TODAY + timedelta(days=1))
    dry = check_rerate(database, ROOT, asked)
    assert [rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before
    assert again(day).deltas == dry.deltas
    assert check_rerate(database, ROOT, asked).deltas == dry.deltas


def test_fx_and_rule_stay_those_of_the_stamp_unless_asked_for(database: Database, day: int, again: Rerate, rows: Rows) -> None:
    """A rate that was replaced and a rule that was closed since are taken all the same; with `fx` and `rules` the present ones are."""
    (rule,) = rows("SELECT id FROM sale_rules")
    close_rule(database, ROOT, rule["id"], end=SINCE, closed_by="olga")
    add_rule(database, ROOT, created_by="olga", markup_percent=Decimal(20), valid_from=SINCE)
    given = [GivenRate("USD", TODAY - timedelta(days=n), Decimal("0.9")) for n in range(1, 12)]
    import_fx(database, ROOT, given, source="test", created_by="olga", replace=True)
    again(day, "kept", mandate_id="acme")
    assert {one["amount"] for one in present(rows) if one["mandate_id"] == "acme"} == {NEW}
    again(day, "fx", mandate_id="acme", fx=True)
    assert {one["amount"] for one in present(rows) if one["mandate_id"] == "acme"} == {Decimal("0.011385000")}  # 0.0115 * 0.9 * 1.1
    again(day, "rules", mandate_id="acme", rules=True)  # the rate is that of the stamp that stands by now
    assert {one["amount"] for one in present(rows) if one["mandate_id"] == "acme"} == {Decimal("0.012420000")}  # 0.0115 * 0.9 * 1.2
    again(day, "both", mandate_id="pool", fx=True, rules=True)
    assert {one["amount"] for one in present(rows)} == {Decimal("0.012420000")}


def test_what_was_given_refunded_or_has_no_price_is_listed_and_not_touched(
    database: Database, day: int, again: Rerate, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Producers' prices of both versions, refunded events, and models that the version hasn't: each with its reason."""
    set_mode(database, ROOT, "acme", Mode.GIVEN, created_by="olga", since=OCCURRED_AT + timedelta(minutes=10))
    later = (OCCURRED_AT + timedelta(minutes=20)).isoformat()
    record(event(event_id="v1", occurred_at=later), usage(event_id="v2", price_chf="0.3", occurred_at=later))
    (debit,) = rows("SELECT id FROM transactions WHERE event_id = 'e1' AND mandate_id = 'acme'")
    asked = Refund.read({"mandate_id": "acme", "transaction_id": debit["id"], "amount": "0.001", "key": "r", "by": "olga", "reason": "test"})
    refund(database, ROOT, asked)
    gone = accepted(database, [row(leaf="output", amount="16")], defaults={"openai": {**STANDARD, "service_tier": "flex"}})
    result = again(gone, "gone", mandate_id="acme")
    assert result.left == [Left("acme", "given", 2, "v1"), Left("acme", "unknown_tier", EACH, "e0")]
    result = again(day, mandate_id="acme")
    assert result.left == [Left("acme", "given", 2, "v1"), Left("acme", "refunded", 1, "e1")]
    assert sum(delta.events for delta in result.deltas) == EACH - 1
    assert broken(breaches) == set()


def test_a_dialect_that_the_program_has_not_any_more_is_listed(day: int, again: Rerate, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves that an earlier version of the dialect read stay as they are, unless the present one is asked for."""
    monkeypatch.setattr("core.movements.repricing._VERSIONS", {"openai.responses": 2})
    result = again(day)
    assert (result.deltas, result.left) == ([], [Left(m, "dialect_version", EACH, "e0") for m in ("acme", "pool")])
    again(day, "k2", dialects=True)
    assert amounts(rows) == {(NEW, NEW_COST)}


def test_under_shadow_only_the_computed_price_moves(
    database: Database, day: int, again: Rerate, record: Record, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """What is billed stays to the last digit; the computed price, the provider cost and the stamp beside it are those of the version."""
    set_mode(database, ROOT, "acme", Mode.SHADOW, created_by="olga", since=OCCURRED_AT + timedelta(minutes=10))
    accepted(database, [row(amount="5")])
    record(usage(event_id="s", model="gpt", price_chf="0.25", occurred_at=(OCCURRED_AT + timedelta(minutes=20)).isoformat()))
    version = accepted(database, [row(amount="10")])
    before = balances()
    again(day, "first", mandate_id="pool")
    result = again(version, mandate_id="acme")
    (delta,) = result.deltas
    assert (delta.events, delta.shadow, delta.before - EACH * OLD, delta.after - EACH * NEW) == (EACH + 1, 1, Decimal("0.25"), Decimal("0.25"))
    assert (delta.rated_before, delta.rated_after) == ((EACH + 1) * OLD, (EACH + 1) * NEW)
    (shadow,) = [one for one in present(rows) if one["event_id"] == "s"]
    assert (shadow["amount"], shadow["price_given"], shadow["price_computed"], shadow["provider_cost"]) == (
        Decimal("0.25"),
        Decimal("0.25"),
        NEW,
        NEW_COST,
    )
    assert sum(balances()["acme", u] for u in ("ada", "bob")) == sum(before["acme", u] for u in ("ada", "bob")) - EACH * (NEW - OLD)
    assert broken(breaches) == set()


def test_model_mandate_and_days_choose_the_events(day: int, again: Rerate, rows: Rows) -> None:
    """Another model, another mandate, another day: none of them is touched."""
    assert again(day, "model", model="other").deltas == []
    assert again(day, "day", first=TODAY - timedelta(days=9), last=TODAY - timedelta(days=1)).deltas == []
    assert [delta.mandate_id for delta in again(day, "mandate", mandate_id="pool").deltas] == ["pool"]
    assert amendments(rows) == EACH


def test_a_zone_that_changes_in_between_moves_no_day(
    database: Database, day: int, again: Rerate, change: Change, rows: Rows, breaches: Breaches
) -> None:
    """The new entries stand in the local day of what they replace, and so do those of the revert."""
    days, counted = {one["local_date"] for one in present(rows)}, statistics(database, rows)
    change(time_zone="Pacific/Kiritimati")
    again(day)
    assert {one["local_date"] for one in present(rows)} == days
    assert broken(breaches) == set()
    change(time_zone="Pacific/Pago_Pago")
    back(database)
    assert ({one["local_date"] for one in present(rows)}, statistics(database, rows)) == (days, counted)
    assert broken(breaches) == set()


@pytest.mark.parametrize("commits", range(8))
def test_killed_anywhere_it_goes_on_where_it_stopped(
    commits: int, day: int, again: Rerate, rows: Rows, database_urls: DatabaseUrls, config: Configuration, breaches: Breaches
) -> None:
    """Whichever commit the server dies before, the same call completes, each event once, and the result is that of the whole."""
    mortal = MortalDatabase(database_urls.worker, config)
    mortal.commits_left = commits
    try:
        with pytest.raises(StorageUnavailable):
            again(day, database=mortal)
        assert broken(breaches) == set()
        result = again(day, database=mortal)
        assert [(d.mandate_id, d.events, d.after) for d in result.deltas] == [(m, EACH, EACH * NEW) for m in ("acme", "pool")]
        assert amendments(rows) == 2 * EACH
        mortal.commits_left = commits
        with pytest.raises(StorageUnavailable):
            back(mortal)
        back(mortal)
        assert amounts(rows) == {(OLD, OLD_COST)}
        assert broken(breaches) == set()
    finally:
        mortal.dispose()


def test_two_at_once_under_a_key_amend_each_event_once(
    day: int, again: Rerate, connect: Callable[[], Database], record: Record, rows: Rows, breaches: Breaches
) -> None:
    """The same command three times at the same moment, beside usage of the same accounts: nobody is stuck, nothing is doubled."""
    live = [usage(mandate_id="pool") for _ in range(30)]
    at_once(*[partial(again, day, database=connect()) for _ in range(3)], *[partial(record, *live[n::2], database=connect()) for n in range(2)])
    assert amendments(rows) == 2 * EACH
    assert amounts(rows) == {(NEW, NEW_COST)}
    assert broken(breaches) == set()


def test_a_reverted_key_is_used_up(database: Database, day: int, again: Rerate, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a re-rating that wasn't complete: the same call is refused instead of going on. A second revert reverts nothing."""
    with monkeypatch.context() as patched:
        patched.setattr(rerate_module, "keep_result", lambda *_: pytest.fail("interrupted") if amendments(rows) else None)
        with pytest.raises(pytest.fail.Exception):
            again(day)
    assert [total.amended for total in back(database, dry_run=True)] == [EACH, EACH]
    assert amounts(rows) == {(NEW, NEW_COST)}
    back(database)
    assert [total.amended for total in back(database)] == [0, 0]
    with pytest.raises(Conflict, match="'k' was reverted: re-rate under a new one"):
        again(day)


def test_a_revert_leaves_alone_what_was_rated_again_since(database: Database, day: int, again: Rerate, rows: Rows) -> None:
    """The later price stays and the event is named; the others get theirs of before."""
    again(day)
    again(accepted(database, [row(amount="20")]), "k2", mandate_id="pool")
    acme, pool = back(database)
    assert (acme.amended, pool.amended, len(pool.problems)) == (EACH, 0, EACH)
    assert "was amended again since then" in pool.problems[0]


def test_wrong_requests_are_named(database: Database, day: int, again: Rerate) -> None:
    """A version that isn't there or isn't accepted, days that end before they begin, a mandate without settings, and who isn't root."""
    from core.prices.propose import propose

    proposal = propose(database, ROOT, offer(row(amount="30")), proposed_by="olga").version
    assert proposal is not None
    with pytest.raises(NotFound, match="there is no version 99"):
        again(99)
    with pytest.raises(RequestRefused, match="isn't accepted"):
        again(proposal.id)
    with pytest.raises(RequestRefused, match="ends on 2026-01-01, before it begins on 2026-01-02"):
        Rerating("k", day, date(2026, 1, 2), date(2026, 1, 1))
    with pytest.raises(NotFound, match="mandate 'nobody' has no billing settings"):
        again(day, mandate_id="nobody")
    with pytest.raises(NotFound, match="nothing was re-rated under 'k'"):
        back(database)
    with pytest.raises(Forbidden):
        check_rerate(database, user("ada"), Rerating("k", day, TODAY, TODAY + timedelta(days=1)))
    assert (
        sum(delta.events for delta in check_rerate(database, ROOT, Rerating("k", proposal.id, TODAY, TODAY + timedelta(days=1))).deltas) == 2 * EACH
    )
