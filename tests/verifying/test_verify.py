"""The invariants: an orderly book breaks none, and each tampering shows up under its number."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.events.outcome import BatchResult
from core.verifying.sql.invariants.dead_letters import AGED_OUT
from core.verifying.verify import SAMPLES_MAX, verify
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

TOKENS = {"usage": {"input_tokens": 10, "reasoning_tokens": 2}, "provider": "", "model": "mödel", "feature_code": "chat", "workflow_id": "w"}

# The rollup, written once more and in another way: one period type at a time.
ROLL_UP = """
    INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code, event_count, cost, billed_cost,
                                  input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens)
    SELECT mandate_id, account_id, :period, date_trunc(:period, local_date), coalesce(provider, 'unknown'), coalesce(model, 'unknown'),
           coalesce(feature_code, 'unknown'), count(*), sum(amount), sum(CASE WHEN balance_account_id IS NULL THEN 0 ELSE amount END),
           sum(coalesce(input_tokens, 0)), 0, 0, 0, sum(coalesce(reasoning_tokens, 0))
      FROM transactions WHERE reference_type = 'WORKFLOW' GROUP BY 1, 2, 4, 5, 6, 7
"""

# As above, for books with amendments: a reversal takes out of the group that it reverses.
AMENDED_ROLL_UP = """
    INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code, event_count, cost, billed_cost,
                                  input_tokens, output_tokens)
    SELECT t.mandate_id, t.account_id, :period, date_trunc(:period, t.local_date), coalesce(t.provider, 'unknown'), coalesce(t.model, 'unknown'),
           coalesce(t.feature_code, 'unknown'), count(*) FILTER (WHERE t.reference_type = 'WORKFLOW' AND sign = 1), sum(sign * t.amount),
           sum(sign * t.amount), sum(sign * coalesce(t.input_tokens, 0)), sum(sign * coalesce(t.output_tokens, 0))
      FROM (SELECT id, 1 AS sign FROM transactions WHERE transaction_type = 'DEBIT'
            UNION ALL SELECT reverses_id, -1 FROM transactions WHERE reverses_id IS NOT NULL) AS part
      JOIN transactions t ON t.id = part.id
     GROUP BY 1, 2, 4, 5, 6, 7
"""

# An operator's top-up with the alert that it makes, as the books hold it afterwards.
TOP_UP = """
    WITH moved AS (UPDATE accounts SET balance = balance + 20, warning_threshold = 1 WHERE mandate_id = 'acme' AND user_id = 'ada' RETURNING *)
    INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              occurred_at, local_date, settings_version)
    SELECT mandate_id, id, id, 'CREDIT', 20, 'PAYMENT', 'Top-up', now(), (now() AT TIME ZONE 'Pacific/Auckland')::date, 1 FROM moved
"""
RECOVERED = """
    INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version)
    SELECT mandate_id, id, kind, true, balance - 20, balance, warning_threshold, 1
      FROM accounts CROSS JOIN unnest(ARRAY['WARNING', 'ZERO']) AS kind WHERE mandate_id = 'acme' AND user_id = 'ada'
"""

# A copy under another id; the condition follows.
SECOND_TRANSACTION = """
    INSERT INTO transactions
    SELECT copy.* FROM transactions t, LATERAL jsonb_populate_record(t, jsonb_build_object('id', 999)) AS copy WHERE """
SECOND_ALERT = """
    INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version, batch_id)
    SELECT mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version, batch_id
      FROM balance_alerts WHERE """


# What the owner of the tables may change behind the program's back, and the invariant that it breaks.
TAMPERINGS = [
    ("I1", "DELETE FROM event_keys WHERE event_id = :first"),
    ("I1", "DELETE FROM transactions WHERE event_id = :first"),
    ("I1", "UPDATE event_keys SET transaction_id = transaction_id + 1000 WHERE event_id = :first"),
    ("I1", SECOND_TRANSACTION + "t.event_id = :first"),
    ("I2", "UPDATE transactions SET model = 'other' WHERE event_id = :first"),
    ("I2", "UPDATE transactions SET provider = NULL WHERE event_id = :first"),
    ("I2", "UPDATE transactions SET occurred_at = occurred_at + interval '1 microsecond' WHERE event_id = :first"),
    ("I2", "UPDATE event_keys SET hash_version = 9 WHERE event_id = :first"),
    ("I3", "UPDATE accounts SET balance = balance + 0.000000001 WHERE mandate_id = 'pool' AND user_id IS NULL"),
    ("I4", "UPDATE transactions SET amount = 'NaN' WHERE event_id = :first"),
    ("I5", "UPDATE transactions SET transaction_type = 'ADJUSTMENT', reference_type = 'SWITCH', operation_key = 's' WHERE event_id = :first"),
    ("I8", "UPDATE dead_letters SET body = 'not JSON' WHERE reason = 'malformed_json'"),
    ("I8", "UPDATE dead_letters SET body = 'not' WHERE reason = 'malformed_json'"),
    ("I8", "UPDATE dead_letters SET reason = '' WHERE reason = 'malformed_json'"),
    ("I8", "UPDATE dead_letters SET attempts = 1"),
    ("I8", "DELETE FROM dead_letters WHERE reason = 'malformed_json'"),
    ("I10", "UPDATE transactions SET amount = 1 WHERE event_id = :first"),
    ("I11", "UPDATE transactions SET account_id = (SELECT min(id) FROM accounts WHERE mandate_id = 'pool') WHERE event_id = :first"),
    ("I11", "UPDATE transactions SET balance_account_id = 4711 WHERE event_id = :first"),
    ("I11", "UPDATE transactions SET account_id = (SELECT id FROM accounts WHERE user_id = 'bob') WHERE event_id = :first"),
    ("I11", "UPDATE transactions SET reverses_id = 4711 WHERE event_id = :first"),
    ("I11", "UPDATE balance_alerts SET mandate_id = 'pool' WHERE mandate_id = 'acme'"),
    ("I13", "UPDATE transactions SET settings_version = 2 WHERE event_id = :first"),
    ("I13", "UPDATE transactions SET balance_account_id = NULL WHERE event_id = :first"),
    ("I13", "UPDATE billing_settings SET time_zone = 'Europe/Zurich' WHERE mandate_id = 'free'"),
    ("I14", "DELETE FROM transactions WHERE reference_type = 'SYSTEM' AND mandate_id = 'elsewhere'"),
    ("I14", SECOND_TRANSACTION + "t.reference_type = 'SYSTEM' AND t.mandate_id = 'elsewhere'"),
    ("I14", "DELETE FROM operation_keys WHERE mandate_id = 'elsewhere'"),
    ("I14", "UPDATE accounts SET grant_due = false WHERE user_id = 'stranger'"),
    ("I15", "DELETE FROM balance_alerts WHERE kind = 'WARNING' AND mandate_id = 'acme'"),
    ("I15", "DELETE FROM balance_alerts WHERE kind = 'ZERO' AND mandate_id = 'pool'"),
    ("I15", SECOND_ALERT + "kind = 'CREDIT_LIMIT'"),
    ("I15", "UPDATE balance_alerts SET recovered = true WHERE kind = 'ZERO' AND mandate_id = 'pool'"),
    ("I15", "UPDATE balance_alerts SET balance_after = balance_before WHERE kind = 'CREDIT_LIMIT'"),
    ("I15", "UPDATE balance_alerts SET balance_before = balance_before + 100 WHERE kind = 'WARNING' AND mandate_id = 'acme'"),
    ("I15", "UPDATE balance_alerts SET batch_id = NULL, settings_version = 7 WHERE kind = 'WARNING' AND mandate_id = 'later'"),
    ("I16", "UPDATE transactions SET local_date = local_date + 1 WHERE event_id = :first"),
    ("I16", "UPDATE billing_settings_history SET time_zone = 'Mars/Olympus' WHERE mandate_id = 'acme'"),
]  # fmt: skip


@pytest.fixture
def broken(database: Database) -> Callable[[], dict[str, int]]:
    """The broken invariants of the test's book, each with its number of violations."""
    return lambda: {verdict.invariant: verdict.violations for verdict in verify(database, ROOT) if verdict.violations}


@pytest.fixture
def book(record: Record, rows: Rows, put_mandate: PutMandate, put_settings: PutSettings, release: Callable[[], BatchResult]) -> dict[str, object]:
    """A book with all four models, duplicates, conflicts, rejections, alerts, strangers and parked events; its first event."""
    put_mandate("acme", users=["ada", "bob", "eve"], time_zone="Pacific/Auckland")
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_settings("later", BillingModel.CREDIT_POSTPAY, users=["ada"], time_zone="America/Los_Angeles")
    put_settings("free", BillingModel.UNLIMITED, users=["ada"])
    put_settings("none", BillingModel.PREPAY_USER, users=["ada"], default_user_credit=0)
    first = event(price_chf="9.5", **TOKENS)
    others = [event(mandate_id=mandate, **TOKENS) for mandate in ("pool", "later", "free", "none", "elsewhere", "unknown") for _ in range(3)]
    record(first, *others, event(user_id="stranger"), event(user_id="eve", price_chf="0"))
    rows("UPDATE accounts SET credit_limit = 2 WHERE mandate_id = 'later' AND user_id IS NULL")
    record(first, {**first, "price_chf": "1"}, b"not json", *others[:4])
    record(event(price_chf="1"), {**first, "price_chf": "1"}, b"not json")
    record(event(mandate_id="later", price_chf="1.1"))
    record(event(mandate_id="later", price_chf="1.1"), event(user_id="bob", price_chf="10.000000001"))
    put_mandate("elsewhere", users=["ada"])
    release()
    return first


def test_an_orderly_book_breaks_no_invariant(book: object, broken: Callable[[], dict[str, int]], rows: Rows) -> None:
    """All four models with duplicates, conflicts, rejections, parked events, strangers and alerts are in order."""
    assert {row["kind"] for row in rows("SELECT DISTINCT kind FROM balance_alerts")} == {"WARNING", "ZERO", "CREDIT_LIMIT"}
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"conflict", "malformed_json"}
    assert broken() == {}


def test_an_empty_database_breaks_no_invariant(broken: Callable[[], dict[str, int]]) -> None:
    """Books that nothing was written into are in order."""
    assert broken() == {}


def test_rolled_up_statistics_are_compared(book: object, broken: Callable[[], dict[str, int]], rows: Rows) -> None:
    """Statistics equal to the transactions are in order, statistics that miss a batch are not, and neither is a changed one."""
    rows("DELETE FROM rollup_pending")
    assert set(broken()) == {"I6"}
    for period in ("DAY", "MONTH", "YEAR"):
        rows(ROLL_UP, period=period)
    assert broken() == {}
    rows("UPDATE usage_statistics SET input_tokens = input_tokens + 1 WHERE period_type = 'MONTH' AND mandate_id = 'free'")
    assert broken() == {"I6": 1}


@pytest.mark.parametrize(("invariant", "tampering"), TAMPERINGS)
def test_tampering_is_reported_under_its_number(
    book: dict[str, object], broken: Callable[[], dict[str, int]], rows: Rows, invariant: str, tampering: str
) -> None:
    """Whatever the owner of the tables changes behind the program's back breaks the invariant that guards it."""
    rows("ALTER TABLE transactions DROP CONSTRAINT ck_transactions_amount_range")
    rows(tampering, **({"first": book["event_id"]} if ":first" in tampering else {}))
    assert broken().get(invariant, 0) > 0


def test_a_recovery_without_its_alert_is_reported(book: object, broken: Callable[[], dict[str, int]], rows: Rows) -> None:
    """A top-up that lifts a balance over its lines needs an alert for each, and one of each is enough."""
    rows(TOP_UP)
    assert broken() == {"I15": 2}
    rows(RECOVERED)
    assert broken() == {}
    rows(RECOVERED)
    assert broken() == {"I15": 2}


def test_the_lines_after_a_recovery_are_crossed_again(book: object, broken: Callable[[], dict[str, int]], rows: Rows, record: Record) -> None:
    """Crossed, recovered and crossed once more is in order."""
    rows(TOP_UP)
    rows(RECOVERED)
    record(event(price_chf="25"))
    assert [row["recovered"] for row in rows("SELECT recovered FROM balance_alerts WHERE mandate_id = 'acme' AND kind = 'ZERO' ORDER BY id")][
        -2:
    ] == [
        True,
        False,
    ]
    assert broken() == {}


def test_a_postpaid_limit_may_change_beside_the_ledger(book: object, broken: Callable[[], dict[str, int]], rows: Rows, record: Record) -> None:
    """A pool whose limit is raised and whose debt then reaches the new one crosses twice in a row, and that is in order."""
    rows("UPDATE accounts SET credit_limit = 10 WHERE mandate_id = 'later' AND user_id IS NULL")
    record(event(mandate_id="later", price_chf="20"))
    assert len(rows("SELECT FROM balance_alerts WHERE mandate_id = 'later' AND kind = 'CREDIT_LIMIT' AND NOT recovered")) == 2
    assert broken() == {}


def test_dead_letters_that_aged_out_are_counted(book: object, broken: Callable[[], dict[str, int]], rows: Rows) -> None:
    """A job that removed resolved dead letters says how many deliveries they stood for, and the sum is right again."""
    attempts = sum(row["attempts"] for row in rows("DELETE FROM dead_letters WHERE reason = 'conflict' RETURNING attempts"))
    assert broken() == {"I8": 1}
    counts = "jsonb_build_object(CAST(:name AS text), CAST(:n AS int))"
    rows(f"INSERT INTO job_runs (job, period, worker, counts) VALUES ('books.housekeep', 'p', 'test', {counts})", name=AGED_OUT, n=attempts)
    assert broken() == {}


def test_samples_are_few_and_the_count_is_whole(book: object, database: Database, rows: Rows) -> None:
    """Of many breaches all are counted and a handful is shown, each naming what is wrong."""
    rows("UPDATE accounts SET balance = balance + 1")
    (verdict,) = [v for v in verify(database, ROOT) if v.invariant == "I3"]
    assert verdict.violations == len(rows("SELECT FROM accounts"))
    assert len(verdict.samples) == SAMPLES_MAX
    assert verdict.samples[0].subject.startswith("account ")


def test_a_late_member_without_its_grant_is_in_order_while_it_is_due(
    record: Record, broken: Callable[[], dict[str, int]], put_mandate: PutMandate, config: Configuration, rows: Rows
) -> None:
    """A stranger's account overdraws, alerts and waits for its grant without breaking anything."""
    put_mandate("acme")
    record(event(price_chf="3"))
    assert rows("SELECT balance, grant_due FROM accounts") == [{"balance": Decimal("-3.000000000"), "grant_due": True}]
    assert broken() == {}
