"""Scheduled jobs: once per period, one at a time, with what came of them kept; and what housekeeping keeps in order."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import worker.books_metrics
from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.errors import RequestRefused, StorageUnavailable
from core.housekeeping.housekeep import JOB, housekeep
from core.jobs.model import moment_at, period_at
from core.jobs.read import list_job_runs
from core.jobs.run_job import run_job
from core.statistics.roll_up import roll_up_usage
from core.verifying.sql.invariants.dead_letters import AGED_OUT
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate
from worker.books_metrics import BooksMetrics

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_periods_are_named_by_their_beginning() -> None:
    """Any moment of a period gives the same name, in UTC, whatever zone it is told in."""
    assert {period_at(NOON + timedelta(minutes=n), 3600) for n in (0, 1, 59)} == {"2026-01-31T12:00"}
    assert period_at((NOON + timedelta(hours=11)).astimezone(), 6 * 3600) == "2026-01-31T18:00"
    assert moment_at(NOON + timedelta(microseconds=5)) == "2026-01-31T12:00:00.000005"


def test_a_job_is_done_once_per_period(connect: Callable[[], Database], rows: Rows) -> None:
    """However many ask at once for one period, one does it; the others do nothing."""
    done: list[str] = []

    def do(period: str) -> dict[str, int]:
        done.append(period)
        return {"n": 1}

    def ask(database: Database) -> dict[str, int] | None:
        return run_job(database, "test.job", do, worker="test", due=lambda _: "noon")

    results = at_once(*[partial(ask, connect()) for _ in range(8)])
    assert done == ["noon"]
    assert [result for result in results if result] == [{"n": 1}]
    assert ask(connect()) is None
    (run,) = rows("SELECT job, period, worker, counts, error, ended_at >= started_at AS ended FROM job_runs")
    assert run == {"job": "test.job", "period": "noon", "worker": "test", "counts": {"n": 1}, "error": None, "ended": True}


def test_a_job_never_overlaps_itself(connect: Callable[[], Database], rows: Rows) -> None:
    """While a run is at work, another period of the same job does nothing, another job isn't held up, and the run shows no end."""
    begun, finish = threading.Event(), threading.Event()

    def slow(_: str) -> dict[str, int]:
        begun.set()
        assert finish.wait(30)
        return {}

    def ask(job: str, period: str, do: Callable[[str], dict[str, int]]) -> dict[str, int] | None:
        return run_job(connect(), job, do, worker="test", due=lambda _: period)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, "test.job", "1", slow)
        assert begun.wait(30)
        assert rows("SELECT ended_at FROM job_runs") == [{"ended_at": None}]
        assert ask("test.job", "2", lambda _: {}) is None
        assert ask("test.other", "2", lambda _: {"n": 0}) == {"n": 0}
        finish.set()
        assert running.result() == {}
    assert ask("test.job", "2", lambda _: {"n": 2}) == {"n": 2}


def test_a_failed_job_tells_why_and_is_done_again(database: Database) -> None:
    """The row keeps the error, and the next request for the period does the job; so it is after a worker that died in it."""

    def fail(_: str) -> dict[str, int]:
        raise StorageUnavailable("away")

    with pytest.raises(StorageUnavailable):
        run_job(database, "test.job", fail, worker="first", due=lambda _: "noon")
    (run,) = list_job_runs(database, ROOT)
    assert (run.error, run.worker, run.ended_at is not None) == ("away", "first", True)
    assert run_job(database, "test.job", lambda _: {"n": 1}, worker="second", due=lambda _: "noon") == {"n": 1}
    (run,) = list_job_runs(database, ROOT, job="test.job")
    assert (run.error, run.worker, run.counts) == (None, "second", {"n": 1})
    assert list_job_runs(database, ROOT, job="other") == []
    with pytest.raises(RequestRefused):
        list_job_runs(database, ROOT, limit=0)


def test_a_run_whose_worker_died_is_done_again(database: Database, rows: Rows) -> None:
    """A row without an end and without its worker keeps nobody from doing the job, and what it had counted already stays."""
    rows("INSERT INTO job_runs (job, period, worker, counts) VALUES ('test.job', 'noon', 'dead', '{\"before\": 3}')")
    assert run_job(database, "test.job", lambda _: {"n": 1}, worker="test", due=lambda _: "noon") == {"before": 3, "n": 1}


def test_metrics_tell_how_old_the_schedule_is(database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job's age is that of its last good run, and a failure shows; while the database is away the metrics are absent."""
    rows(
        "INSERT INTO job_runs (job, period, worker, started_at, ended_at, error) VALUES"
        " ('a.job', '1', 'w', now() - interval '2 h', now() - interval '1 h', NULL), ('a.job', '2', 'w', now(), now(), 'away'),"
        " ('b.job', '1', 'w', now(), NULL, NULL), ('directory.request', 'latest', 'w', now(), now(), NULL)"
    )
    registry = CollectorRegistry()
    registry.register(BooksMetrics(every_seconds=0))
    monkeypatch.setattr(worker.books_metrics, "database", lambda: database)
    lines = dict(line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))
    assert 3600 <= float(lines.pop('tollbook_job_age_seconds{job="a.job"}')) < 3900
    lines = {name: value for name, value in lines.items() if name.startswith(("tollbook_job", "tollbook_rollup"))}
    assert lines == {
        'tollbook_job_failed{job="a.job"}': "1.0",
        'tollbook_job_failed{job="b.job"}': "0.0",
        "tollbook_rollup_pending_batches": "0.0",
        "tollbook_rollup_pending_seconds": "0.0",
    }

    def away() -> Database:
        raise StorageUnavailable("away")

    monkeypatch.setattr(worker.books_metrics, "database", away)
    assert b"tollbook_" not in generate_latest(registry)


def test_metrics_tell_how_far_the_statistics_are_behind(
    database: Database, record: Record, rows: Rows, put_mandate: PutMandate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every batch that recorded something waits until it is rolled up; the oldest tells for how long."""
    registry = CollectorRegistry()
    registry.register(BooksMetrics(every_seconds=0))
    monkeypatch.setattr(worker.books_metrics, "database", lambda: database)
    put_mandate(users=["ada"])
    for _ in range(2):
        record(event(), event())
    record(b"no event")
    rows("UPDATE batches SET committed_at = committed_at - interval '1 h' WHERE id = (SELECT min(id) FROM batches)")
    assert registry.get_sample_value("tollbook_rollup_pending_batches") == 2
    assert 3600 <= (registry.get_sample_value("tollbook_rollup_pending_seconds") or 0) < 3900
    roll_up_usage(database)
    assert registry.get_sample_value("tollbook_rollup_pending_batches") == 0


def partitions(rows: Rows) -> list[str]:
    """The names of the months' partitions, in their order."""
    found = rows("SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname ~ '^transactions_[0-9]{4}_[0-9]{2}$' ORDER BY 1")
    return [row["name"] for row in found]


def test_partitions_are_there_ahead_of_time(database: Database, config: Configuration, rows: Rows) -> None:
    """Missing partitions are made once per period of six hours, and in the next one there is nothing to do."""
    rows(f"DROP TABLE {', '.join(partitions(rows)[1:])}")
    nothing = {"partitions_made": 0, "rows_moved_from_default": 0, "job_runs_removed": 0, "findings_removed": 0}
    aged = {"dead_letters_aged_out": 0, AGED_OUT: 0, "producers_removed": 0}
    for later, due in ((0, True), (5, False), (6, True)):
        before = partitions(rows)
        counts = housekeep(database, config=config, worker="test", clock=lambda: NOON + timedelta(hours=later))  # noqa: B023 - called at once
        made = len(partitions(rows)) - len(before)  # in the next period one at most, where a month has just begun
        assert counts == ({**nothing, **aged, "partitions_made": made} if due else None)
        assert made >= config.partitions_ahead if later == 0 else made <= due


def test_rows_leave_the_default_partition(
    database: Database, config: Configuration, record: Record, put_mandate: PutMandate, rows: Rows, breaches: Breaches
) -> None:
    """Transactions of months without a partition are moved, unchanged, into partitions of their own, while others record."""
    put_mandate("acme", users=["ada"])
    rows(f"DROP TABLE {', '.join(partitions(rows))}")
    record(*[event() for _ in range(20)])
    rows("UPDATE transactions SET recorded_at = recorded_at - interval '400 days' WHERE id % 2 = 0")
    rows("UPDATE event_keys SET recorded_at = t.recorded_at FROM transactions t WHERE t.id = transaction_id")
    rows("UPDATE accounts SET opened_at = opened_at - interval '400 days'")
    before = rows("SELECT * FROM transactions ORDER BY id")
    assert rows("SELECT count(*) n FROM transactions_default") == [{"n": 21}]
    counts, _ = at_once(lambda: housekeep(database, config=config, worker="test"), lambda: record(*[event() for _ in range(5)]))
    assert isinstance(counts, dict)
    assert counts["rows_moved_from_default"] >= 21
    assert rows("SELECT count(*) n FROM transactions_default") == [{"n": 0}]
    ids = [row["id"] for row in before]
    assert rows("SELECT * FROM transactions WHERE id = ANY(:ids) ORDER BY id", ids=ids) == before
    record(event())
    assert rows("SELECT count(*) n FROM transactions_default") == [{"n": 0}]
    own = "tableoid = to_regclass(to_char(recorded_at AT TIME ZONE 'UTC', '\"transactions_\"YYYY_MM'))"
    assert rows(f"SELECT count(*) n FROM transactions WHERE NOT coalesce({own}, false)") == [{"n": 0}]
    assert {name for name in breaches() if name != "I15"} == set()


def test_resolved_dead_letters_age_out(database: Database, config: Configuration, record: Record, rows: Rows, breaches: Breaches) -> None:
    """A letter resolved and last seen long enough ago goes, its attempts are counted for I8, and it may come again; open ones stay."""
    for n in range(6):
        record(*[b"bad %d" % n] * (n + 1))
    old = "now() - interval '91 days'"
    rows(f"UPDATE dead_letters SET last_seen_at = {old}, first_seen_at = {old}")
    rows(f"UPDATE dead_letters SET status = 'DISCARDED', resolved_at = {old} WHERE attempts >= 3")
    rows("UPDATE dead_letters SET resolved_at = now() WHERE attempts = 5")
    record(b"bad 5")  # seen again just now
    counts = housekeep(database, config=config, worker="test", clock=lambda: NOON)
    assert counts is not None
    assert (counts["dead_letters_aged_out"], counts[AGED_OUT]) == (2, 7)
    assert [row["attempts"] for row in rows("SELECT attempts FROM dead_letters ORDER BY id")] == [1, 2, 5, 7]
    assert breaches() == {}
    record(b"bad 2")
    assert breaches() == {}


def test_letters_that_a_failed_run_removed_stay_counted(
    database: Database, config: Configuration, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Letters go and are counted in one transaction, so a run that fails afterwards and is done again loses no attempt."""
    record(b"one", b"one", b"two")
    rows("UPDATE dead_letters SET status = 'DISCARDED', resolved_at = now() - interval '91 days', last_seen_at = now() - interval '91 days'")
    rows("UPDATE dead_letters SET resolved_at = now() WHERE attempts = 1")
    period = period_at(NOON, 6 * 3600)
    rows(
        "INSERT INTO job_runs (job, period, worker, counts) VALUES (:job, :period, 'dead', CAST(:counts AS jsonb))",
        job=JOB,
        period=period,
        counts=f'{{"{AGED_OUT}": 4}}',
    )
    rows("UPDATE batches SET rejected = rejected + 4")  # of the letters that the dead run had removed
    counts = housekeep(database, config=config, worker="test", clock=lambda: NOON)
    assert counts is not None
    assert (counts["dead_letters_aged_out"], counts[AGED_OUT]) == (1, 6)
    assert breaches() == {}


def test_old_runs_go_but_for_what_i8_needs(database: Database, config: Configuration, rows: Rows) -> None:
    """Runs older than their time are removed, except those that counted letters."""
    rows(
        "INSERT INTO job_runs (job, period, worker, started_at, counts) VALUES ('a', '1', 'w', now() - interval '91 days', '{}'),"
        f" ('a', '2', 'w', now() - interval '91 days', '{{\"{AGED_OUT}\": 1}}'), ('a', '3', 'w', now() - interval '89 days', '{{}}')"
    )
    counts = housekeep(database, config=config, worker="test", clock=lambda: NOON)
    assert counts is not None
    assert counts["job_runs_removed"] == 1
    assert [row["period"] for row in rows("SELECT period FROM job_runs WHERE job = 'a' ORDER BY period")] == ["2", "3"]


def test_findings_that_are_gone_go_but_for_an_operators_word(database: Database, config: Configuration, rows: Rows) -> None:
    """What stands stays however old, and so does what somebody has decided."""
    for subject, detail, resolved in (("old", "{}", 91), ("new", "{}", 89), ("decided", '{"by": "olga", "reason": "x"}', 91), ("open", "{}", None)):
        rows(
            "INSERT INTO reconcile_findings (invariant, subject, detail, resolved_at)"
            " VALUES ('I3', :subject, CAST(:detail AS jsonb), now() - CAST(:resolved AS int) * interval '1 day')",
            subject=subject,
            detail=detail,
            resolved=resolved,
        )
    counts = housekeep(database, config=config, worker="test", clock=lambda: NOON)
    assert counts is not None
    assert counts["findings_removed"] == 1
    assert [row["subject"] for row in rows("SELECT subject FROM reconcile_findings ORDER BY 1")] == ["decided", "new", "open"]
