"""Refunds and voids: never more than the entry, on its own account and balance, however many ask at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements.adjust import Adjustment, adjust
from core.movements.refund import Refund, RefundResult, refund
from core.movements.top_up import TopUp, top_up
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

GiveBack = Callable[..., RefundResult]
USAGE = "SELECT id FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY id DESC LIMIT 1"


@pytest.fixture
def give_back(database: Database, rows: Rows) -> GiveBack:
    """Refunds a transaction of acme, the latest usage if none is named."""

    def call(transaction_id: int | None = None, **fields: Any) -> RefundResult:
        found = transaction_id or rows(USAGE)[0]["id"]
        return refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": found, "key": "ticket-1", "by": "olga", **fields}))

    return call


@pytest.mark.parametrize("model", BillingModel)
def test_usage_is_refunded_where_it_was_paid(
    model: BillingModel, give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """The refund names the usage, is about the same account and lifts the balance that paid; under UNLIMITED it moves none."""
    put_settings(model=model, users=["ada"])
    record(event(price_chf="3"))
    before = rows("SELECT id, balance FROM accounts ORDER BY id")
    (usage,) = rows("SELECT * FROM transactions WHERE reference_type = 'WORKFLOW'")
    done = give_back(amount="1.25", reason="slow answer")
    assert (done.amount, done.refundable, done.refunded_transaction_id) == (Decimal("1.25"), Decimal("1.75"), usage["id"])
    (entry,) = rows("SELECT * FROM transactions WHERE reference_type = 'REFUND'")
    assert (entry["account_id"], entry["balance_account_id"]) == (usage["account_id"], usage["balance_account_id"])
    assert (entry["transaction_type"], entry["amount"], entry["reverses_id"]) == ("ADJUSTMENT", Decimal("1.25"), usage["id"])
    assert (entry["description"], entry["created_by_user_id"], entry["operation_key"]) == ("slow answer", "olga", "ticket-1")
    paid = {usage["balance_account_id"]: Decimal("1.25")}
    after = {row["id"]: row["balance"] for row in rows("SELECT id, balance FROM accounts")}
    assert after == {row["id"]: row["balance"] + paid.get(row["id"], 0) for row in before}
    assert done.balance == after.get(usage["balance_account_id"])
    assert breaches() == {}


def test_a_refund_is_a_batch_that_the_rollup_will_see(give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """It counts no event, names its one transaction and is pending."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    done = give_back()
    (batch,) = rows("SELECT * FROM batches WHERE kind = 'refund'")
    assert (batch["first_transaction_id"], batch["last_transaction_id"]) == (done.transaction_id, done.transaction_id)
    assert [batch[name] for name in ("recorded", "duplicate", "conflict", "rejected", "parked", "released", "unknown_user")] == [0] * 7
    assert rows("SELECT batch_id FROM transactions WHERE id = :id", id=done.transaction_id) == [{"batch_id": batch["id"]}]
    assert {"batch_id": batch["id"]} in rows("SELECT batch_id FROM rollup_pending")
    assert rows("SELECT transaction_id, refund_transaction_id, amount FROM refunds") == [
        {"transaction_id": done.refunded_transaction_id, "refund_transaction_id": done.transaction_id, "amount": Decimal(3)}
    ]


def test_parts_add_up_to_the_whole_and_no_further(give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """Without an amount all that is left is given back; then nothing is left, and the message says how much was."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    give_back(amount="0.5", key="a")
    with pytest.raises(RequestRefused, match=r"amount: 2.500000001 CHF is more than the 2.50* CHF that are left of transaction \d+"):
        give_back(amount="2.500000001", key="b")
    assert (done := give_back(key="b")).amount == Decimal("2.5")
    assert done.refundable == 0
    with pytest.raises(RequestRefused, match=r"amount: nothing is left to refund of transaction \d+, 3.0* of 3.0* CHF are refunded"):
        give_back(key="c")
    assert rows("SELECT balance FROM accounts") == [{"balance": Decimal(10)}]


def test_each_refund_says_what_is_refunded_with_it(
    give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """The total stands with each refund, whatever its ids; beside refunds of a program that wrote none they are all added up."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    for key in "abc":
        give_back(amount="0.5", key=key)
    totals = "SELECT refunded FROM refunds ORDER BY refund_transaction_id"
    assert [row["refunded"] for row in rows(totals)] == [Decimal("0.5"), Decimal(1), Decimal("1.5")]
    rows("UPDATE refunds SET refunded = NULL WHERE refunded > 1")
    assert give_back(amount="0.5", key="d").refundable == 1
    assert [row["refunded"] for row in rows(totals)] == [Decimal("0.5"), Decimal(1), None, Decimal(2)]
    assert breaches() == {}
    rows("UPDATE refunds SET refunded = 1.5 WHERE refunded = 2")
    assert list(breaches()) == ["I11"]


def test_the_same_key_refunds_once(give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """A repeated request gets the first result again, also once nothing is left; with another content the key is a conflict."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    first = give_back()
    again = give_back()
    assert (again.transaction_id, again.refundable, again.repeated) == (first.transaction_id, Decimal(0), True)
    with pytest.raises(Conflict, match="'ticket-1' was used for another refund"):
        give_back(amount="3")
    assert rows("SELECT count(*) AS n FROM refunds") == [{"n": 1}]


@pytest.mark.parametrize("model", [BillingModel.PREPAY_USER, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED])
def test_many_at_once_never_refund_more_than_the_amount(
    model: BillingModel, give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Eight callers at once each ask for a part; exactly those that fit are done, also where no balance pays."""
    put_settings(model=model, users=["ada"])
    record(event(price_chf="1"))

    def attempt(n: int) -> bool:
        try:
            give_back(amount="0.3", key=f"ticket-{n}")
        except RequestRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 3
    assert rows("SELECT sum(amount) AS total FROM refunds") == [{"total": Decimal("0.9")}]
    assert breaches() == {}


def test_a_payment_and_an_adjustment_can_be_voided(
    database: Database, give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows
) -> None:
    """A bounced payment is taken off again, an adjustment down is given back; the threshold stays that of the credit."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    ada = rows("SELECT id FROM accounts")[0]["id"]
    common = {"mandate_id": "acme", "account_id": ada, "by": "olga"}
    payment = top_up(database, ROOT, TopUp.read({**common, "amount": "93", "key": "invoice"}))
    down = adjust(database, ROOT, Adjustment.read({**common, "amount": "-40", "reason": "typo", "key": "ticket"}))
    bounced = give_back(payment.transaction_id, key="bounced")
    assert (bounced.amount, bounced.balance, bounced.warning_threshold) == (Decimal(-93), Decimal(-33), Decimal(10))
    assert give_back(down.transaction_id, key="void").balance == Decimal(7)
    assert rows("SELECT sum(amount) AS total FROM refunds") == [{"total": Decimal(133)}]


def test_what_is_no_payment_or_usage_is_not_refunded(
    give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """A grant, a refund itself and usage of price 0 are refused by name; a transaction of another mandate isn't found."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    refunded = give_back()
    grant = rows("SELECT id FROM transactions WHERE reference_type = 'SYSTEM'")[0]["id"]
    for transaction_id, kind in ((grant, "CREDIT of kind SYSTEM"), (refunded.transaction_id, "ADJUSTMENT of kind REFUND")):
        with pytest.raises(RequestRefused, match=f"transaction_id: {transaction_id} is a {kind}, which is not refunded"):
            give_back(transaction_id, key="other")
    record(event(price_chf="0"))
    with pytest.raises(RequestRefused, match="nothing is left to refund of transaction"):
        give_back(key="other")
    put_settings("globex", users=["ada"])
    record(event(mandate_id="globex"))
    with pytest.raises(NotFound, match="transaction_id: mandate 'acme' has no transaction"):
        give_back(key="other")
    assert breaches() == {}


def test_what_was_amended_is_not_refunded(give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """Usage that an operator took back has nothing to refund: the entry that replaced it has, and it can be."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    copied = """
        INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  occurred_at, local_date, settings_version, reverses_id)
        SELECT mandate_id, account_id, balance_account_id, :kind, :amount, 'AMENDMENT', 'corrected',
               occurred_at, local_date, settings_version, :reverses
          FROM transactions WHERE id = :id RETURNING id
    """
    old = rows(USAGE)[0]["id"]
    (reversal,) = rows(copied, id=old, kind="ADJUSTMENT", amount=3, reverses=old)
    (debit,) = rows(copied, id=old, kind="DEBIT", amount=2, reverses=None)
    with pytest.raises(RequestRefused, match=f"transaction_id: {old} was taken back by amendment {reversal['id']}"):
        give_back(old)
    with pytest.raises(RequestRefused, match="ADJUSTMENT of kind AMENDMENT, which is not refunded"):
        give_back(reversal["id"])
    assert give_back(debit["id"]).amount == Decimal(2)


def test_a_refund_waits_for_the_debits_of_its_balance(
    give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Refunds and batches on one pool at once: each moves the balance, and the lines crossed are reported once."""
    put_settings(model=BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(price_chf="5"))
    usage = rows(USAGE)[0]["id"]
    work: list[Callable[[], object]] = [partial(give_back, usage, amount="0.1", key=f"r{n}") for n in range(10)]
    work += [partial(record, event(price_chf="0.2"), event(price_chf="0.1")) for _ in range(6)]
    at_once(*work)
    assert rows("SELECT balance FROM accounts WHERE user_id IS NULL") == [{"balance": Decimal("-5.8")}]
    assert breaches() == {}


def test_a_wrong_field_is_named(give_back: GiveBack, put_settings: PutSettings, record: Record) -> None:
    """An amount or id that can't be is refused with its value."""
    put_settings(users=["ada"])
    record(event())
    with pytest.raises(RequestRefused, match="amount: '-1' is not above 0"):
        give_back(amount="-1")
    with pytest.raises(RequestRefused, match="transaction_id: -4 "):
        give_back(-4)
    with pytest.raises(NotFound, match="mandate 'nobody' has no billing settings"):
        give_back(mandate_id="nobody")


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM refunds",
        "DELETE FROM transactions WHERE reference_type = 'REFUND'",
        "UPDATE refunds SET amount = 1.5",
        "UPDATE refunds SET transaction_id = transaction_id - 1",
        "UPDATE transactions SET reverses_id = reverses_id - 1 WHERE reference_type = 'REFUND'",
        "UPDATE transactions SET balance_account_id = NULL WHERE reference_type = 'REFUND'",
        "UPDATE transactions SET amount = 0.5 WHERE reference_type = 'WORKFLOW'",
    ],
)
def test_a_refund_that_is_not_one_of_its_entry_is_reported(
    tampering: str, give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Whatever parts the table of refunds, the ledger and the refunded entry breaks I11."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    give_back(amount="1")
    assert breaches() == {}
    rows(tampering)
    assert "I11" in breaches()


def test_verify_sees_a_refund_that_takes_instead_of_giving(
    give_back: GiveBack, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """A refund of the wrong sign breaks I11, a second entry under its key breaks I14, although the balance is the sum of them all."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    give_back()
    rows("UPDATE transactions SET amount = -amount WHERE reference_type = 'REFUND'")
    rows("UPDATE accounts SET balance = balance - 6")
    assert "I11" in breaches()
    rows("UPDATE transactions SET amount = -amount WHERE reference_type = 'REFUND'")
    rows("""
        INSERT INTO transactions SELECT copy.* FROM transactions t, LATERAL jsonb_populate_record(t, '{"id": 999}') AS copy
         WHERE t.reference_type = 'REFUND'
    """)
    rows("UPDATE accounts SET balance = balance + 9")
    assert "I14" in breaches()


def test_verify_sees_a_model_that_changed_without_its_money(put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches) -> None:
    """A billing model that changes after the first entry without a switch breaks I5."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    rows("UPDATE billing_settings SET billing_model = 'PREPAY_MANDATE', version = 2")
    rows("""
        INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                              block_on_zero_balance, notify_on_warning, time_zone, changed_by)
        VALUES ('acme', 2, 'PREPAY_MANDATE', 10, 10, true, true, 'UTC', 'test')
    """)
    assert "I5" in breaches()
