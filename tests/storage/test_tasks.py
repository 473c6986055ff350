"""The tasks as ordinary Celery tasks, called without any worker."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from celery import Celery

import tasks.alerts
import tasks.backfills
import tasks.books
import tasks.directory
import tasks.parked
import tasks.usage
from core.config import Configuration
from core.storage.database import Database
from tests.conftest import Rows
from tests.events import event
from tests.storage.conftest import PutMandate

MODULES = (tasks.alerts, tasks.backfills, tasks.books, tasks.directory, tasks.parked, tasks.usage)


@pytest.fixture(autouse=True)
def on_the_tests_database(database: Database, config: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks work on the test's database."""
    for module in MODULES:
        monkeypatch.setattr(module, "database", lambda: database)
        monkeypatch.setattr(module, "configuration", lambda: config)
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
