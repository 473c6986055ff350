"""The nightly check: what it looks at, what it keeps of what it finds, and that nothing slips in behind its checkpoint."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import make_url, text

import worker.books_metrics
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from core.jobs.read import list_job_runs
from core.ledger.opening import KnownAccounts
from core.statistics.roll_up import roll_up_usage
from core.verifying import reconcile as reconcile_module
from core.verifying.read_findings import Finding, list_findings
from core.verifying.reconcile import JOB, reconcile, violations_in
from core.verifying.sql import checkpoint
from lab.postgres import PostgresServer
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, Record, Rows, own_database
from tests.sample_events import event
from tests.scene import PutSettings
from tests.verifying.test_verify import SECOND_TRANSACTION, TAMPERINGS, book
from worker.books_metrics import BooksMetrics

__all__ = ["book"]

NIGHT = datetime(2026, 1, 31, 0, 37, tzinfo=UTC)
CHECKPOINT = """
    SELECT recorded_before = '-infinity' AS none, recorded_before > (SELECT max(recorded_at) FROM transactions) AS after_all FROM reconcile_checkpoint
"""
Run = Callable[..., dict[str, int]]


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Reconciles the test's books now; the checkpoint may follow up to the moment of the run before."""
    monkeypatch.setattr(checkpoint, "HELD_BACK_HOURS", 0)

    def call(*, full: bool = False) -> dict[str, int]:
        counts = reconcile(database, worker="test", full=full, at_once=True)
        assert counts is not None
        return counts

    return call


@pytest.fixture
def found(database: Database) -> Callable[[], list[Finding]]:
    """The findings that stand."""
    return lambda: list_findings(database, ROOT)


@pytest.fixture
def behind(run: Run, record: Record, put_settings: PutSettings, database: Database, rows: Rows) -> str:
    """The id of an event before the checkpoint, of a mandate with a pool."""
    put_settings("old", BillingModel.PREPAY_MANDATE, users=["ada", "olga"])
    old = event(mandate_id="old", price_chf="0.25", model="m", usage={"input_tokens": 5})
    record(old, event(mandate_id="old", user_id="olga"))
    roll_up_usage(database)
    assert [run()["full"], run()["full"]] == [1, 1]
    assert rows(CHECKPOINT) == [{"none": False, "after_all": True}]
    return str(old["event_id"])


def test_books_in_order_have_no_findings(behind: str, book: object, run: Run, found: Callable[[], list[Finding]], database: Database) -> None:
    """Usage, grants, switches and conflicts after the checkpoint add up with the sums before it, rolled up or not, run after run."""
    for _ in range(3):
        assert violations_in(counts := run()) == {}
        assert (counts["full"], "I18" in counts) == (0, False)
        roll_up_usage(database)
    assert violations_in(run(full=True)) == {}
    assert found() == []


@pytest.mark.parametrize(("invariant", "tampering"), TAMPERINGS)
def test_what_breaks_after_the_checkpoint_is_found_from_there_on(
    behind: str, book: dict[str, object], run: Run, rows: Rows, invariant: str, tampering: str
) -> None:
    """Each tampering that `verify` reports is found by a run that looks at the newer entries alone."""
    rows("ALTER TABLE transactions DROP CONSTRAINT ck_transactions_amount_range")
    rows(tampering, **({"first": book["event_id"]} if ":first" in tampering else {}))
    counts = run()
    assert counts["full"] == 0
    assert counts[invariant] > 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE usage_statistics SET cost = cost + 1 WHERE period_type = 'DAY' AND mandate_id = 'free'",
        "UPDATE usage_statistics SET input_tokens = input_tokens + 1 WHERE period_type = 'MONTH' AND mandate_id = 'free'",
        "UPDATE usage_statistics SET event_count = event_count + 1 WHERE period_type = 'YEAR' AND mandate_id = 'old'",
        "UPDATE usage_statistics SET refunded = 1 WHERE period_type = 'DAY' AND mandate_id = 'old' AND model = 'm'",
        "DELETE FROM usage_statistics WHERE mandate_id = 'old'",
        "DELETE FROM usage_statistics WHERE mandate_id = 'later'",
    ],
)
def test_statistics_are_compared_by_their_totals(behind: str, book: object, run: Run, rows: Rows, database: Database, tampering: str) -> None:
    """A wrong day, month or year shows in a run from the checkpoint on, on whichever side of it its usage lies."""
    roll_up_usage(database)
    assert run()["I6"] == 0
    rows(tampering)
    counts = run()
    assert (counts["full"], counts["I6"] > 0) == (0, True)


def test_days_after_the_checkpoint_are_compared_group_by_group(
    behind: str, run: Run, record: Record, put_settings: PutSettings, database: Database, rows: Rows
) -> None:
    """Cost that is booked under another model, with totals that are right, shows for a day that began a day after the checkpoint."""
    record(event(mandate_id="old", model="a"), event(mandate_id="old", model="b"))
    roll_up_usage(database)
    rows("UPDATE reconcile_checkpoint SET recorded_before = recorded_before - interval '3 days', next_before = NULL")
    rows("DELETE FROM reconcile_sums")  # all of it is recorded since then
    assert violations_in(run()) == {}
    rows("UPDATE usage_statistics SET model = CASE model WHEN 'a' THEN 'c' ELSE 'a' END WHERE model IN ('a', 'b')")
    counts = run()
    assert (counts["full"], counts["I6"] > 0) == (0, True)


def test_a_finding_stands_until_it_is_gone(behind: str, run: Run, rows: Rows, database: Database) -> None:
    """It is kept with its first and its last sight, resolved once it isn't seen any more, and there again when it comes back."""
    rows("UPDATE accounts SET balance = balance - 0.1 WHERE mandate_id = 'old' AND user_id IS NULL")
    counts = run()
    assert (counts["I3"], counts["findings_new"], counts["findings_gone"]) == (1, 1, 0)
    (first,) = list_findings(database, ROOT)
    assert (first.invariant, first.first_seen_at == first.last_seen_at, first.resolved_at) == ("I3", True, None)
    assert first.found == ["balance -0.600000000 CHF, movements sum to -0.500000000 CHF"]
    assert run()["findings_new"] == 0
    (second,) = list_findings(database, ROOT, invariant="I3")
    assert second.last_seen_at > first.last_seen_at == second.first_seen_at
    rows("UPDATE accounts SET balance = balance + 0.1 WHERE mandate_id = 'old' AND user_id IS NULL")
    counts = run()
    assert (counts["I3"], counts["findings_new"], counts["findings_gone"]) == (0, 0, 1)
    assert list_findings(database, ROOT) == []
    (gone,) = list_findings(database, ROOT, with_resolved=True)
    assert gone.resolved_at is not None
    assert (gone.resolved_at > gone.last_seen_at, gone.last_seen_at) == (True, second.last_seen_at)
    rows("UPDATE accounts SET balance = balance - 0.2 WHERE mandate_id = 'old' AND user_id IS NULL")
    assert run()["findings_new"] == 1
    (again,) = list_findings(database, ROOT)
    assert (again.id, again.first_seen_at, again.resolved_at) == (first.id, first.first_seen_at, None)


def test_a_finding_behind_the_checkpoint_is_looked_for_wherever_it_is(behind: str, run: Run, rows: Rows, database: Database) -> None:
    """What a full run found among old entries, later runs see too: it isn't taken for gone because they look at newer ones."""
    rows("UPDATE transactions SET model = 'other' WHERE event_id = :id", id=behind)
    assert violations_in(run()) == {}
    assert {"I2": 1, "I6": 6}.items() <= run(full=True).items()
    for _ in range(2):
        counts = run()
        assert (counts["full"], counts["I2"], counts["findings_gone"]) == (0, 1, 0)
    rows("UPDATE transactions SET model = 'm' WHERE event_id = :id", id=behind)
    assert run()["I2"] == 0
    assert list_findings(database, ROOT) == []


def test_of_many_findings_the_first_are_kept_and_none_is_taken_for_gone(
    behind: str, book: object, run: Run, rows: Rows, found: Callable[[], list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All violations are counted; beyond the limit those that aren't looked at by name stay as they are."""
    rows("UPDATE accounts SET balance = balance + 1")
    all_of_them = run()["I3"]
    assert all_of_them == len(rows("SELECT FROM accounts")) == len([f for f in found() if f.invariant == "I3"])
    monkeypatch.setattr(reconcile_module, "FINDINGS_MAX", 2)
    counts = run()
    assert (counts["I3"], counts["findings_gone"]) == (all_of_them, 0)
    assert len([f for f in found() if f.invariant == "I3"]) == all_of_them


def test_what_commits_late_is_looked_at(behind: str, run: Run, rows: Rows, owner_database: Database, found: Callable[[], list[Finding]]) -> None:
    """The checkpoint waits for every transaction that was open when its time was chosen, so that what it writes is not behind it."""
    with owner_database.transaction() as late:
        late.execute(text("SELECT now()"))
        for _ in range(3):
            assert violations_in(run()) == {}
        late.execute(text(SECOND_TRANSACTION.replace("'id', 999", "'id', 999, 'recorded_at', now()") + "t.event_id = :id"), {"id": behind})
    stand = rows("SELECT recorded_before <= (SELECT recorded_at FROM transactions WHERE id = 999) AS before_it FROM reconcile_checkpoint")
    assert stand == [{"before_it": True}]
    counts = run()
    assert (counts["full"], counts["I1"], counts["I3"]) == (0, 1, 1)
    assert {"I1", "I3"} <= {finding.invariant for finding in found()}


def test_late_usage_is_added_up_like_any_other(
    behind: str, run: Run, connect: Callable[[], Database], record: Record, put_settings: PutSettings, rows: Rows, database: Database
) -> None:
    """Usage recorded while the checkpoint moves on, by transactions open across runs, leaves sums that a full run confirms."""

    def record_some() -> None:
        own = connect()
        for _ in range(20):
            record(event(mandate_id="old"), event(mandate_id="old", user_id="olga", price_chf="0.1"), database=own)

    def reconcile_some() -> None:
        for _ in range(10):
            roll_up_usage(database)
            assert violations_in(run()) == {}

    at_once(record_some, record_some, reconcile_some)
    roll_up_usage(database)
    run()
    run()
    assert rows(CHECKPOINT) == [{"none": False, "after_all": True}]
    assert violations_in(run(full=True)) == {}
    (sums,) = rows("SELECT sum(event_count)::int AS events, sum(movements) AS movements FROM reconcile_sums")
    assert sums == rows("SELECT count(*)::int AS events, sum(-amount) AS movements FROM transactions WHERE reference_type = 'WORKFLOW'")[0]


def test_the_checkpoint_waits_for_the_rollup(behind: str, run: Run, record: Record, rows: Rows, database: Database) -> None:
    """Usage that isn't rolled up stays before the checkpoint however many runs pass, so statistics can be compared with its sums."""
    record(event(mandate_id="old"))
    for _ in range(3):
        assert violations_in(run()) == {}
    assert rows(CHECKPOINT) == [{"none": False, "after_all": False}]
    roll_up_usage(database)
    assert violations_in(run()) == {}
    assert rows(CHECKPOINT) == [{"none": False, "after_all": True}]
    assert violations_in(run()) == {}


def test_a_restored_backup_is_in_order(
    behind: str, run: Run, record: Record, database: Database, owner_database: Database, database_urls: DatabaseUrls, postgres: PostgresServer,
    config: Configuration,
) -> None:  # fmt: skip
    """A copy of the books holds the checkpoint that belongs to it: what is recorded there afterwards adds up, and nothing is taken for wrong."""
    record(event(mandate_id="old"))
    database.dispose()
    owner_database.dispose()
    with own_database(postgres, str(make_url(database_urls.worker).database)) as urls:
        restored = Database(urls.worker, config)
        try:
            for _ in range(3):
                record(event(mandate_id="old"), database=restored, known_accounts=KnownAccounts())
                roll_up_usage(restored)
                counts = reconcile(restored, worker="test", at_once=True)
                assert counts is not None
                assert (counts["full"], violations_in(counts)) == (0, {})
            counts = reconcile(restored, worker="test", full=True, at_once=True)
            assert counts is not None
            assert violations_in(counts) == {}
        finally:
            restored.dispose()
    assert violations_in(run()) == {}


def test_the_checkpoint_lies_three_days_back(database: Database, record: Record, put_settings: PutSettings, rows: Rows) -> None:
    """As shipped, what was recorded within the last three days is looked at again by every run."""
    put_settings(users=["ada"])
    record(event())
    for _ in range(3):
        assert reconcile(database, worker="test", at_once=True) is not None
    assert rows("SELECT recorded_before BETWEEN now() - interval '73 hours' AND now() - interval '72 hours' AS yes FROM reconcile_checkpoint") == [
        {"yes": True}
    ]
    assert rows("SELECT FROM reconcile_sums") == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET amount = 0.2 WHERE event_id = :id",
        "DELETE FROM transactions WHERE event_id = :id",
        "UPDATE reconcile_sums SET movements = movements + 1 WHERE movements <> 0 AND CAST(:id AS text) IS NOT NULL",
        "UPDATE reconcile_sums SET input_tokens = 6 WHERE input_tokens = 5 AND CAST(:id AS text) IS NOT NULL",
        "DELETE FROM reconcile_sums WHERE event_count = 0 AND CAST(:id AS text) IS NOT NULL",
    ],
)
def test_a_full_run_sees_that_old_entries_add_up_to_what_they_did(behind: str, run: Run, rows: Rows, change: str) -> None:
    """A transaction changed or deleted behind the checkpoint breaks I18, and so do wrong sums; until a decision every run is full."""
    rows(change, id=behind)
    assert run(full=True)["I18"] > 0
    counts = run()
    assert (counts["full"], counts["I18"] > 0) == (1, True)


def test_a_full_run_comes_once_a_week(behind: str, run: Run, rows: Rows) -> None:
    """A week after the last one a run is full without being asked to."""
    rows("UPDATE reconcile_checkpoint SET full_at = now() - interval '6 days'")
    assert run()["full"] == 0
    rows("UPDATE reconcile_checkpoint SET full_at = now() - interval '7 days'")
    assert [run()["full"], run()["full"]] == [1, 0]


def test_a_reconciliation_is_a_job_of_the_day(database: Database, rows: Rows) -> None:
    """It is done once per UTC day, by one at a time, and keeps what it counted; a failure is kept and made up."""
    ask = partial(reconcile, database, worker="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile_module, "judge", _away)
        with pytest.raises(StorageUnavailable):
            ask(clock=lambda _: NIGHT)
    assert [(r.job, r.error) for r in list_job_runs(database, ROOT)] == [(JOB, "away")]
    counts = ask(clock=lambda _: NIGHT + timedelta(hours=1))
    assert counts is not None
    assert ask(clock=lambda _: NIGHT + timedelta(hours=23)) is None
    assert ask(clock=lambda _: NIGHT + timedelta(hours=24)) is not None
    newest, oldest = list_job_runs(database, ROOT)
    assert (newest.period, oldest.period, oldest.error, oldest.counts) == ("2026-02-01T00:00", "2026-01-31T00:00", None, counts)
    assert rows("SELECT FROM reconcile_findings") == []


def _away(*_: object) -> None:
    raise StorageUnavailable("away")


@pytest.fixture
def metrics(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """Scrapes the metrics of the test's books: `{name with labels: value}`."""
    registry = CollectorRegistry()
    registry.register(BooksMetrics(every_seconds=0))
    monkeypatch.setattr(worker.books_metrics, "database", lambda: database)

    def scrape() -> dict[str, str]:
        lines = generate_latest(registry).decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line.startswith("tollbook_invariant_violations{"))

    return scrape


def test_metrics_tell_the_violations_of_the_latest_run(
    behind: str, run: Run, rows: Rows, metrics: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One gauge per invariant looked at, out of the books; while the database is away it is absent."""
    rows("UPDATE accounts SET balance = balance - 0.1 WHERE mandate_id = 'old'")
    run()
    scraped = metrics()
    assert scraped.pop('tollbook_invariant_violations{invariant="I3"}') == "3.0"
    assert set(scraped.values()) == {"0.0"}
    assert {"I1", "H1", "K1", "P1"} <= {name.split('"')[1] for name in scraped}
    monkeypatch.setattr(worker.books_metrics, "database", _away)
    assert metrics() == {}
