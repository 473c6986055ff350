"""Reading statistics of an account: as stored, by period, year and month; as computed, for any local days."""

from datetime import date, datetime
from decimal import Decimal
from functools import partial

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import NotFound, RequestRefused
from core.ledger.read_accounts import holder_account
from core.periods import PeriodType
from core.statistics.read import ComputedStatistics, computed_statistics, statistics_of, statistics_of_account
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings


@pytest.fixture
def ada(database: Database, record: Record, put_settings: PutSettings) -> int:
    """Ada's account with usage around two ends of a month in a zone far ahead, rolled up; somebody else has used more."""
    put_settings(users=["ada", "bob"], time_zone="Pacific/Kiritimati")
    moments = ["2025-12-31T09:59:59Z", "2025-12-31T10:00:00Z", "2026-01-31T09:59:59Z", "2026-01-31T10:00:00Z"]
    clock = partial(datetime.fromisoformat, "2026-02-02T00:00:00Z")
    record(*[event(price_chf=f"0.{n}", model=f"m{n % 2}", occurred_at=at) for n, at in enumerate(moments, 1)], clock=clock)
    record(event(user_id="bob", price_chf="9", occurred_at=moments[1]), clock=clock)
    roll_up_usage(database)
    return holder_account(database, ROOT, "acme", "ada").id


def test_stored_statistics_come_by_period(database: Database, ada: int) -> None:
    """Days of a year or of a month, months and years of a year, ascending; another year has none."""

    def starts(period_type: PeriodType, year: int, month: int | None = None) -> list[date]:
        return [row.period_start for row in statistics_of_account(database, ROOT, ada, period_type, year, month)]

    assert starts(PeriodType.DAY, 2026) == [date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1)]
    assert starts(PeriodType.DAY, 2026, 1) == [date(2026, 1, 1), date(2026, 1, 31)]
    assert starts(PeriodType.MONTH, 2026) == [date(2026, 1, 1)] * 2 + [date(2026, 2, 1)]
    assert starts(PeriodType.YEAR, 2025) == [date(2025, 1, 1)]
    assert starts(PeriodType.YEAR, 2024) == []


def test_computed_statistics_are_of_any_days(database: Database, ada: int) -> None:
    """Both ends included, by local day; a day without usage costs nothing."""
    found = computed_statistics(database, ROOT, ada, date(2026, 1, 1), date(2026, 1, 31))
    assert (found.total_cost_chf, found.transaction_count) == (Decimal("0.5"), 2)
    assert found.cost_by_provider == found.cost_by_feature == {"unknown": Decimal("0.5")}
    assert found.cost_by_model == {"m0": Decimal("0.2"), "m1": Decimal("0.3")}
    nothing = computed_statistics(database, ROOT, ada, date(2026, 1, 2), date(2026, 1, 2))
    assert nothing == ComputedStatistics(Decimal(0), 0, {}, {}, {})


def test_usage_is_found_however_its_day_lies_to_its_recording(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A local day ahead of the database's clock by a zone and a producer's minutes, and one that is a year old."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    (now,) = rows("SELECT now() AS at, (now() AT TIME ZONE 'Pacific/Kiritimati')::date AS today")
    record(event(occurred_at=now["at"].isoformat()), event(occurred_at=(now["at"].replace(year=now["at"].year - 1, day=1)).isoformat()))
    account_id = holder_account(database, ROOT, "acme", "ada").id
    assert computed_statistics(database, ROOT, account_id, now["today"], now["today"]).transaction_count == 1
    assert computed_statistics(database, ROOT, account_id, date(1, 1, 1), date(9999, 12, 31)).transaction_count == 2


def test_what_does_not_exist_is_an_error(database: Database, ada: int) -> None:
    """An account, a user, a year, a month of anything but days, a range that runs backwards: each named."""
    with pytest.raises(NotFound, match="there is no account 4711"):
        statistics_of_account(database, ROOT, 4711, PeriodType.DAY, 2026)
    with pytest.raises(NotFound, match="there is no account 4711"):
        computed_statistics(database, ROOT, 4711, date(2026, 1, 1), date(2026, 1, 1))
    with pytest.raises(NotFound, match="no account of user 'eve'"):
        statistics_of(database, ROOT, "acme", "eve", PeriodType.DAY, date(2026, 1, 1), date(2026, 1, 1))
    with pytest.raises(RequestRefused, match=r"month: only days are of a month \(got 1 and YEAR\)"):
        statistics_of_account(database, ROOT, ada, PeriodType.YEAR, 2026, 1)
    with pytest.raises(RequestRefused, match=r"year: there is none such \(got 0\)"):
        statistics_of_account(database, ROOT, ada, PeriodType.DAY, 0)
    with pytest.raises(RequestRefused, match="to: 2026-01-01 is before 2026-01-02"):
        computed_statistics(database, ROOT, ada, date(2026, 1, 2), date(2026, 1, 1))
