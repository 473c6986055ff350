"""Lines that move beside the balance: what the change of a percentage, a limit or a model means is told once, and so is the way back."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from core.alerts.publish import publish_alerts
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.ledger.read_balance import balance
from core.ledger.read_balances import balances_of_user
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, Change, PutSettings

Told = Callable[[], list[tuple[str, bool, str]]]
CROSSED, RECOVERED = False, True


@pytest.fixture
def told(rows: Rows) -> Told:
    """Reads the alerts in order: the line, whether it is the way back, and its amount."""
    return lambda: [(row["kind"], row["recovered"], str(row["threshold"].normalize())) for row in rows("SELECT * FROM balance_alerts ORDER BY id")]


@pytest.fixture
def limit(database: Database, rows: Rows) -> Callable[[str | None], object]:
    """Sets the credit limit of acme's pool."""
    keys = iter(range(100))

    def call(credit_limit: str | None) -> object:
        pool = rows("SELECT id FROM accounts WHERE user_id IS NULL AND mandate_id = 'acme'")[0]["id"]
        asked = {"mandate_id": "acme", "account_id": pool, "credit_limit": credit_limit, "key": f"l{next(keys)}", "by": "olga"}
        return set_credit_limit(database, ROOT, CreditLimit.read(asked))

    return call


@pytest.fixture
def debt(put_settings: PutSettings, record: Record, limit: Callable[[str], object]) -> None:
    """Acme's postpaid pool owes 50 CHF of 100, and warns at 90."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    record(event(price_chf="50"))
    limit("100")


def test_a_percentage_raised_beyond_the_debt_is_told(debt: None, change: Change, told: Told, record: Record, breaches: Breaches) -> None:
    """At once, and not again by the usage that follows; lowered again, it is the way back."""
    assert told() == []
    change(warning_threshold_percent=60)
    assert told() == [("WARNING", CROSSED, "-4E+1")]
    record(event(price_chf="1"))
    change(warning_threshold_percent=55)
    assert len(told()) == 1
    change(warning_threshold_percent=10)
    assert told()[1:] == [("WARNING", RECOVERED, "-45")]
    record(event(price_chf="39"))
    assert told()[2:] == [("WARNING", CROSSED, "-9E+1")]
    assert breaches() == {}


def test_what_changes_no_line_tells_nothing(debt: None, change: Change, told: Told, breaches: Breaches) -> None:
    """Other settings, and a percentage that leaves the debt on the same side."""
    change(warning_threshold_percent=49, default_user_credit=1, block_on_zero_balance=False)
    change(time_zone="Europe/Zurich")
    assert told() == []
    assert breaches() == {}


def test_a_percentage_moves_no_prepaid_line(put_settings: PutSettings, record: Record, change: Change, told: Told, breaches: Breaches) -> None:
    """A prepaid threshold is an amount, taken at the latest credit: it stays, and nothing is told."""
    put_settings(users=["ada"])
    record(event(price_chf="5"))
    change(warning_threshold_percent=60)
    assert told() == []
    record(event(price_chf="4"))
    assert told() == [("WARNING", CROSSED, "1")]
    assert breaches() == {}


def test_limits_tell_both_ways(debt: None, limit: Callable[[str | None], object], told: Told, breaches: Breaches) -> None:
    """Lowered below the debt, raised again, taken away."""
    limit("50")
    limit("49.999999999")
    limit("100")
    limit("50")
    limit(None)
    assert [(kind, recovered) for kind, recovered, _ in told()] == [
        ("WARNING", CROSSED),
        ("CREDIT_LIMIT", CROSSED),
        *[("WARNING", RECOVERED), ("CREDIT_LIMIT", RECOVERED)],
        ("WARNING", CROSSED),
        ("WARNING", RECOVERED),
    ]
    assert breaches() == {}


@pytest.mark.parametrize("before", [BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE])
def test_a_model_set_before_the_first_entry_tells_the_lines_that_begin(
    before: BillingModel, put_settings: PutSettings, database: Database, config: Configuration, change: Change, limit: Callable[[str], object],
    put_account: Any, told: Told, breaches: Breaches,
) -> None:  # fmt: skip
    """A pool with a limit of nothing begins to pay beyond its warning line, and a higher limit is the way back."""
    put_settings(model=before, users=["ada"])
    put_account(None)
    limit("0")
    change(billing_model="CREDIT_POSTPAY")
    assert told()[-1:] == [("WARNING", CROSSED, "0")]
    limit("10")
    assert told()[-1:] == [("WARNING", RECOVERED, "0")]
    assert breaches() == {}


def test_a_switch_judges_the_old_lines_by_the_old_model(debt: None, database: Database, change: Change, told: Told, breaches: Breaches) -> None:
    """A postpaid pool beyond its warning line that becomes a prepaid one below zero crosses zero, and its warning goes on."""
    change(warning_threshold_percent=60)
    switch_billing_model(database, ROOT, ModelSwitch(mandate_id="acme", key="s", by="olga", billing_model=BillingModel.PREPAY_MANDATE))
    assert [(kind, recovered) for kind, recovered, _ in told()] == [("WARNING", CROSSED), ("ZERO", CROSSED)]
    assert breaches() == {}


def test_a_line_of_the_smallest_unit_is_compared_exactly(
    put_settings: PutSettings, record: Record, limit: Callable[[str], object], database: Database, rows: Rows, told: Told, breaches: Breaches
) -> None:
    """With a limit of 1e-9 a pool without debt doesn't warn, in no view and no alert; with a debt of 1e-9 it does."""
    put_settings(model=BillingModel.CREDIT_POSTPAY, users=["ada"])
    record(event(price_chf="0"))
    limit("0.000000001")
    for is_warning in (False, True):
        assert balance(database, ROOT, "acme", "ada").is_warning is is_warning
        (of_user,) = balances_of_user(database, ROOT, "ada")
        assert of_user.is_warning is is_warning
        assert [alert[:2] for alert in told()] == [("WARNING", CROSSED)] * is_warning
        record(event(price_chf="0.000000001"))
    assert [(kind, Decimal(line)) for kind, _, line in told()] == [("WARNING", Decimal("-1E-9")), ("CREDIT_LIMIT", Decimal("-1E-9"))]
    assert breaches() == {}


class Queue:
    """A queue that takes everything."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def room(self) -> int:
        """As many as anybody has."""
        return 1000

    def put(self, bodies: Any) -> None:
        """Keeps them."""
        self.bodies += bodies


def test_who_wants_to_be_told_again_is_told_what_accounts_are_beyond(
    put_settings: PutSettings, record: Record, change: Change, rows: Rows, database: Database, breaches: Breaches
) -> None:
    """Crossings that were withheld and still hold are published; those with a way back, and those of another model, are not."""
    put_settings(users=["ada", "bob"], notify_on_warning=False)
    record(event(price_chf="12"), event(user_id="bob", price_chf="9.5"))
    bob = rows("SELECT id FROM accounts WHERE user_id = 'bob'")[0]["id"]
    top_up(database, ROOT, TopUp(mandate_id="acme", account_id=bob, amount="10", key="t", by="olga"))
    queue = Queue()
    publish_alerts(database, queue)
    change(notify_on_warning=True)
    publish_alerts(database, queue)
    published = rows(
        "SELECT a.user_id, l.kind, l.recovered FROM balance_alerts l JOIN accounts a ON a.id = l.account_id WHERE published_at IS NOT NULL"
    )
    assert {tuple(row.values()) for row in published} == {("ada", "WARNING", CROSSED), ("ada", "ZERO", CROSSED)}
    assert len(queue.bodies) == 2
    change(notify_on_warning=False)
    change(notify_on_warning=True)
    assert publish_alerts(database, queue).published == 0
    assert breaches() == {}
