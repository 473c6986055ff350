"""The nightly check of what was used by class: on either side of its checkpoint."""

from datetime import timedelta

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.statistics.rebuild import rebuild_statistics
from core.statistics.roll_up import roll_up_usage
from core.verifying.plan_repairs import plan_repairs
from tests.conftest import Record, Rows
from tests.reports.priced_scene import call, put_prices
from tests.sample_events import OCCURRED_AT
from tests.scene import PutSettings
from tests.verifying.test_reconcile import Run, run

__all__ = ["run"]


@pytest.fixture
def around(run: Run, record: Record, put_settings: PutSettings, database: Database, rows: Rows) -> None:
    """Usage of ada before the checkpoint, of bob after it, and of bob on a day that is over long since."""
    put_settings(users=["ada", "bob"])
    put_prices(database, rows, acme="shadow")
    record(call(event_id="old"))
    roll_up_usage(database)
    assert [run()["full"], run()["full"]] == [1, 1]
    record(call(user_id="bob"), call(user_id="bob", occurred_at=(OCCURRED_AT - timedelta(days=9)).isoformat()))
    roll_up_usage(database)
    counts = run()
    assert (counts["full"], counts["I6"]) == (0, 0)


@pytest.mark.parametrize("period", ["DAY", "MONTH", "YEAR"])
@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE usage_measures SET total = total + 1 WHERE measure = 'input' AND period_type = '{}' AND account_id = 1",
        "UPDATE usage_measures SET total = total + 1 WHERE measure = 'provider_cost' AND period_type = '{}' AND account_id = 2",
        "DELETE FROM usage_measures WHERE measure = 'output' AND period_type = '{}'",
    ],
)
def test_wrong_measures_show_on_either_side(around: None, run: Run, rows: Rows, harm: str, period: str) -> None:
    """A wrong day, month or year shows in a run from the checkpoint on, on whichever side of it its usage lies."""
    rows(harm.format(period))
    counts = run()
    assert (counts["full"], counts["I6"] > 0) == (0, True)


def test_what_was_measured_before_the_checkpoint_stays(around: None, run: Run, rows: Rows) -> None:
    """An old entry that says something else now doesn't give what it gave then."""
    assert run(full=True)["I18"] == 0
    rows("UPDATE transactions SET leaves = 'input=801,cache_read=200,output=60,output_reasoning=40' WHERE event_id = 'old'")
    assert run(full=True)["I18"] == 1


def test_wrong_measures_are_planned_and_counted_anew(around: None, database: Database, rows: Rows) -> None:
    """A repair's plan names the mandate; counted anew, as a repair does it, nothing is left to be repaired."""
    right = rows("SELECT * FROM usage_measures ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9")
    rows("UPDATE usage_measures SET total = total + 1 WHERE measure = 'input' AND period_type = 'MONTH'")
    plan = plan_repairs(database, ROOT)
    assert [(one.mandate_id, one.rows > 0) for one in plan.statistics] == [("acme", True)]
    assert rebuild_statistics(database, ROOT, "acme").rows_written > 0
    assert plan_repairs(database, ROOT).statistics == []
    assert rows("SELECT * FROM usage_measures ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9") == right
