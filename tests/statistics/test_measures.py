"""What was used by class, and what it cost at the provider, added up beside the statistics."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from core.asking.rights import ROOT, administrator, user
from core.database.database import Database
from core.ledger.read_accounts import holder_account
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.periods import PeriodType
from core.statistics.measures import added_up
from core.statistics.read import computed_statistics, statistics_of, statistics_of_account
from core.statistics.rebuild import rebuild_statistics
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.reports.priced_scene import LEAVES, call, put_prices
from tests.sample_events import OCCURRED_AT, event
from tests.scene import Breaches, PutSettings

ALL = """
    SELECT mandate_id, account_id, period_type, period_start, provider, model, feature_code, measure, currency, total
      FROM usage_measures ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""


def by_period(rows: Rows, period_type: str) -> dict[tuple[str, str], Decimal]:
    """The totals by measure and currency."""
    found = rows("SELECT measure, currency, sum(total) AS total FROM usage_measures WHERE period_type = :type GROUP BY 1, 2", type=period_type)
    return {(one["measure"], one["currency"]): one["total"] for one in found}


def test_leaves_and_provider_cost_are_added_up_by_day_month_and_year(
    database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Two calls of 800 + 200 + 60 + 40 tokens cost 2 · 0.0056 USD; events without a usage object measure nothing."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    assert record(call(), call(price_chf=...)).outcomes
    roll_up_usage(database)
    assert [one["leaves"] for one in rows("SELECT leaves FROM transactions WHERE reference_type = 'WORKFLOW'")] == [LEAVES] * 2
    expected = {
        ("input", ""): 1600,
        ("cache_read", ""): 400,
        ("output", ""): 120,
        ("output_reasoning", ""): 80,
        ("provider_cost", "USD"): Decimal("0.0112"),
    }
    assert [by_period(rows, kind) for kind in ("DAY", "MONTH", "YEAR")] == [expected] * 3
    assert "I6" not in breaches()


def test_books_without_usage_objects_have_no_measures(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Events of version 1 fill the statistics alone."""
    put_settings(users=["ada"])
    record(event(), event())
    assert roll_up_usage(database).rows_written == 3
    assert rows(ALL) == []


def test_an_amendment_moves_measures_in_its_own_days(
    database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """The reversal takes the old entry's out, the new debit puts its own in: the same again where only the price changes."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="shadow")
    record(call(event_id="one"), call(event_id="two"))
    roll_up_usage(database)
    before = rows(ALL)
    amend_prices(database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "one", "price_chf": "0.1"})], key="k", by="olga", worker="test")
    roll_up_usage(database)
    assert by_period(rows, "DAY")["input", ""] == 1600
    assert rows(ALL) == before
    assert "I6" not in breaches()
    assert rebuild_statistics(database, ROOT).rows_written == 0


def test_what_is_taken_back_alone_leaves_zeros(database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """A debit that says nothing of its usage any more: the rows stay with 0, and a rebuild leaves them so."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="shadow")
    record(call(event_id="one"))
    roll_up_usage(database)
    amend_prices(database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "one", "price_chf": "0.1"})], key="k", by="olga", worker="test")
    rows("UPDATE transactions SET leaves = NULL, provider_cost = NULL, provider_currency = NULL WHERE reference_type = 'AMENDMENT'")
    roll_up_usage(database)
    assert set(by_period(rows, "DAY").values()) == {Decimal(0)}
    zeros = rows(ALL)
    assert rebuild_statistics(database, ROOT).rows_written == 0
    assert rows(ALL) == zeros
    assert "I6" not in breaches()


def test_refunds_leave_measures_as_they_are(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """What is given back was used all the same."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    record(call())
    roll_up_usage(database)
    before = rows(ALL)
    (debit,) = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW'")
    refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": debit["id"], "amount": "0.001", "key": "k", "by": "olga"}))
    roll_up_usage(database)
    assert rows(ALL) == before


def test_cost_is_added_up_by_currency(database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """A dollar and a euro of one model and day are two rows."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    record(call(event_id="one"), call(event_id="two"))
    rows("UPDATE transactions SET provider_currency = 'EUR', provider_cost = 0.000000000000000001 WHERE event_id = 'two'")
    roll_up_usage(database)
    costs = {key: total for key, total in by_period(rows, "YEAR").items() if key[0] == "provider_cost"}
    assert costs == {("provider_cost", "USD"): Decimal("0.0056"), ("provider_cost", "EUR"): Decimal("1E-18")}
    assert "I6" not in breaches()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE usage_measures SET total = total + 1 WHERE measure = 'input' AND period_type = 'DAY'",
        "UPDATE usage_measures SET total = total + 1 WHERE measure = 'provider_cost' AND period_type = 'MONTH'",
        "DELETE FROM usage_measures WHERE measure = 'output' AND period_type = 'YEAR'",
        "UPDATE usage_measures SET measure = 'page' WHERE measure = 'output' AND period_type = 'DAY'",
        """
        INSERT INTO usage_measures
        SELECT mandate_id, account_id, period_type, date '2020-01-01', provider, model, feature_code, measure, currency, 1
          FROM usage_measures LIMIT 1
        """,
    ],
)
def test_wrong_measures_are_found_and_counted_anew(
    harm: str, database: Database, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Whatever differs from the transactions breaks I6, and a rebuild sets it right."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    record(call())
    roll_up_usage(database)
    right = rows(ALL)
    rows(harm)
    assert "I6" in breaches()
    rebuilt = rebuild_statistics(database, ROOT)
    assert rebuilt.rows_written + rebuilt.rows_removed > 0
    assert rows(ALL) == right
    assert "I6" not in breaches()


def test_pending_measures_are_left_out_of_a_rebuild(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """What the rollup has yet to see it counts later, once."""
    put_settings(users=["ada"])
    put_prices(database, rows, acme="computed")
    record(call())
    roll_up_usage(database)
    record(call())
    assert rebuild_statistics(database, ROOT).rows_written == 0
    assert by_period(rows, "DAY")["input", ""] == 800
    roll_up_usage(database)
    assert by_period(rows, "DAY")["input", ""] == 1600


def test_statistics_are_read_with_what_was_used(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Stored and computed agree, by day, month and page; all but root learn what was used, and not what the provider charges."""
    put_settings(users=["ada", "bob"])
    put_prices(database, rows, acme="shadow")
    record(call(feature_code="a"), call(feature_code="b", user_id="bob"), call(feature_code="b"), event(feature_code="c"))
    roll_up_usage(database)
    first, last = date.min, date.max
    leaves = {"input": 800, "cache_read": 200, "output": 60, "output_reasoning": 40}
    for by in PeriodType:
        found = statistics_of(database, ROOT, "acme", None, by, first, last).rows
        assert [(one.feature_code, one.leaves, one.provider_cost) for one in found] == [
            ("a", leaves, {"USD": Decimal("0.0056")}),
            ("b", {name: 2 * count for name, count in leaves.items()}, {"USD": Decimal("0.0112")}),
            ("c", {}, {}),
        ]
        page = statistics_of(database, ROOT, "acme", None, by, first, last, limit=1)
        key = (page.rows[0].period_start, page.rows[0].provider, page.rows[0].model, page.rows[0].feature_code)
        after = statistics_of(database, ROOT, "acme", None, by, first, last, limit=1, after=key)
        assert [page.rows[0], after.rows[0]] == found[:2]
    account = holder_account(database, ROOT, "acme", "ada").id
    computed = computed_statistics(database, ROOT, account, first, last)
    assert (computed.leaves, computed.provider_cost) == ({name: 2 * count for name, count in leaves.items()}, {"USD": Decimal("0.0112")})
    year = statistics_of_account(database, ROOT, account, PeriodType.YEAR, OCCURRED_AT.year)
    assert added_up((one.leaves, one.provider_cost) for one in year).provider_cost == {"USD": Decimal("0.0112")}
    for actor in (administrator("acme"), user("ada")):
        assert computed_statistics(database, actor, account, first, last) == replace(computed, provider_cost={})
        seen = statistics_of(database, actor, "acme", "ada", PeriodType.DAY, first, last).rows
        assert [(one.leaves, one.provider_cost) for one in seen] == [(leaves, {}), (leaves, {}), ({}, {})]
