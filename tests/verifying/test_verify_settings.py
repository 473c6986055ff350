"""I5, I13 and I15 about settings and alerts: each damage made by hand is found, in a part run too, and whoever waited raises no alarm."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.database.locks import share_mandates
from core.ledger import meet_mandates
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.schema.books import billing_settings, billing_settings_history
from core.verifying.sql.invariants.all import INVARIANTS
from core.verifying.sql.invariants.invariant import EVER, judge
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, Change, PutSettings

VERSION = "UPDATE transactions SET settings_version = {} WHERE event_id = '{}'"
COLUMNS = ", ".join(c.name for c in billing_settings_history.columns if c.name in billing_settings.columns and not c.primary_key)
KEPT = f"INSERT INTO billing_settings_history (mandate_id, version, {COLUMNS}, changed_by) SELECT mandate_id, version, {COLUMNS}, 'me' FROM n"
FIRST_PAIR = "kind = 'ZERO' AND id < (SELECT max(id) FROM balance_alerts WHERE kind = 'ZERO')"
DAMAGES = {
    "emails": ("I13", "UPDATE billing_settings SET notification_emails = '{a@acme.example}'"),
    "address": ("I13", "UPDATE billing_settings SET billing_address = '{\"city\": \"Bern\"}'"),
    "warning": ("I13", "UPDATE billing_settings SET warning_threshold_percent = 11"),
    "address of the history": ("I13", "UPDATE billing_settings_history SET billing_address = '{}' WHERE version = 4"),
    "version of the settings": ("I13", "UPDATE billing_settings SET version = 3"),
    "settings gone": ("I13", "DELETE FROM billing_settings"),
    "settings and history gone": ("I13", "WITH gone AS (DELETE FROM billing_settings) DELETE FROM billing_settings_history"),
    "history gone": ("I13", "DELETE FROM billing_settings_history"),
    "newest version gone": ("I13", "DELETE FROM billing_settings_history WHERE version = 4"),
    "unused version gone": ("I13", "DELETE FROM billing_settings_history WHERE version = 3"),
    "an earlier version with the same payer": ("I13", VERSION.format(1, "second")),
    "a later version with the same payer": ("I13", VERSION.format(2, "first")),
    "a version that nothing was made under": ("I13", VERSION.format(3, "second")),
    "another version of a payment": ("I13", "UPDATE transactions SET settings_version = 2 WHERE reference_type = 'PAYMENT'"),
    "another version of a grant": ("I13", "UPDATE transactions SET settings_version = 2 WHERE reference_type = 'SYSTEM'"),
    "a crossing": ("I15", "DELETE FROM balance_alerts WHERE id = (SELECT min(id) FROM balance_alerts)"),
    "all crossings": ("I15", "DELETE FROM balance_alerts WHERE NOT recovered"),
    "all recoveries": ("I15", "DELETE FROM balance_alerts WHERE recovered"),
    "all alerts": ("I15", "DELETE FROM balance_alerts"),
    "a way there and back": ("I15", f"DELETE FROM balance_alerts WHERE {FIRST_PAIR}"),
    "the alerts of another account": ("I15", "UPDATE balance_alerts SET account_id = (SELECT min(id) FROM accounts WHERE user_id IS NULL)"),
    "model without a switch": ("I5", f"WITH n AS (UPDATE billing_settings SET version = 5, billing_model = 'UNLIMITED' RETURNING *) {KEPT}"),
}  # fmt: skip


@pytest.fixture
def book(put_settings: PutSettings, record: Record, change: Change, database: Database, rows: Rows) -> None:
    """Usage under two versions with the same payer, a way over the lines, back and there again, an unused version, a switch."""
    put_settings(users=["ada"])
    record(event(event_id="first", price_chf="12"))
    account_id = rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"]
    top_up(database, ROOT, TopUp(mandate_id="acme", account_id=account_id, amount="10", key="t", by="olga"))
    change(notify_on_warning=False)
    record(event(event_id="second", price_chf="12"))
    change(default_user_credit=3, billing_address={"city": "Aarau"})
    switch_billing_model(database, ROOT, ModelSwitch(mandate_id="acme", key="s", by="olga", billing_model=BillingModel.PREPAY_MANDATE))
    record(event(event_id="third"))


def test_the_book_is_in_order(book: None, breaches: Breaches) -> None:
    """Nothing false is told of it."""
    assert breaches() == {}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, book: None, database: Database, rows: Rows, breaches: Breaches) -> None:
    """By `verify`, and by a part run over the entries of the time."""
    invariant, damage = DAMAGES[name]
    since = rows("SELECT CAST(min(recorded_at) AS text) AS since FROM transactions")[0]["since"]
    rows(damage)
    assert invariant in breaches()
    (check,) = [check for check in INVARIANTS if check.name == invariant]
    with database.snapshot() as connection:
        counts = {judge(connection, check, 5, moment).violations for moment in (EVER, since)}
    assert len(counts) == 1
    assert counts != {0}


def test_entries_before_the_checkpoint_are_not_looked_at_again(book: None, database: Database, rows: Rows) -> None:
    """What a part run reads of transactions is what was recorded since; the rest is small, and looked at whole."""
    rows(VERSION.format(1, "second"))
    (check,) = [check for check in INVARIANTS if check.name == "I13"]
    with database.snapshot() as connection:
        assert judge(connection, check, 5, "2999-01-01").violations == 0


@pytest.mark.parametrize("model", [BillingModel.PREPAY_USER, BillingModel.CREDIT_POSTPAY])
def test_a_recorder_that_stalls_while_settings_change_raises_no_alarm(
    model: BillingModel, put_settings: PutSettings, record: Record, change: Change, rows: Rows, breaches: Breaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entries carry an earlier time than the version that they were made under, and both are in order."""
    begun, may_go_on, share = threading.Event(), threading.Event(), share_mandates

    def stall(*arguments: Any) -> None:
        begun.set()
        assert may_go_on.wait(30)
        share(*arguments)

    put_settings(model=BillingModel.UNLIMITED, users=["ada"])
    monkeypatch.setattr(meet_mandates, "share_mandates", stall)
    with ThreadPoolExecutor(1) as pool:
        recorded = pool.submit(record, event())
        assert begun.wait(30)
        change(billing_model=model)
        may_go_on.set()
        assert recorded.result(30).summary() == "recorded 1"
    (entry,) = rows(
        "SELECT t.settings_version, t.recorded_at < h.changed_at AS is_earlier FROM transactions t"
        " JOIN billing_settings_history h ON h.version = t.settings_version WHERE t.reference_type = 'WORKFLOW'"
    )
    assert entry == {"settings_version": 2, "is_earlier": True}
    assert breaches() == {}


def test_versions_made_before_ids_were_noted_are_judged_by_who_paid(book: None, rows: Rows, breaches: Breaches) -> None:
    """Of them nothing else is known, and nothing false is told."""
    rows("UPDATE billing_settings_history SET after_transaction_id = NULL")
    assert breaches() == {}
    rows("UPDATE transactions SET balance_account_id = NULL WHERE event_id = 'second'")
    assert "I13" in breaches()
