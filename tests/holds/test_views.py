"""Holds as they are shown: by the clock, whether the sweep has come by or not."""

from datetime import datetime, timedelta

import pytest

from core.asking.rights import ROOT, administrator, user
from core.billing import BillingModel, HoldState
from core.config import Configuration
from core.database.database import Database
from core.errors import Forbidden, NotFound, RequestRefused
from core.holds.read import expired_holds, hold, list_holds
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.holds.asking import Holds, told
from tests.sample_events import event
from tests.scene import PutAccount, PutSettings

__all__ = ["run"]
HOUR = timedelta(hours=1)


@pytest.fixture
def now(rows: Rows) -> datetime:
    """The database's present time, as of the beginning of the test."""
    found: datetime = rows("SELECT clock_timestamp() AS now")[0]["now"]
    return found


@pytest.fixture
def holds(database: Database, config: Configuration, put_settings: PutSettings, put_account: PutAccount, record: Record, now: datetime) -> Holds:
    """What is asked of holds. In acme one of ada is open, one over and not swept, one expired, one used, and one of bob released; globex has one."""
    for mandate in ("acme", "globex"):
        put_settings(mandate, BillingModel.PREPAY_USER, users=["ada", "bob"])
        put_account("ada", "10", mandate_id=mandate)
        put_account("bob", "10", mandate_id=mandate)
    holds = Holds(database, config)
    holds.authorise("swept", "1", at=now - 2 * HOUR, model="gpt")
    holds.authorise("swept-globex", "1", at=now - 3 * HOUR, mandate_id="globex")
    holds.authorise("late", "1", at=now - 2 * HOUR)
    holds.expire()
    record(event(hold_key="late", price_chf="0.5"))
    holds.authorise("over", "1", at=now - HOUR)
    holds.authorise("open", "2")
    holds.authorise("used", "1")
    record(event(hold_key="used", price_chf="0.25"))
    holds.authorise("released", "3", user_id="bob")
    holds.release("released")
    return holds


def test_holds_are_listed_as_they_are_by_now(holds: Holds, database: Database) -> None:
    """By mandate and key, with what became of each."""
    found = [told(one, "mandate_id hold_key state remaining captured released expired") for one in list_holds(database, ROOT)]
    assert [(*row[:3], *map(float, row[3:])) for row in found] == [
        ("acme", "late", HoldState.EXPIRED, 0, 0, 0, 1),
        ("acme", "open", HoldState.OPEN, 2, 0, 0, 0),
        ("acme", "over", HoldState.EXPIRED, 0, 0, 0, 1),
        ("acme", "released", HoldState.RELEASED, 0, 0, 3, 0),
        ("acme", "swept", HoldState.EXPIRED, 0, 0, 0, 1),
        ("acme", "used", HoldState.CAPTURED, 0, 0.25, 0.75, 0),
        ("globex", "swept-globex", HoldState.EXPIRED, 0, 0, 0, 1),
    ]


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ({"state": HoldState.OPEN}, "open"),
        ({"state": HoldState.EXPIRED, "mandate_ids": ["acme"]}, "late over swept"),
        ({"state": HoldState.RELEASED}, "released"),
        ({"user_id": "bob"}, "released"),
        ({"user_id": "bob", "state": HoldState.OPEN}, ""),
        ({"mandate_ids": ["globex", "acme"], "limit": 2, "after": ("acme", "swept")}, "used swept-globex"),
        ({"limit": 2}, "late open"),
    ],
)
def test_a_list_is_narrowed_and_goes_on(holds: Holds, database: Database, asked: dict[str, object], keys: str) -> None:
    """By mandate, user and state; after the last row already seen."""
    assert [one.hold_key for one in list_holds(database, ROOT, **asked)] == keys.split()  # type: ignore[arg-type]


def test_what_was_never_billed_is_listed_with_its_age(holds: Holds, database: Database) -> None:
    """The last expired first; late usage takes a hold off the list, and one that isn't swept comes with the sweep."""
    found = expired_holds(database, ROOT)
    assert [told(one, "mandate_id hold_key model") for one in found] == [("globex", "swept-globex", None), ("acme", "swept", "gpt")] or [
        told(one, "mandate_id hold_key model") for one in found
    ] == [("acme", "swept", "gpt"), ("globex", "swept-globex", None)]
    ages = {one.hold_key: one.age_seconds for one in found}
    assert 0 <= ages["swept"] - 7200 < 600
    assert 0 <= ages["swept-globex"] - 10_800 < 600
    last = found[0]
    assert expired_holds(database, ROOT, before=(last.settled_at, last.mandate_id, last.hold_key)) == [
        one for one in expired_holds(database, ROOT) if one.hold_key == found[1].hold_key
    ]
    assert [one.hold_key for one in expired_holds(database, administrator("acme"))] == ["swept"]
    holds.expire()
    assert [one.hold_key for one in expired_holds(database, ROOT, ["acme"])] == ["over", "swept"]


def test_a_user_sees_his_own(holds: Holds, database: Database) -> None:
    """And learns nothing of whether there are others."""
    assert hold(database, user("bob"), "acme", "released").amount == 3
    assert [one.hold_key for one in list_holds(database, user("bob"), user_id="bob")] == ["released"]
    for key in ("open", "nothing"):
        with pytest.raises(Forbidden, match=f"^'user:bob' may not read hold '{key}' of mandate 'acme'$"):
            hold(database, user("bob"), "acme", key)
    with pytest.raises(Forbidden):
        list_holds(database, user("bob"))
    with pytest.raises(NotFound, match="mandate 'acme' has no hold 'nothing'"):
        hold(database, administrator("acme"), "acme", "nothing")
    with pytest.raises(RequestRefused, match="limit"):
        list_holds(database, ROOT, limit=0)


def test_the_commands_ask_for_holds(run: Run, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Exit code 0 where the call may be made, 3 where not, 1 with one line where the question is wrong."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    put_account("ada", "10")
    granted = run("hold", "authorise", "acme", "ada", "--key", "a", "--amount", "6", "--ttl", "60", "--json")
    assert (granted.code, granted.json["allowed"], granted.json["available"]) == (0, True, "4.000000000")
    refused = run("hold", "authorise", "acme", "ada", "--key", "b", "--amount", "5", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "INSUFFICIENT_BALANCE")
    unpriced = run("hold", "authorise", "acme", "ada", "--key", "b", "--usage", "input=5", "--provider", "openai", "--model", "gpt", "--json")
    assert (unpriced.code, unpriced.json["reason"]) == (3, "UNPRICED_MODEL")
    conflict = run("hold", "authorise", "acme", "ada", "--key", "a", "--amount", "5")
    assert conflict.code == 5
    assert conflict.err.startswith("error: key: 'a' was used for another hold of mandate 'acme' before (")
    assert run("hold", "authorise", "acme", "ada", "--key", "b", "--usage", "tokens=5").code == 2
    assert "name --amount or --usage" in run("hold", "authorise", "acme", "ada", "--key", "b").err
    assert run("hold", "renew", "acme", "--key", "a", "--ttl", "600", "--json").json["done"]
    assert run("hold", "release", "acme", "--key", "a", "--json").json["released"] == "6.000000000"
    again = run("hold", "release", "acme", "--key", "a", "--json")
    assert (again.code, again.json["done"], again.json["state"]) == (0, False, "RELEASED")
    assert run("hold", "renew", "acme", "--key", "a").code == 3
    assert run("hold", "release", "acme", "--key", "x").err == "error: key: mandate 'acme' has no hold 'x'\n"
    assert run("hold", "show", "acme", "--key", "a", "--json").json["state"] == "RELEASED"
    assert "RELEASED" in run("holds", "list", "--mandate", "acme").out
    assert run("holds", "list", "--state", "open", "--json").json == []
    assert run("holds", "expired", "--json").json == []
    assert run("hold", "authorise", "acme", "ada", "--key", "c", "--amount", "1", "--as", "user:ada").code == 6


def test_the_sweep_by_hand_settles_what_is_over(
    rows: Rows, database: Database, config: Configuration, run: Run, put_settings: PutSettings, put_account: PutAccount
) -> None:
    """As the workers' does; then it is listed."""
    holds = Holds(database, config)
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    put_account("ada", "10")
    holds.authorise("a", "1")
    holds.authorise("b", "1")
    rows("UPDATE holds SET expires_at = authorised_at WHERE hold_key = 'a'")
    assert run("holds", "expire", "--json").json == {"expired": 1}
    assert run("holds", "expire").out == "settled: 0 holds\n"
    assert [one["hold_key"] for one in run("holds", "expired", "--json").json] == ["a"]
