"""The tasks as ordinary Celery tasks, called without any worker."""

import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from celery import Celery

import tasks.alerts
import tasks.backfills
import tasks.books
import tasks.directory
import tasks.parked
import tasks.rollup
import tasks.usage
from core.config import Configuration, configuration
from core.database.database import Database
from tests.conftest import Rows
from tests.sample_events import event
from tests.scene import PutMandate

MODULES = (tasks.alerts, tasks.backfills, tasks.books, tasks.directory, tasks.parked, tasks.usage)


@pytest.fixture(autouse=True)
def on_the_tests_database(database: Database, config: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks work on the test's database."""
    for module in MODULES:
        monkeypatch.setattr(module, "database", lambda: database)
        monkeypatch.setattr(module, "configuration", lambda: config)
    monkeypatch.setattr(tasks.rollup, "database", lambda: database)
    monkeypatch.setattr(tasks.usage, "_known_accounts", type(tasks.usage._known_accounts)())


@pytest.fixture
def app() -> Celery:
    """An app that knows the shared tasks, and runs them where they are called."""
    app = Celery("test", set_as_current=False)
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True
    app.finalize()
    return app


def test_apply_records_in_this_process(app: Celery, rows: Rows, put_mandate: PutMandate) -> None:
    """`apply()` of one event and of many records them at once and returns the outcomes in words."""
    put_mandate(users=["ada"])
    one = event(price_chf="0.1")
    assert app.tasks["usage.record"].apply(args=(one,)).get() == "recorded 1"
    assert app.tasks["usage.record"].apply(kwargs={"event": one}).get() == "duplicate 1"
    assert app.tasks["usage.record_batch"].apply(args=([event(price_chf="0.2"), one, {}],)).get() == "recorded 1, duplicate 1, rejected 1"
    assert rows("SELECT sum(amount) s FROM transactions WHERE transaction_type = 'DEBIT'") == [{"s": Decimal("0.300000000")}]


def test_eager_mode_records_in_this_process(app: Celery, rows: Rows, put_mandate: PutMandate) -> None:
    """With `task_always_eager` sending is recording: Decimal prices stay exact."""
    put_mandate(users=["ada"])
    app.tasks["usage.record"].delay(event(price_chf=Decimal("0.123456789")))
    assert rows("SELECT amount FROM transactions WHERE transaction_type = 'DEBIT'") == [{"amount": Decimal("0.123456789")}]


def test_arguments_that_fit_no_event_are_a_dead_letter(app: Celery, rows: Rows) -> None:
    """A call with the wrong arguments is no TypeError that loses the message, but a dead letter."""
    assert app.tasks["usage.record"].apply(kwargs={"evnt": {}}).get() == "rejected 1"
    assert rows("SELECT reason FROM dead_letters") == [{"reason": "malformed_arguments"}]


def test_parked_events_are_released_by_their_task(app: Celery, put_mandate: PutMandate, record: Callable[..., object]) -> None:
    """`parked.release` records what became known and tells how many; asked again it finds none."""
    record(event(), event())
    assert app.tasks["parked.release"].apply().get() == 0
    put_mandate(users=["ada"])
    assert app.tasks["parked.release"].apply().get() == 2
    assert app.tasks["parked.release"].apply().get() == 0


def test_alerts_are_not_published_until_it_is_configured(app: Celery) -> None:
    """Without the setting the job asks no broker (the test's app has none) and does nothing."""
    assert app.tasks["alerts.publish"].apply().get() is None


def test_a_sync_without_a_source_does_nothing(app: Celery, rows: Rows) -> None:
    """Where no source is configured `directory.sync` leaves not even a run."""
    assert app.tasks["directory.sync"].apply().get() is None
    assert rows("SELECT job FROM job_runs") == []


def test_backfills_are_tasks_that_tell_what_they_made(app: Celery, put_mandate: PutMandate, record: Callable[..., object]) -> None:
    """`settings.backfill` and `accounts.backfill` return what they made, once per hour."""
    record(event(user_id="ada"))
    put_mandate(users=["ada", "bob"])
    assert app.tasks["settings.backfill"].apply().get() == {"settings": 1}
    assert app.tasks["accounts.backfill"].apply().get() == {"accounts": 2, "pools": 0, "grants_due": 0, "parked_released": 1}
    assert app.tasks["settings.backfill"].apply().get() is None
    assert app.tasks["accounts.backfill"].apply().get() is None


def test_usage_is_rolled_up_and_days_are_closed_by_their_tasks(
    app: Celery, put_mandate: PutMandate, record: Callable[..., object], rows: Rows
) -> None:
    """`usage.rollup` tells how many batches it counted, `usage.close_day` which days it closed; asked again they find nothing."""
    put_mandate(users=["ada"])
    record(event())
    assert app.tasks["usage.rollup"].apply().get() == 1
    assert app.tasks["usage.rollup"].apply().get() == 0
    record(event())
    (day,) = app.tasks["usage.close_day"].apply().get()
    assert rows("SELECT period, counts FROM job_runs") == [{"period": day, "counts": {"batches": 1, "events": 1}}]
    assert app.tasks["usage.close_day"].apply().get() == []
    assert rows("SELECT sum(event_count)::int AS n FROM usage_statistics WHERE period_type = 'DAY'") == [{"n": 2}]


def test_the_books_are_reconciled_by_their_task(
    app: Celery, put_mandate: PutMandate, record: Callable[..., object], rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    """`books.reconcile` returns the violations of each invariant and says in the log which is broken; again on the day it does nothing."""
    put_mandate(users=["ada"])
    record(event())
    rows("UPDATE accounts SET balance = balance + 0.000000001")
    counts = app.tasks["books.reconcile"].apply().get()
    assert (counts["full"], counts["I1"], counts["I3"]) == (1, 0, 1)
    assert app.tasks["books.reconcile"].apply().get() is None
    assert [r["invariant"] for r in rows("SELECT invariant FROM reconcile_findings WHERE resolved_at IS NULL")] == ["I3"]
    assert "books.invariant_broken" in capsys.readouterr().out


def test_scheduled_jobs_go_to_the_maintenance_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of beat's schedule is a task that exists, routed away from the queues of debits, and it expires."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.delitem(sys.modules, "celeryconfig", raising=False)
    configuration.cache_clear()
    settings: Any = import_module("celeryconfig")
    configuration.cache_clear()
    monkeypatch.delitem(sys.modules, "celeryconfig")
    scheduled = Celery("test", set_as_current=False)
    scheduled.config_from_object(settings)
    scheduled.loader.import_default_modules()
    for entry in settings.beat_schedule.values():
        assert scheduled.amqp.router.route({}, entry["task"])["queue"].name == "maintenance"
        assert entry["task"] in scheduled.tasks
        assert entry["options"]["expires"] > 0
    assert scheduled.amqp.router.route({}, "usage.record")["queue"].name == "usage"
