"""docs/interface.md is true: each line of its tables can be asked in each way that it names, and all give the same."""

import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from celery import Celery

import tasks.balance
import tasks.caps
import tasks.holds
import tasks.movements
import tasks.settings
import tasks.usage
import tasks.views
from core.asking.rights import ROOT
from core.billing import BillingModel, CapAction, CapPeriod
from core.caps.set_cap import NewCap, set_cap
from core.config import Configuration
from core.database.database import Database
from core.events.outcome import Outcome
from core.json_text import json_text
from core.ledger.opening import KnownAccounts
from core.movements.update_settings import update_settings
from core.producers.merge import merge_producers
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.read import settings_of
from core.statistics.roll_up import roll_up_usage
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.holds.asking import Holds
from tests.reports.priced_scene import put_modes
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

__all__ = ["run"]

DOCUMENT = (Path(__file__).parents[2] / "docs" / "interface.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ([^|`]+) \| `(core\.[\w.]+)` \| `(tollbook [^`]+)`[^|]*\| `([\w.]+)`(?: `([^`]+)`)?", re.MULTILINE)
LINES = {f"{line[1]} ({line[4]})": line for line in _ROW.finditer(DOCUMENT)}
READS = [name for name, line in LINES.items() if line[4].startswith("view.") or line[4] in ("settings.get", "balance.check")]
CHANGES = [name for name in LINES if name not in READS and "usage.record" not in name]
MODULES: tuple[Any, ...] = (tasks.balance, tasks.caps, tasks.holds, tasks.movements, tasks.settings, tasks.usage, tasks.views)


@pytest.fixture
def app(database: Database, config: Configuration, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app whose tasks work on the test's database."""
    for module in MODULES:
        monkeypatch.setattr(module, "database", lambda: database)
        monkeypatch.setattr(module, "configuration", lambda: config, raising=False)
    for module in (tasks.holds, tasks.usage):
        monkeypatch.setattr(module, "_known_accounts", KnownAccounts())
    with Celery("test", broker="memory://", set_as_current=False) as app:
        app.finalize()
        yield app


@pytest.fixture(autouse=True)
def books(database: Database, config: Configuration, record: Record, rows: Rows, put_settings: PutSettings, put_mandate: PutMandate) -> None:
    """The books that the table's examples are about: ada pays for herself in acme, the pool for her in globex, since before February.

    Acme's prices are compared with computed ones, and a cap tells of its usage.
    """
    put_settings("acme", users=["ada", "bob"])
    set_cap(database, ROOT, NewCap(mandate_id="acme", by="olga", period=CapPeriod.TOTAL, limit_chf=Decimal(10), action=CapAction.ALERT))
    put_settings("globex", BillingModel.PREPAY_MANDATE, users=["ada"])
    rows("UPDATE billing_settings_history SET changed_at = '2026-01-31T00:00:00Z'")
    put_mandate("initech")
    put_modes(rows, acme="shadow")
    clock = partial(datetime.fromisoformat, "2026-02-15T12:00:00Z")
    moment = "2026-02-14T12:00:00Z"
    record(event(event_id="e1", price_chf="9.5", model="m", occurred_at=moment), clock=clock)
    record(event(price_chf="2.5", mandate_id="globex", occurred_at=moment), clock=clock)
    record(event(price_chf="0.5", user_id="bob", occurred_at=moment), clock=clock)
    record(*[event(mandate_id="globex", price_chf="0.125", occurred_at=moment) for _ in range(2)], clock=clock)
    roll_up_usage(database)
    rows("INSERT INTO producer_ranges (producer_id, seen, seen_at) VALUES ('shop-1', '{[2,3)}', now() - interval '100000.5 seconds')")
    merge_producers(database)
    holds = Holds(database, config)
    holds.authorise("call-1", "0.05")
    holds.authorise("call-2", "0.05", at=clock())
    holds.expire()


def test_the_tables_name_every_door() -> None:
    """Each task that answers stands in a table, and each row of it is understood by this test."""
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and "`core." in line]
    assert len(rows) == len(LINES)
    answering = {
        name
        for module in (tasks.balance, tasks.caps, tasks.holds, tasks.settings)
        for name in re.findall(r'name="([\w.]+)"', inspect.getsource(module))
    }
    assert {line[4] for line in LINES.values()} == {*tasks.views.VIEWS, *tasks.movements.MOVEMENTS, *answering - {"hold.expire"}, "usage.record"}


@pytest.mark.parametrize("name", READS)
def test_each_read_is_the_same_in_each_way(name: str, database: Database, config: Configuration, run: Run, app: Celery) -> None:
    """Function, command and task of the line return the same, and something."""
    line = LINES[name]
    fields = json.loads(line[5])
    returned = plain(called(line[2], line[4], database, config)(fields))
    assert returned
    actor = {"actor": {"role": "root"}} if line[4].startswith("view.") else {}
    assert taken_from(answered(app, line[4], {**actor, **fields}), returned) == returned
    ended = run(*shlex.split(line[3])[1:], "--json")
    assert ended.code == 0, ended.err
    assert taken_from(timeless(ended.json), returned) == returned


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_the_same_in_each_way(name: str, database: Database, config: Configuration, run: Run, app: Celery) -> None:
    """What a function did under a key is what its command and its task answer with under the same key."""
    line = LINES[name]
    fields = json.loads(line[5])
    returned = plain(called(line[2], line[4], database, config)(fields))
    answer = answered(app, line[4], fields)
    ended = run(*shlex.split(line[3])[1:], "--json")
    if line[4] == "settings.create":  # takes no key: a second time is somebody else's
        assert answer["error"]["kind"] == "conflict"
        assert (ended.code, "has billing settings already" in ended.err) == (5, True)
        return
    first = {**returned, **{told: True for told in ("repeated", "existed") if told in returned}}
    if line[4] == "hold.release":
        first["done"] = False
    if line[4] == "caps.set":  # takes no key either: it says that it is so already
        first |= {"done": "UNCHANGED", "crossings": 0}
    assert ended.code == 0, ended.err
    assert answer == ended.json == first


def test_usage_is_recorded_by_function_and_task(database: Database, config: Configuration, app: Celery, record: Record) -> None:
    """What the function recorded is a duplicate to the task."""
    sent = event(event_id="once")
    assert record(sent).outcomes == [Outcome.RECORDED]
    assert app.tasks["usage.record"].apply(args=(sent,)).get() == "duplicate 1"


@pytest.mark.parametrize(
    ("view", "fields", "message"),
    [
        ("balance_at", {"mandate_id": "acme", "at": "2026-11-22T00:00:00"}, "at: '2026-11-22T00:00:00' is not an RFC 3339 time with offset"),
        ("balance_at", {"mandate_id": "acme", "at": 1767139200}, "at: 1767139200 is not an RFC 3339 time with offset"),
        ("statement", {"mandate_id": "acme", "month": 0}, "month: 0 is not a day such as 2026-01-31"),
        ("transactions_of_account", {"account_id": 1, "first": "20260101"}, "first: '20260101' is not a day such as 2026-01-31"),
        ("transactions_of_account", {"account_id": 1, "last": "2026-02-30"}, "last: '2026-02-30' is not a day such as 2026-01-31"),
        ("transactions_of_account", {"account_id": True}, "account_id: True"),
        ("mandate_balances", {"after": "\x00"}, "after: "),
        ("mandate_balances", {"after": "\ud800"}, "after: "),
        ("mandate_balances", {"mandate_ids": []}, "mandate_ids: "),
        ("mandate_balances", {"actor": {"role": "administrator", "mandate_ids": ["a\x00"]}}, "actor.mandate_ids.0: "),
        ("accounts_of", {"mandate_id": "acme", "offset": 2**70}, "offset: "),
        ("statistics_of_account", {"account_id": 1, "period_type": "DAY", "year": 2**70}, "year: "),
        ("statistics_of_account", {"account_id": 1, "period_type": "DAY", "year": 2026, "month": 13}, "month: 13 "),
        ("mandate_balances", {"limit": 20_000}, "limit must be 1 to 10000 (got 20000)"),
        ("mandate_balances", {"limits": 5}, "limits: is not a field"),
    ],
)
def test_a_wrong_message_is_refused_with_field_and_value(app: Celery, view: str, fields: dict[str, Any], message: str) -> None:
    """Nothing is guessed: a time without offset is no day, a number no date."""
    answer = app.tasks[f"view.{view}"].apply(kwargs={"actor": {"role": "root"}, **fields}).get()
    assert answer["error"]["kind"] == "refused"
    assert answer["error"]["message"].startswith(message), answer


def called(path: str, task: str, database: Database, config: Configuration) -> Callable[[dict[str, Any]], Any]:
    """The function of that name, as one of a task's fields."""
    module, _, name = path.rpartition(".")
    function = getattr(import_module(module), name)
    if task in tasks.views.VIEWS:
        question, view = tasks.views.VIEWS[task]
        assert view is function
        return lambda fields: function(database, ROOT, **question.read({"actor": ROOT, **fields}).arguments())
    if function is settings_of:
        return lambda fields: function(database, ROOT, **fields)
    if function in (get_or_create_settings, create_settings):
        given: dict[str, Any] = {} if function is get_or_create_settings else {"values": {}}
        return lambda fields: function(database, ROOT, fields["mandate_id"], **given, created_by=fields["by"], config=config)
    if function is update_settings:
        return lambda fields: function(database, ROOT, fields["mandate_id"], fields["changes"], changed_by=fields["by"], config=config)
    asked = get_type_hints(function)["asked"]
    more = {"config": config} if "config" in inspect.signature(function).parameters else {}
    return lambda fields: function(database, ROOT, asked.read(fields), **more)


def answered(app: Celery, task: str, fields: dict[str, Any]) -> Any:
    """What the task answers with: its result, or the whole answer where that is an error."""
    answer = plain(app.tasks[task].apply(kwargs=fields).get())
    return answer.get("result", answer)


def plain(value: object) -> Any:
    """The value as JSON gives it."""
    return timeless(json.loads(json_text(value)))


def timeless(value: Any) -> Any:
    """The JSON value without what is another one in every second."""
    if isinstance(value, list):
        return [timeless(one) for one in value]
    return {name: timeless(one) for name, one in value.items() if name != "age_seconds"} if isinstance(value, dict) else value


def taken_from(shown: Any, returned: Any) -> Any:
    """What of a command's document or a task's answer stands in what was returned; `stats` shows sums beside its rows."""
    if isinstance(shown, dict) and isinstance(returned, list):
        return shown["rows"]
    if isinstance(shown, dict) and "as_of" in shown:
        return {**{name: value for name, value in shown.items() if name in returned}, "as_of": returned["as_of"]}  # each as of its own moment
    return shown
