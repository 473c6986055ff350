"""K1: counters are what the ledger and the open holds say; what was changed behind the program's back is found, and repaired."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.statistics.roll_up import roll_up_usage
from core.verifying.plan_repairs import RepairPlan, plan_repairs
from core.verifying.read_findings import list_findings
from core.verifying.reconcile import reconcile
from core.verifying.repair import Repairs, repair_books
from core.verifying.sql.repairs import WrongCounters
from tests.caps.scene import Counted, SetCap, counted, put_cap
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

__all__ = ["counted", "put_cap"]
EVER = date(1, 1, 1)
TAMPERINGS = {
    "spent": ("UPDATE cap_counters SET spent = spent + 0.000000001 WHERE user_id = ''", 1),
    "held": ("UPDATE cap_counters SET held = 1 WHERE user_id = ''", 1),
    "gone": ("DELETE FROM cap_counters", 3),
    "too many": ("INSERT INTO cap_counters (cap_id, user_id, window_start, spent) SELECT id, 'eve', '2020-01-01', 1 FROM caps WHERE id = 2", 1),
    "another user": ("UPDATE cap_counters SET user_id = 'eve' WHERE user_id = 'bob'", 2),
    "no token": ("UPDATE billing_settings SET caps_token = NULL", 0),
}


@pytest.fixture
def caps(put_settings: PutSettings, put_cap: SetCap, record: Record, database: Database) -> list[int]:
    """Acme has a cap of all and one of each user, of whom ada has used 3 CHF and bob 4; globex has none."""
    put_settings(users=["ada", "bob"])
    put_settings("globex", users=["ada"])
    found = [put_cap("10", "TOTAL").cap.id, put_cap("10", "TOTAL", scope="EACH_USER").cap.id]
    record(event(price_chf="3"), event(price_chf="4", user_id="bob"), event(mandate_id="globex"))
    roll_up_usage(database)
    return found


def repaired(database: Database, key: str = "ticket-1") -> Repairs:
    """What an operator's repair has done."""
    return repair_books(database, ROOT, key=key, reason="by hand in the console", by="olga")


@pytest.mark.parametrize("how", TAMPERINGS)
def test_what_was_changed_is_found_and_repaired(
    how: str, caps: list[int], database: Database, rows: Rows, breaches: Breaches, counted: Counted
) -> None:
    """K1 alone tells, the plan names the mandate, and afterwards all is as before, without a word about shares that were told."""
    assert breaches() == {}
    before = {key: counter for key, counter in counted().items() if any(counter)}
    alerts = rows("SELECT count(*) AS n FROM cap_alerts")
    tampering, wrong = TAMPERINGS[how]
    rows(tampering.replace("id = 2", f"id = {caps[1]}"))
    assert set(breaches()) == {"K1"}
    plan = plan_repairs(database, ROOT)
    assert plan == RepairPlan([], [], counters=[WrongCounters("acme", wrong)])
    assert plan_repairs(database, ROOT, "globex") == RepairPlan([], [])
    (done,) = repaired(database).counters
    assert (done.mandate_id, done.counters, done.by, done.repeated) == ("acme", wrong, "olga", False)
    assert {key: counter for key, counter in counted().items() if any(counter)} == before
    assert breaches() == {}
    assert repaired(database) == Repairs([], [])
    assert rows("SELECT count(*) AS n FROM cap_alerts") == alerts


def test_a_repair_tells_of_shares_that_are_reached_in_truth(caps: list[int], database: Database, rows: Rows, record: Record) -> None:
    """Usage that nobody counted has reached 80 %."""
    rows("UPDATE billing_settings SET caps_token = NULL")
    record(event(price_chf="1.5"))
    already = len(rows("SELECT FROM cap_alerts"))
    repaired(database)
    told = rows("SELECT cap_id, share, recovered, spent_before, spent_after FROM cap_alerts ORDER BY id")[already:]
    assert told == [{"cap_id": caps[0], "share": 80, "recovered": False, "spent_before": 7, "spent_after": Decimal("8.5")}]


def test_a_repair_tells_of_no_share_that_is_left_and_never_was_told(caps: list[int], database: Database, rows: Rows) -> None:
    """A counter that was too high by hand alone has reached nothing."""
    already = rows("SELECT count(*) AS n FROM cap_alerts")
    rows("UPDATE cap_counters SET spent = spent + 5 WHERE user_id = 'ada'")
    repaired(database)
    assert rows("SELECT count(*) AS n FROM cap_alerts") == already


def test_recorders_count_again_after_a_repair(caps: list[int], database: Database, rows: Rows, record: Record, breaches: Breaches) -> None:
    """A token that was lost is set anew, and whoever records reads it."""
    rows("UPDATE billing_settings SET caps_token = NULL WHERE mandate_id = 'acme'")
    repaired(database)
    record(event(price_chf="1"))
    assert breaches().keys() <= {"I6"}


def test_windows_that_are_over_and_removed_caps(caps: list[int], database: Database, rows: Rows, breaches: Breaches, put_cap: SetCap) -> None:
    """A counter of a removed cap stays as it was left; nobody looks at it any more."""
    rows("UPDATE caps SET removed_at = now(), removed_by = 'test' WHERE id = :id", id=caps[0])
    rows("UPDATE cap_counters SET spent = 99 WHERE cap_id = :id", id=caps[0])
    assert breaches() == {}


def test_the_nightly_check_finds_it_in_whatever_was_looked_at_before(
    caps: list[int], put_cap: SetCap, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters are looked at whole, also where the checkpoint has passed their entries; those of all time by a full run alone."""
    today = put_cap("10", "DAY", scope="EACH_USER").cap

    def run() -> Callable[..., object]:
        found = reconcile(database, worker="test", at_once=True)
        assert found is not None
        return lambda: found["K1"]

    monkeypatch.setattr("core.verifying.sql.checkpoint.HELD_BACK_HOURS", 0)
    assert [run()() for _ in range(3)] == [0, 0, 0]
    assert rows("SELECT FROM reconcile_checkpoint WHERE recorded_before > (SELECT max(recorded_at) FROM transactions)")
    rows("UPDATE cap_counters SET spent = spent + 1 WHERE user_id = ''")
    assert run()() == 0
    rows("UPDATE cap_counters SET spent = spent + 1 WHERE user_id = 'ada' AND cap_id = :id", id=today.id)
    assert run()() == 1
    (finding,) = list_findings(database, ROOT)
    assert (finding.invariant, finding.subject) == ("K1", f"cap {today.id} of mandate acme, user ada, window of {today.first_day}")
