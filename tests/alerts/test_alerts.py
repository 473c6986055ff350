"""Balance alerts: each line between the balances before and after a commit is reported once."""

from collections.abc import Callable, Iterable
from decimal import Decimal

import pytest

from core.billing import BillingModel
from core.events.outcome import BatchResult
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutAccount, PutSettings

Spend = Callable[..., list[tuple[str, ...]]]
ALERTS = "SELECT * FROM balance_alerts ORDER BY id"


@pytest.fixture
def spend(record: Record, rows: Rows) -> Spend:
    """Records one batch of these prices and gives its new alerts, each as (kind, before, after, line) in plain decimals."""
    seen: set[int] = set()

    def call(*prices: str, user_id: str = "ada") -> list[tuple[str, ...]]:
        result: BatchResult = record(*[event(price_chf=price, user_id=user_id) for price in prices])
        assert set(result.outcomes) == {"recorded"}
        new = [row for row in rows(ALERTS) if row["id"] not in seen]
        seen.update(row["id"] for row in new)
        assert not any(row["recovered"] for row in new)
        return [(row["kind"], *(_plain(row[name]) for name in ("balance_before", "balance_after", "threshold"))) for row in new]

    return call


def _plain(amount: Decimal) -> str:
    return format(amount.normalize() + 0, "f")


def test_a_user_is_warned_once_and_overdrawn_once(spend: Spend, put_settings: PutSettings) -> None:
    """At the threshold of the grant, then below zero; further debits on the same side report nothing."""
    put_settings(users=["ada"])
    assert spend("8.999999999") == []
    assert spend("0.000000001") == [("WARNING", "1.000000001", "1", "1")]
    assert spend("0.5", "0.5") == []
    assert spend("0.000000001") == [("ZERO", "0", "-0.000000001", "0")]
    assert spend("1000") == []


def test_one_batch_may_cross_several_lines(spend: Spend, put_settings: PutSettings) -> None:
    """The batch's balance before and after count, not the steps in between: each line is reported once."""
    put_settings(users=["ada"])
    spend("1")
    assert spend(*["1"] * 12) == [("WARNING", "9", "-3", "1"), ("ZERO", "9", "-3", "0")]


def test_a_first_usage_that_eats_the_grant_is_reported(spend: Spend, put_settings: PutSettings) -> None:
    """An account opened in the same transaction alerts as any other."""
    put_settings(users=["ada"])
    assert [alert[0] for alert in spend("10.5")] == ["WARNING", "ZERO"]


def test_each_account_has_its_own_lines(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Two users of one batch cross for themselves, and the alert names account, mandate, version and batch."""
    put_settings(users=["ada", "bob"], version=5)
    record(*[event(user_id=user, price_chf="9.5") for user in ("ada", "bob")])
    alerts = rows(ALERTS)
    accounts = {row["id"] for row in rows("SELECT id FROM accounts")}
    batch_id = rows("SELECT id FROM batches")[0]["id"]
    assert {alert["account_id"] for alert in alerts} == accounts
    assert [(a["kind"], a["mandate_id"], a["settings_version"], a["batch_id"]) for a in alerts] == [("WARNING", "acme", 5, batch_id)] * 2
    assert all(alert["published_at"] is None for alert in alerts)


def test_a_prepaid_pool_warns_at_the_threshold_of_its_latest_credit(spend: Spend, put_settings: PutSettings, put_account: PutAccount) -> None:
    """The pool's stored threshold counts, whoever of its users spends."""
    put_settings(model=BillingModel.PREPAY_MANDATE, users=["ada", "bob"])
    put_account(None, "100", warning_threshold=20)
    assert spend("79", user_id="bob") == []
    assert spend("1") == [("WARNING", "21", "20", "20")]
    assert spend("20") == []
    assert spend("0.1", user_id="eve") == [("ZERO", "0", "-0.1", "0")]


def test_a_pool_without_credit_only_falls_below_zero(spend: Spend, put_settings: PutSettings) -> None:
    """Threshold 0 at balance 0 is no crossing: it was on that side before."""
    put_settings(model=BillingModel.PREPAY_MANDATE, users=["ada"])
    assert spend("1") == [("ZERO", "0", "-1", "0")]
    assert spend("1") == []


@pytest.mark.parametrize("steps", [["90", "10", "0.000000001"], ["100.000000001"]])
def test_a_postpaid_pool_warns_near_its_limit_and_exceeds_it(
    steps: Iterable[str], spend: Spend, put_settings: PutSettings, put_account: PutAccount
) -> None:
    """Debt at 90 % of the limit, then above the limit; reaching it exactly is not above."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_account(None, "0", credit_limit=100)
    found = [alert for step in steps for alert in spend(step)]
    assert [(alert[0], alert[3]) for alert in found] == [("WARNING", "-90"), ("CREDIT_LIMIT", "-100")]
    assert found[-1][2] == "-100.000000001"


def test_a_postpaid_pool_without_a_limit_never_alerts(spend: Spend, put_settings: PutSettings) -> None:
    """No limit, no line, not even at zero."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    assert spend("1000000", "1000000") == []


def test_a_limit_of_zero_is_a_limit(spend: Spend, put_settings: PutSettings, put_account: PutAccount) -> None:
    """The first debt exceeds it."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_account(None, "0", credit_limit=0)
    assert spend("0.000000001") == [("CREDIT_LIMIT", "0", "-0.000000001", "0")]


def test_unlimited_use_never_alerts(spend: Spend, put_settings: PutSettings) -> None:
    """No balance moves, so no line is crossed."""
    put_settings(model=BillingModel.UNLIMITED, users=["ada"])
    assert spend("1000000") == []


def test_duplicates_and_conflicts_never_alert(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Only recorded debits move balances."""
    put_settings(users=["ada"])
    first = event(price_chf="1")
    record(first)
    record(first, {**first, "price_chf": "500"}, first)
    assert rows(ALERTS) == []


def test_a_lowered_limit_reports_the_next_crossing_only(spend: Spend, rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """A limit set below the debt is no crossing by usage: before and after are judged by the same limit."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_account(None, "0", credit_limit=100)
    spend("50")
    rows("UPDATE accounts SET credit_limit = 10 WHERE user_id IS NULL")
    assert spend("1") == []
