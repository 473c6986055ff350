"""The tasks by which other services ask for holds."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

import tasks.holds
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from core.ledger.opening import KnownAccounts
from core.metrics import HOLDS
from tests.conftest import Rows
from tests.scene import PutAccount, PutSettings
from worker.guard import OPEN_TASKS

ROOT = Path(__file__).parents[2]
HOLD = {"mandate_id": "acme", "user_id": "ada", "key": "a", "amount": "6"}
NAME = {"mandate_id": "acme", "key": "a"}


@pytest.fixture
def app(
    database: Database, config: Configuration, monkeypatch: pytest.MonkeyPatch, put_settings: PutSettings, put_account: PutAccount
) -> Iterator[Celery]:
    """An app whose tasks work on the test's database, where ada has CHF 10."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    put_account("ada", "10")
    monkeypatch.setattr(tasks.holds, "database", lambda: database)
    monkeypatch.setattr(tasks.holds, "configuration", lambda: config)
    monkeypatch.setattr(tasks.holds, "_known_accounts", KnownAccounts())
    with Celery("test", broker="memory://", set_as_current=False) as app:
        app.finalize()
        yield app


def asked(app: Celery, task: str, **fields: object) -> Any:
    """What the task answers."""
    return app.tasks[task].apply(kwargs=fields).get()


def test_each_is_answered(app: Celery, rows: Rows) -> None:
    """A hold is authorised, refused, renewed and released; an error has its kind and its words."""
    before = HOLDS.labels("allowed")._value.get()
    assert asked(app, "hold.authorise", **HOLD)["result"].allowed
    assert asked(app, "hold.authorise", **{**HOLD, "key": "b"})["result"].reason == "INSUFFICIENT_BALANCE"
    assert HOLDS.labels("allowed")._value.get() == before + 1
    before = "key: 'a' was used for another hold of mandate 'acme' before (another user, amount or call): take a key of its own for each call"
    conflict = {"kind": "conflict", "message": before}
    assert asked(app, "hold.authorise", **{**HOLD, "amount": "5"}) == {"error": conflict}
    assert asked(app, "hold.authorise", **{**HOLD, "amount": 0.5})["error"]["kind"] == "refused"
    assert asked(app, "hold.renew", **NAME, ttl_seconds=3600)["result"].done
    assert asked(app, "hold.release", **NAME)["result"].done
    assert not asked(app, "hold.release", **NAME)["result"].done
    assert asked(app, "hold.release", mandate_id="acme", key="x")["error"]["kind"] == "not_found"
    assert rows("SELECT held FROM accounts") == [{"held": 0}]


def test_a_database_that_is_away_is_answered(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller decides what to do, and may ask again under the same key."""

    def away(*_: object, **__: object) -> object:
        raise StorageUnavailable("the database is away")

    monkeypatch.setattr(tasks.holds, "authorise_all", away)
    assert asked(app, "hold.authorise", **HOLD) == {"error": {"kind": "unavailable", "message": "the database is away"}}


def test_the_schedule_sweeps(app: Celery, rows: Rows) -> None:
    """What the clock has ended it settles, once."""
    asked(app, "hold.authorise", **HOLD)
    rows("UPDATE holds SET expires_at = clock_timestamp() - interval '1 second'")
    assert (asked(app, "hold.expire"), asked(app, "hold.expire")) == (1, 0)
    assert rows("SELECT state FROM holds") == [{"state": "EXPIRED"}]


def test_producers_reach_what_is_theirs() -> None:
    """They write to the queue of checks, which gives them no sweep: that is the schedule's, every few seconds."""
    assert {"hold.authorise", "hold.renew", "hold.release"} <= OPEN_TASKS["checks"]
    assert "hold.expire" not in OPEN_TASKS["checks"]
    shown = "import json, celeryconfig as c; print(json.dumps([c.beat_schedule['hold.expire'], list(c.task_routes.items())]))"
    environment = {**os.environ, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    done = subprocess.run([sys.executable, "-c", shown], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    entry, routes = json.loads(done.stdout)
    assert entry == {"task": "hold.expire", "schedule": 5.0, "options": {"expires": 5}}
    assert [route for route in routes if route[0].startswith("hold.")] == [
        ["hold.expire", {"queue": "maintenance"}],
        ["hold.*", {"queue": "checks"}],
    ]
