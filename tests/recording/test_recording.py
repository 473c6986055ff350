"""Recording usage: the five outcomes, and everything that one committed batch leaves behind."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from core.billing import BillingModel
from core.events.outcome import Outcome
from core.events.payload import payload_hash
from tests.conftest import Record, Rows
from tests.sample_events import NOW, event, parsed
from tests.scene import PutMandate, PutSettings

RECORDED, DUPLICATE, CONFLICT, REJECTED, PARKED = (Outcome(name) for name in ("recorded", "duplicate", "conflict", "rejected", "parked"))
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
USAGE = "SELECT * FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY id"


def test_each_event_gets_its_outcome_in_order(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """All five outcomes in one batch, in the order given, counted in the result and in the batch's row."""
    put_mandate(users=["ada"])
    one, other = event(), event()
    result = record(one, b"nonsense", {**one}, {**one, "price_chf": "9"}, event(mandate_id="nobody"), other)
    assert result.outcomes == [RECORDED, REJECTED, DUPLICATE, CONFLICT, PARKED, RECORDED]
    assert result.reasons == {"malformed_json": 1, "conflict": 1}
    (batch,) = rows("SELECT * FROM batches")
    assert {o: batch[o.value] for o in Outcome} == result.counts() == {RECORDED: 2, DUPLICATE: 1, CONFLICT: 1, REJECTED: 1, PARKED: 1}
    assert (batch["worker"], batch["kind"], batch["released"], batch["unknown_user"]) == ("test", "usage", 0, 0)
    assert batch["started_at"] <= batch["committed_at"]


def test_a_debit_keeps_every_field_as_it_came(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Texts, counts, price and time stand in the transaction, and the key holds the payload's hash."""
    put_mandate(users=["ada"])
    texts = {name: f" {name} \u00e9\U0001f600" for name in ("provider", "model", "feature_code", "feature_instance_id", "workflow_id", "description")}
    counts = dict(
        zip(["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"], [0, 2**53 - 1, 1, 2, 3], strict=True)
    )
    fields = event(price_chf="0.1234567890123456789", **texts, usage=counts)
    assert record(fields).outcomes == [RECORDED]
    (debit,) = rows(USAGE)
    whole = parsed(fields)
    assert {name: debit[name] for name in (*texts, *counts)} == {**texts, **counts}
    assert (debit["mandate_id"], debit["event_id"], debit["created_by_user_id"]) == ("acme", fields["event_id"], "ada")
    assert (debit["transaction_type"], debit["amount"], debit["occurred_at"]) == ("DEBIT", Decimal("0.123456789"), whole.occurred_at)
    (key,) = rows("SELECT * FROM event_keys")
    assert (key["transaction_id"], key["recorded_at"], key["payload_hash"], key["hash_version"]) == (
        debit["id"],
        debit["recorded_at"],
        payload_hash(whole),
        1,
    )


def test_what_is_absent_is_null_and_the_description_has_a_default(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """An absent optional field is NULL, so that the hash can be computed again from the row."""
    put_mandate(users=["ada"])
    record(event())
    (debit,) = rows(USAGE)
    assert debit["description"] == "AI Usage"
    optional = [
        "provider",
        "model",
        "feature_code",
        "feature_instance_id",
        "workflow_id",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "reverses_id",
    ]
    assert all(debit[name] is None for name in optional)


def test_a_price_of_zero_is_recorded_and_moves_nothing(record: Record, rows: Rows, put_mandate: PutMandate, balances: Balances) -> None:
    """Zero-cost usage is usage: a debit of 0, no alert, the balance as it was."""
    put_mandate(users=["ada"])
    assert record(event(price_chf="0")).outcomes == [RECORDED]
    assert [debit["amount"] for debit in rows(USAGE)] == [Decimal(0)]
    assert balances() == {("acme", "ada"): Decimal(10)}
    assert rows("SELECT * FROM balance_alerts") == []


def test_usage_is_recorded_even_when_it_overdraws(record: Record, put_mandate: PutMandate, balances: Balances) -> None:
    """What has happened is debited, however little is there."""
    put_mandate(users=["ada"])
    assert record(event(price_chf="1000000"), event(price_chf="0.000000001")).outcomes == [RECORDED, RECORDED]
    assert balances() == {("acme", "ada"): Decimal("-999990.000000001")}


def test_a_disabled_account_is_still_charged(record: Record, rows: Rows, put_mandate: PutMandate, balances: Balances) -> None:
    """Refusing is the producer's job, before the call."""
    put_mandate(users=["ada"])
    record(event(price_chf="1"))
    rows("UPDATE accounts SET enabled = false")
    assert record(event(price_chf="1")).outcomes == [RECORDED]
    assert balances() == {("acme", "ada"): Decimal(8)}


def test_an_empty_batch_is_harmless(record: Record, rows: Rows) -> None:
    """Nothing delivered, nothing recorded, no error."""
    assert record().outcomes == []
    assert rows("SELECT * FROM rollup_pending") == []


def test_a_batch_that_recorded_waits_for_the_rollup(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """One pending row per batch with transactions, naming their ids; none for a batch of duplicates or dead letters."""
    put_mandate(users=["ada"])
    one = event()
    record(one, event(), event())
    record(one, b"nonsense", event(mandate_id="nobody"))
    batches = rows("SELECT id, first_transaction_id, last_transaction_id FROM batches ORDER BY id")
    ids = [row["id"] for row in rows(USAGE)]
    assert (batches[0]["first_transaction_id"], batches[0]["last_transaction_id"]) == (min(ids), max(ids))
    assert batches[1]["first_transaction_id"] is None
    assert rows("SELECT batch_id FROM rollup_pending") == [{"batch_id": batches[0]["id"]}]
    assert {row["batch_id"] for row in rows("SELECT batch_id FROM transactions")} == {batches[0]["id"]}


def test_times_of_recording_are_the_databases(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """`recorded_at` is the database's clock, whatever the worker's clock says."""
    put_mandate(users=["ada"])
    record(event(), clock=lambda: NOW + timedelta(days=30))
    (debit,) = rows("SELECT recorded_at BETWEEN now() - interval '1 minute' AND now() AS recent FROM transactions WHERE reference_type = 'WORKFLOW'")
    assert debit["recent"]


def test_a_transaction_carries_the_settings_version_it_was_made_under(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A later version of the settings shows on later debits only."""
    put_settings(users=["ada"], version=7)
    record(event())
    rows("UPDATE billing_settings SET version = 8")
    record(event())
    assert [debit["settings_version"] for debit in rows(USAGE)] == [7, 8]


def test_many_mandates_and_users_in_one_batch(record: Record, rows: Rows, put_settings: PutSettings, balances: Balances) -> None:
    """Every event is debited to its own user or pool, and no transaction crosses mandates."""
    models = list(BillingModel)
    for number, model in enumerate(models):
        put_settings(f"m{number}", model, users=["ada", "bob"])
    events = [event(mandate_id=f"m{n % 4}", user_id=("ada", "bob")[n % 2], price_chf="0.5") for n in range(40)]
    assert record(*events).counts()[RECORDED] == 40
    crossing = "SELECT 1 FROM transactions t JOIN accounts a ON a.id IN (t.account_id, t.balance_account_id) WHERE a.mandate_id <> t.mandate_id"
    assert rows(crossing) == []
    found = balances()
    for number, model in enumerate(models):
        total = sum(balance for (mandate, _), balance in found.items() if mandate == f"m{number}")
        granted = sum(10 for (mandate, user) in found if mandate == f"m{number}" and user and model is BillingModel.PREPAY_USER)
        assert total == granted - (0 if model is BillingModel.UNLIMITED else 5)


@pytest.mark.parametrize("user_id", ["ada", "Ada", "ada ", "\u00e5da", "a\u030ada"])
def test_ids_compare_bytewise(user_id: str, record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Case, blanks and composition make other users and other events."""
    put_mandate(users=["ada"])
    record(event(event_id="e"), event(event_id="E"), event(event_id="e "))
    record(event(user_id=user_id))
    assert {row["user_id"] for row in rows("SELECT user_id FROM accounts")} == {"ada", user_id}
    assert len(rows(USAGE)) == 4


def test_texts_that_look_like_sql_or_json_are_texts(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Quotes, braces, percent signs, colons and NULL in ids go through arrays and parameters unharmed."""
    users = ["'; DROP TABLE accounts; --", "{a,b}", "NULL", '"', "\\", "%s", ":mandate_ids", "$1", ",", "{}"]
    put_mandate(users=users)
    assert record(*[event(user_id=user, event_id=user) for user in users]).counts()[RECORDED] == len(users)
    assert {row["user_id"] for row in rows("SELECT user_id FROM accounts")} == set(users)


def test_a_key_of_a_newer_program_is_compared_by_its_fields(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Where a newer program wrote the payload hash, the fields of the recorded event decide: a copy, or a conflict."""
    put_mandate(users=["ada"])
    one = event()
    record(one)
    rows("UPDATE event_keys SET hash_version = 99, payload_hash = sha256('another')")
    assert record(one, {**one, "price_chf": "7"}, event()).outcomes == [DUPLICATE, CONFLICT, RECORDED]


def test_the_clock_is_asked_for_the_time_of_receipt(record: Record, put_mandate: PutMandate) -> None:
    """Lateness and future are judged by the injected clock."""
    put_mandate(users=["ada"])
    fields = event()

    def next_year() -> datetime:
        return NOW + timedelta(days=500)

    assert record(fields, clock=next_year).reasons == {"too_late": 1}
    assert record(fields).outcomes == [RECORDED]
