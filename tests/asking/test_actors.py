"""Every view and every operation, asked as everybody: who is answered, and who is refused."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import core
from core.asking.rights import ROOT, Actor, administrator, user
from core.billing import BillingModel, CapPeriod
from core.caps.set_cap import NewCap, set_cap
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from core.errors import Forbidden, NotFound
from core.ledger.read_accounts import accounts_of
from core.ledger.read_transactions import transactions_of_mandates, transactions_of_user, user_transactions
from core.producers.merge import merge_producers
from core.reports.export import statistics_export, transactions_export
from core.reports.overview import overview
from core.reports.statements_due import statements_due, users_due
from tasks.views import VIEWS
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

ACTORS = {"root": ROOT, "acme": administrator("acme"), "globex": administrator("globex"), "ada": user("ada"), "bob": user("bob")}
OF_ACME, OF_ADA = "root acme", "root acme ada"  # who sees what is of the mandate, and of ada in it
ACCOUNT, HOLDER = {"account_id": 1}, {"mandate_id": "acme", "user_id": "ada"}
OLD_DAYS = {"first": "2000-01-01", "last": "2000-01-31"}
DAYS = {"first": "2026-01-01", "last": "2026-12-31"}

# Each view with what is asked of it, and who is answered.
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("settings_of", {"mandate_id": "acme"}, OF_ACME),
    ("list_settings", {}, "root acme globex"),
    ("list_settings", {"mandate_ids": ["acme"]}, OF_ACME),
    ("settings_history", {"mandate_id": "acme"}, OF_ACME),
    ("account", ACCOUNT, OF_ADA),
    ("account", {"account_id": 4711}, ""),
    ("holder_account", HOLDER, OF_ADA),
    ("holder_account", {"mandate_id": "globex"}, "root globex"),
    ("accounts_of", {"mandate_id": "acme"}, OF_ACME),
    ("balance", HOLDER, OF_ADA),
    ("balance", {"mandate_id": "acme"}, OF_ACME),
    ("balance_at", {**HOLDER, "at": "2999-01-01"}, OF_ADA),
    ("balances_of_user", {"user_id": "ada"}, "root acme globex ada"),
    ("balances_of_user", {"user_id": "ada", "mandate_ids": ["acme"]}, OF_ADA),
    ("mandate_balances", {}, "root acme globex"),
    ("mandate_balances", {"mandate_ids": ["acme"]}, OF_ACME),
    ("user_balances", {}, "root acme globex"),
    ("user_balances", {"mandate_ids": ["acme"]}, OF_ACME),
    ("low_balances", {}, "root acme globex"),
    ("low_balances", {"mandate_ids": ["acme"]}, OF_ACME),
    ("transactions_of_account", ACCOUNT, OF_ADA),
    ("movements_of_account", ACCOUNT, OF_ADA),
    ("movements_of_account", {"account_id": 2}, "root globex"),  # the pool pays for ada too, and for others
    ("transactions_of_mandate", {"mandate_id": "acme"}, OF_ACME),
    ("transactions_of_mandates", {}, "root acme globex"),
    ("transactions_of_mandates", {"mandate_ids": ["acme", "globex"]}, "root"),
    ("transactions_of_user", {"user_id": "ada"}, "root acme globex ada"),
    ("transactions_of_user", {"user_id": "ada", "mandate_ids": ["acme"]}, OF_ADA),
    ("user_transactions", {}, "root acme globex"),
    ("user_transactions", {"mandate_ids": ["acme"]}, OF_ACME),
    ("statistics_of_account", {**ACCOUNT, "period_type": "DAY", "year": 2026}, OF_ADA),
    ("computed_statistics", {**ACCOUNT, **DAYS}, OF_ADA),
    ("statistics_of", {"mandate_id": "acme", "by": "DAY", **DAYS}, OF_ACME),
    ("statistics_of", {**HOLDER, "by": "DAY", **DAYS}, OF_ADA),
    ("twins", OLD_DAYS, "root acme globex"),
    ("twins", {"mandate_ids": ["acme"], **OLD_DAYS}, OF_ACME),
    ("shadow_prices", DAYS, "root"),
    ("shadow_prices", {"mandate_ids": ["acme"], **DAYS}, "root"),
    ("hold", {"mandate_id": "acme", "key": "call-1"}, OF_ADA),
    ("list_holds", {}, "root acme globex"),
    ("list_holds", {"mandate_ids": ["acme"]}, OF_ACME),
    ("list_holds", {"user_id": "ada"}, "root acme globex ada"),
    ("list_holds", {"user_id": "ada", "mandate_ids": ["acme"]}, OF_ADA),
    ("expired_holds", {}, "root acme globex"),
    ("expired_holds", {"mandate_ids": ["acme"]}, OF_ACME),
    ("list_alerts", {}, "root acme globex"),
    ("list_alerts", {"mandate_ids": ["acme"]}, OF_ACME),
    ("list_cap_alerts", {}, "root acme globex"),
    ("list_cap_alerts", {"mandate_ids": ["acme"]}, OF_ACME),
    ("list_caps", {}, "root acme globex"),
    ("list_caps", {"mandate_ids": ["acme"]}, OF_ACME),
    ("cap", {"mandate_id": "acme", "cap_id": 1}, OF_ACME),
    ("list_producers", {}, "root"),
    ("list_missing", {"producer_id": "p1"}, "root"),
    ("statement", {"mandate_id": "acme", "month": "2026-01-01"}, OF_ACME),
    ("statement", {**HOLDER, "month": "2026-01-01"}, OF_ADA),
    ("explain", {"transaction_id": 1}, OF_ADA),
    ("explain_event", {"mandate_id": "acme", "event_id": "e51"}, OF_ADA),
]


def functions_of(packages: Iterable[str]) -> dict[str, Callable[..., object]]:
    """The public functions of the packages' own modules that are given the books first."""
    paths = [path for package in packages for path in sorted((Path(core.__path__[0]) / package).glob("[a-z]*.py"))]
    modules = [import_module(f"core.{path.parent.name}.{path.stem}") for path in paths]
    found = [f for module in modules for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]
    return {f.__name__: f for f in found if not f.__name__.startswith("_") and next(iter(inspect.signature(f).parameters), "") == "database"}


NO_DOORS = {"database", "schema"}  # what connects, and what makes the tables
FUNCTIONS = functions_of(path.name for path in Path(core.__path__[0]).iterdir() if path.is_dir() and path.name not in NO_DOORS)
# What the worker does by itself, at nobody's request: recording and the scheduled jobs.
OWN_WORK = {
    "record_usage", "release_parked", "release_all_parked", "publish_alerts", "count_waiting_alerts", "roll_up_usage", "close_day", "sync_directory",
    "backfill_settings", "backfill_accounts", "housekeep", "reconcile", "run_job", "expire_holds", "merge_producers", "look_for_missing",
    "forget_producers", "keep_gaps", "queues_with_outcomes", "publish_outcomes", "withhold_old_outcomes",
}  # fmt: skip
OPEN = {name.removeprefix("view.") for name in VIEWS}
PAGES: dict[str, Callable[..., Any]] = {
    "overview": overview,
    "statements_due": statements_due,
    "users_due": users_due,
}  # views that only the command line asks for
EXPORTS = {"transactions_export": transactions_export, "statistics_export": statistics_export}  # no task streams
OF_ROOT = {name: f for name, f in FUNCTIONS.items() if name not in OWN_WORK | OPEN | {"check_balance", *EXPORTS, *PAGES}}


@pytest.fixture
def books(put_settings: PutSettings, record: Record, database: Database) -> None:
    """Ada and bob are in acme, which has a cap, ada in globex too, whose pool (account 2) pays."""
    put_settings("acme", users=["ada", "bob"])
    put_settings("globex", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(event_id="e51", hold_key="call-1", producer_id="p1", producer_seq=2))
    merge_producers(database)
    record(event(mandate_id="globex"))
    record(event(user_id="bob"))
    set_cap(database, ROOT, NewCap(mandate_id="acme", by="olga", period=CapPeriod.TOTAL, limit_chf=Decimal(10)))


@pytest.mark.parametrize(("view", "fields", "answered"), CASES, ids=[f"{view} {fields}" for view, fields, _ in CASES])
def test_each_view_as_each_actor(books: None, database: Database, view: str, fields: dict[str, Any], answered: str) -> None:
    """Who may not see it is refused; nobody gets an empty answer instead."""
    question, function = VIEWS[f"view.{view}"]
    for who, actor in ACTORS.items():
        arguments = question.read({"actor": actor, **fields}).arguments()
        if who in answered.split():
            function(database, actor, **arguments)
            continue
        with pytest.raises(NotFound if who == "root" else Forbidden, match="there is no account 4711" if who == "root" else "may not"):
            function(database, actor, **arguments)


def test_the_table_has_every_view() -> None:
    """A view that others than root may be answered by is in the table, and every view and operation is given an actor."""
    assert {view for view, _, _ in CASES} == OPEN
    without = {name for name, f in FUNCTIONS.items() if "actor" not in inspect.signature(f).parameters}
    assert without == OWN_WORK


@pytest.mark.parametrize("name", OF_ROOT)
@pytest.mark.parametrize("who", [name for name in ACTORS if name != "root"])
def test_only_root_changes_anything_and_sees_the_works(name: str, who: str) -> None:
    """Before anything is looked at, everybody else is refused."""
    _database, _actor, *asked = inspect.signature(OF_ROOT[name]).parameters
    arguments: dict[str, Any] = dict.fromkeys(asked)
    with pytest.raises(Forbidden, match=f"^'[a-z]+:{who}' may not "):
        OF_ROOT[name](None, ACTORS[who], **arguments)


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(("mandate_ids", "answered"), [(None, "root acme globex"), (["acme"], OF_ACME), (["acme", "globex"], "root")])
def test_an_export_as_each_actor(books: None, database: Database, name: str, mandate_ids: list[str] | None, answered: str) -> None:
    """Who may not see all of the mandates is refused before a row is read."""
    for who, actor in ACTORS.items():
        refused = nullcontext() if who in answered.split() else pytest.raises(Forbidden, match="may not export")
        with refused, EXPORTS[name](database, actor, mandate_ids) as found:
            assert list(found.columns)


@pytest.mark.parametrize(("name", "asked"), [("overview", ["acme"]), ("statements_due", ["acme"]), ("users_due", "acme")])
def test_a_page_as_each_actor(books: None, database: Database, name: str, asked: object) -> None:
    """What pages and reports are made of is shown to who may see the mandate, and to nobody else."""
    days = {"first": date(2026, 1, 1), "last": date(2026, 1, 31)} if name == "overview" else {}
    for who, actor in ACTORS.items():
        refused = nullcontext() if who in OF_ACME.split() else pytest.raises(Forbidden, match="may not")
        with refused:
            assert PAGES[name](database, actor, asked, **days) is not None


def test_a_balance_check_as_each_actor(books: None, database: Database, config: Configuration) -> None:
    """Who sees the user may ask whether he may make a call."""
    asked = BalanceQuestion(mandate_id="acme", user_id="ada")
    for who, actor in ACTORS.items():
        if who in OF_ADA.split():
            assert check_balance(database, actor, asked, config=config).allowed
            continue
        with pytest.raises(Forbidden, match="may not check the balance of user 'ada' in mandate 'acme'"):
            check_balance(database, actor, asked, config=config)


def test_only_root_has_anything_opened_by_a_check(
    books: None, put_mandate: PutMandate, database: Database, config: Configuration, rows: Rows
) -> None:
    """Who is in no account of a mandate learns nothing of its pool, and neither he nor an administrator makes accounts or settings."""
    put_mandate("initech", users=["eve"])
    before = rows("SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM billing_settings) AS settings")
    for mandate_id, actor in (("globex", user("eve")), ("initech", user("eve")), ("nowhere", user("eve")), ("globex", ACTORS["globex"])):
        asked = BalanceQuestion(mandate_id=mandate_id, user_id="eve")
        with pytest.raises(NotFound, match=f"mandate '{mandate_id}' has no account that pays for user 'eve'"):
            check_balance(database, actor, asked, config=config)
    assert rows("SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM billing_settings) AS settings") == before
    assert check_balance(database, ROOT, BalanceQuestion(mandate_id="initech", user_id="eve"), config=config).allowed


def test_everybody_sees_his_own_alone(books: None, database: Database) -> None:
    """Where no mandate is named, rows of others are left out."""
    acme: Actor = ACTORS["acme"]
    assert {t.mandate_id for t in transactions_of_mandates(database, acme)} == {"acme"}
    assert {t.account_user_id for t in user_transactions(database, acme)} == {"ada", "bob"}
    assert {(t.mandate_id, t.account_user_id) for t in transactions_of_user(database, acme, "ada")} == {("acme", "ada")}
    assert {t.mandate_id for t in transactions_of_user(database, ACTORS["ada"], "ada")} == {"acme", "globex"}
    assert [a.user_id for a in accounts_of(database, acme, "acme")] == ["ada", "bob"]


def test_nobody_but_root_learns_which_accounts_exist(books: None, database: Database) -> None:
    """Somebody else's account and one that isn't there are refused in the same words."""
    question, function = VIEWS["view.account"]
    words = []
    for account_id in (1, 4711):
        with pytest.raises(Forbidden) as refusal:
            function(database, ACTORS["bob"], **question.read({"actor": ACTORS["bob"], "account_id": account_id}).arguments())
        words.append(str(refusal.value).replace(str(account_id), "N"))
    assert words[0] == words[1]
