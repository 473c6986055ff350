"""What `verify` tells of holds that are not as they must be."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict
from core.verifying.plan_repairs import plan_repairs
from core.verifying.repair import repair_books
from tests.conftest import Record, Rows
from tests.holds.scene import NOON, putting
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

LATER = NOON.replace(year=NOON.year + 10)
Tamper = Callable[[str], list[str]]


@pytest.fixture
def tamper(rows: Rows, put_settings: PutSettings, record: Record, breaches: Breaches) -> Tamper:
    """Changes books with an open and a captured hold behind their back; the names of the invariants that notice."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    record(event())  # which opens her account with its grant of CHF 10
    account = rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"]
    put = putting(rows)
    put("open", "2", account_id=account, expires_at=LATER)
    put("used", "1", account_id=account, expires_at=LATER)
    record(event(hold_key="used"), event(hold_key="open", hold_final=False))

    def change(sql: str) -> list[str]:
        assert not breaches()
        rows(sql)
        return sorted(breaches())

    return change


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("SELECT 1", []),
        ("UPDATE accounts SET held = held + 1", ["H1"]),
        ("UPDATE holds SET balance_account_id = 4711 WHERE hold_key = 'open'", ["H1"]),
        ("UPDATE holds SET use_count = 2 WHERE hold_key = 'used'", ["H3"]),
        ("UPDATE holds SET used = used + 1 WHERE hold_key = 'open'", ["H3"]),
    ],
)
def test_what_was_tampered_with_is_noticed(tamper: Tamper, sql: str, broken: list[str]) -> None:
    """Each by the invariant that it breaks, and by no other."""
    assert tamper(sql) == broken


def test_a_settled_hold_that_is_not_whole_is_noticed(rows: Rows, tamper: Tamper) -> None:
    """Where somebody has taken away what keeps it so."""
    rows("ALTER TABLE holds DROP CONSTRAINT ck_holds_settled_whole")
    rows("ALTER TABLE holds DISABLE TRIGGER keep_settled")
    assert tamper("UPDATE holds SET released = 0 WHERE hold_key = 'used'") == ["H4"]


def test_a_repair_makes_what_is_held_what_open_holds_keep(database: Database, rows: Rows, tamper: Tamper) -> None:
    """Of the account that pays; balances stay, a repetition does nothing, and a key that was used repairs no second time."""
    assert tamper("UPDATE accounts SET held = held + 1") == ["H1"]
    asked: dict[str, Any] = {"key": "ticket-1", "reason": "held too much", "by": "olga"}
    assert [(one.mandate_id, one.accounts) for one in plan_repairs(database, ROOT).held] == [("acme", 1)]
    assert [(one.mandate_id, one.accounts) for one in repair_books(database, ROOT, **asked).held] == [("acme", 1)]
    assert plan_repairs(database, ROOT).held == []
    rows("UPDATE accounts SET held = 0")
    with pytest.raises(Conflict, match="use another key"):
        repair_books(database, ROOT, **asked)
    assert [one.accounts for one in repair_books(database, ROOT, **{**asked, "key": "ticket-2"}).held] == [1]


def test_events_of_before_the_authorisation_are_none_of_the_holds(rows: Rows, put_settings: PutSettings, record: Record, breaches: Breaches) -> None:
    """A release that knew no holds recorded them, and left none under their key."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    record(event(hold_key="call-1"))
    rows("ALTER TABLE holds DISABLE TRIGGER keep_holds")
    rows("DELETE FROM holds")
    in_a_day = datetime.now(UTC) + timedelta(days=1)
    putting(rows)("call-1", "1", account_id=rows("SELECT id FROM accounts")[0]["id"], authorised_at=in_a_day)
    assert not breaches()
