"""Accepting a conflict: the event is amended, the money follows, the chain nets out and nothing happens twice."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.accept_conflict import AcceptedConflict, accept_conflict
from core.dead_letters.discard import discard_dead_letters
from core.dead_letters.sql.status import Choice
from core.errors import NotFound, RequestRefused
from core.movements.refund import Refund, refund
from tests.books.threads import at_once
from tests.conftest import Record, Row, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings
from tests.verifying.test_verify import AMENDED_ROLL_UP

Accept = Callable[..., AcceptedConflict]
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
TOKENS = {"usage": {"input_tokens": 10, "output_tokens": 3}, "model": "m1", "provider": "p"}


@pytest.fixture
def accept(database: Database, config: Configuration) -> Accept:
    """Accepts the dead letter with this id."""

    def call(dead_letter_id: int, *, database: Database = database) -> AcceptedConflict:
        return accept_conflict(database, ROOT, dead_letter_id, by="olga", config=config, worker="test")

    return call


@pytest.fixture
def conflict(record: Record, rows: Rows) -> Callable[..., int]:
    """Records an event's first payload if it is the first, then delivers it with these fields changed: the conflict's id."""
    first = event(event_id="e1", price_chf="2", **TOKENS)

    def deliver(**fields: object) -> int:
        record({**first, **{k: v for k, v in fields.items() if k == "mandate_id"}})
        record({**first, **fields})
        return int(rows("SELECT max(id) AS id FROM dead_letters")[0]["id"])

    return deliver


def amended(rows: Rows) -> list[Row]:
    """The entries of amendments, in order."""
    return rows("SELECT * FROM transactions WHERE reference_type = 'AMENDMENT' ORDER BY id")


def test_the_event_is_amended_to_what_the_conflict_says(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """A reversal on the account that paid and a new debit with the letter's fields; the key stays the first's, the event counts once."""
    put_settings(users=["ada"], time_zone="Pacific/Auckland")
    letter = conflict(price_chf="3.5", model="m2", occurred_at="2026-01-01T12:30:00Z", usage={"input_tokens": 7}, description="right")
    done = accept(letter)
    assert (done.price_before, done.price_after, done.balance, done.repeated) == (Decimal(2), Decimal("3.5"), Decimal("6.5"), False)
    (usage,) = rows("SELECT * FROM transactions WHERE reference_type = 'WORKFLOW'")
    reversal, debit = amended(rows)
    assert (reversal["transaction_type"], reversal["amount"], reversal["reverses_id"]) == ("ADJUSTMENT", Decimal(2), usage["id"])
    assert (reversal["balance_account_id"], reversal["created_by_user_id"]) == (usage["balance_account_id"], "olga")
    assert (debit["transaction_type"], debit["amount"], debit["model"], debit["input_tokens"]) == ("DEBIT", Decimal("3.5"), "m2", 7)
    assert (debit["output_tokens"], debit["event_id"], debit["created_by_user_id"], debit["description"]) == (None, "e1", "ada", "right")
    assert (str(debit["local_date"]), debit["provider"]) == ("2026-01-02", "p")
    assert rows("SELECT transaction_id FROM event_keys") == [{"transaction_id": usage["id"]}]
    assert balances()["acme", "ada"] == Decimal("6.5")
    (batch,) = rows("SELECT * FROM batches WHERE kind = 'amendment'")
    assert (batch["recorded"], batch["first_transaction_id"], batch["last_transaction_id"]) == (0, reversal["id"], debit["id"])
    assert rows("SELECT FROM rollup_pending WHERE batch_id = :id", id=batch["id"])
    (kept,) = rows("SELECT status, resolved_by, resolution FROM dead_letters")
    assert kept == {"status": "ACCEPTED", "resolved_by": "olga", "resolution": f"amended by transaction {debit['id']}"}
    assert breaches() == {}


def test_accepting_twice_amends_once(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, connect: Callable[[], Database], rows: Rows, breaches: Breaches
) -> None:
    """A repetition, also at the same moment, gets the first result again."""
    put_settings(users=["ada"])
    letter = conflict(price_chf="3.5")
    results = at_once(*[partial(accept, letter, database=connect()) for _ in range(4)])
    assert sorted(done.repeated for done in results) == [False, True, True, True]
    assert len({done.debit_id for done in [*results, accept(letter)]}) == 1
    assert len(amended(rows)) == 2
    assert breaches() == {}


def test_an_amended_event_can_be_amended_again(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, record: Record, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """Each amendment takes back what the one before put in: what stands is the last, and copies of the first are still duplicates."""
    put_settings(users=["ada"])
    for price in ("3", "4", "0", "1.5"):
        accept(conflict(price_chf=price))
        assert balances()["acme", "ada"] == Decimal(10) - Decimal(price)
    chain = rows("SELECT number, reversed_id, debit_id FROM amendments ORDER BY number")
    assert [link["number"] for link in chain] == [1, 2, 3, 4]
    assert [link["reversed_id"] for link in chain[1:]] == [link["debit_id"] for link in chain[:-1]]
    assert record(event(event_id="e1", price_chf="2", **TOKENS)).summary() == "duplicate 1"
    assert rows("SELECT sum(recorded) AS n FROM batches") == [{"n": 1}]
    assert breaches() == {}


def test_conflicts_of_one_event_accepted_at_once_form_a_chain(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, connect: Callable[[], Database], balances: Balances, breaches: Breaches
) -> None:
    """Whichever comes last stands, and the balance is its price."""
    put_settings(users=["ada"])
    letters = [conflict(price_chf=price) for price in ("3", "4", "5", "6")]
    results = at_once(*[partial(accept, letter, database=connect()) for letter in letters])
    last = max(results, key=lambda done: done.debit_id)
    assert balances()["acme", "ada"] == Decimal(10) - last.price_after
    assert breaches() == {}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (BillingModel.PREPAY_USER, {"ada": "10", "bob": "7", None: None}),
        (BillingModel.PREPAY_MANDATE, {"ada": "0", "bob": "0", None: "-3"}),
        (BillingModel.CREDIT_POSTPAY, {"ada": "0", "bob": "0", None: "-3"}),
        (BillingModel.UNLIMITED, {"ada": "0", "bob": "0", None: None}),
    ],
)
def test_another_user_pays_as_it_was_recorded(
    model: BillingModel,
    expected: dict[str | None, str | None],
    conflict: Callable[..., int],
    accept: Accept,
    put_settings: PutSettings,
    balances: Balances,
    breaches: Breaches,
) -> None:
    """Under each model: the first user gets his money back, the right one's account is opened with its grant, and he, the pool or nobody pays."""
    put_settings("acme", model, users=["ada", "bob"])
    done = accept(conflict(user_id="bob", price_chf="3"))
    found = {user: balance for (_, user), balance in balances().items()}
    assert found == {user: Decimal(balance) for user, balance in expected.items() if balance is not None}
    assert (done.balance is None) == (model is BillingModel.UNLIMITED)
    assert breaches() == {}


def test_who_paid_then_pays_now(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """After a change of the billing model the amendment moves the balance that the event moved, and no other."""
    put_settings(users=["ada"])
    letter = conflict(price_chf="3")
    rows("UPDATE billing_settings SET billing_model = 'PREPAY_MANDATE', version = 2")
    rows("""
        INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                              block_on_zero_balance, notify_on_warning, time_zone, changed_by)
        VALUES ('acme', 2, 'PREPAY_MANDATE', 10, 10, true, true, 'UTC', 'test')
    """)
    rows("""
        INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version, result)
        VALUES ('acme', 'switch_billing_model', 'test', '', 1, '{"leg_count": 0, "settings_version": 2, "new_model": "PREPAY_MANDATE"}')
    """)
    accept(letter)
    assert balances()["acme", "ada"] == Decimal(7)
    assert breaches() == {}


def test_lines_are_judged_by_the_balance_before_and_after(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, rows: Rows, breaches: Breaches
) -> None:
    """An amendment that overdraws alerts once per line, one that gives back tells the recovery, and its way through zero is no crossing."""
    put_settings(users=["ada"])
    accept(conflict(price_chf="12"))
    accept(conflict(price_chf="12.5"))
    accept(conflict(price_chf="1"))
    alerts = rows("SELECT kind, recovered, balance_before, balance_after FROM balance_alerts ORDER BY id")
    assert [tuple(alert.values()) for alert in alerts] == [
        ("WARNING", False, Decimal(8), Decimal(-2)),
        ("ZERO", False, Decimal(8), Decimal(-2)),
        ("WARNING", True, Decimal("-2.5"), Decimal(9)),
        ("ZERO", True, Decimal("-2.5"), Decimal(9)),
    ]
    assert breaches() == {}


def test_what_can_not_be_accepted_is_refused_by_name(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, record: Record, rows: Rows, database: Database
) -> None:
    """No letter, no conflict, a discarded one, an event that has refunds, and one that is still parked: each error says why, nothing moves."""
    put_settings(users=["ada"])
    first, second = conflict(price_chf="3"), conflict(price_chf="4")
    record(b"bad")
    record(event(event_id="p", mandate_id="elsewhere"))
    record(event(event_id="p", mandate_id="elsewhere", price_chf="9"))
    bad, parked = (row["id"] for row in rows("SELECT id FROM dead_letters ORDER BY id DESC LIMIT 2")[::-1])
    discard_dead_letters(database, ROOT, Choice(ids=[first]), by="olga", resolution="the first is right")
    with pytest.raises(NotFound, match="there is no dead letter 4711"):
        accept(4711)
    with pytest.raises(RequestRefused, match=f"dead letter {bad} is no conflict but malformed_json"):
        accept(bad)
    with pytest.raises(RequestRefused, match=f"dead letter {first} is DISCARDED"):
        accept(first)
    with pytest.raises(NotFound, match="mandate 'elsewhere' has no billing settings"):
        accept(parked)
    (usage,) = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW'")
    rows("INSERT INTO refunds (mandate_id, refund_transaction_id, transaction_id, amount) VALUES ('acme', 1, :id, 1)", **usage)
    with pytest.raises(RequestRefused, match="event 'e1' of mandate 'acme' has refunds"):
        accept(second)
    assert amended(rows) == []
    assert rows("SELECT count(*) AS n FROM dead_letters WHERE status = 'OPEN'") == [{"n": 3}]


def test_a_refund_and_an_amendment_of_one_entry_exclude_each_other(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, connect: Callable[[], Database], rows: Rows, breaches: Breaches
) -> None:
    """Asked for at the same moment one of them is done and the other refused by name; what replaced an entry can be refunded."""
    put_settings(users=["ada"])
    letter = conflict(price_chf="3")
    (usage,) = rows("SELECT id FROM transactions WHERE reference_type = 'WORKFLOW'")
    one, other = connect(), connect()

    def ask(do: Callable[[], object]) -> str:
        try:
            do()
        except RequestRefused as refusal:
            return str(refusal)
        return "done"

    def give_back(transaction_id: int, key: str) -> str:
        asked = Refund.read({"mandate_id": "acme", "transaction_id": transaction_id, "key": key, "by": "olga"})
        return ask(lambda: refund(one, ROOT, asked))

    refunded, accepted = at_once(lambda: give_back(usage["id"], "r1"), lambda: ask(lambda: accept(letter, database=other)))
    assert (refunded == "done") != (accepted == "done")
    if accepted == "done":
        assert "was taken back by amendment" in refunded
        assert give_back(rows("SELECT debit_id FROM amendments")[0]["debit_id"], "r2") == "done"
    else:
        assert "has refunds" in accepted
    assert breaches() == {}


def test_statistics_follow_the_amendment(
    conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Cost and tokens leave the old day and model and come into the new ones, the count stays; `verify` computes the same."""
    put_settings(users=["ada"])
    accept(conflict(price_chf="3.5", model="m2", occurred_at="2026-01-01T12:30:00Z", usage={"input_tokens": 7}))
    rows("DELETE FROM rollup_pending")
    assert set(breaches()) == {"I6"}
    for period in ("DAY", "MONTH", "YEAR"):
        rows(AMENDED_ROLL_UP, period=period)
    found = rows("SELECT model, event_count, cost, input_tokens, output_tokens FROM usage_statistics WHERE period_type = 'DAY' ORDER BY model")
    assert [tuple(row.values()) for row in found] == [("m1", 1, 0, 0, 0), ("m2", 0, Decimal("3.5"), 7, 0)]
    assert breaches() == {}


TAMPERINGS = [
    ("I1", "DELETE FROM amendments"),
    ("I1", "UPDATE amendments SET number = 2"),
    ("I1", "UPDATE amendments SET reversed_id = reversed_id + 1000"),
    ("I1", "UPDATE transactions SET amount = amount + 1 WHERE reference_type = 'AMENDMENT' AND transaction_type = 'ADJUSTMENT'"),
    ("I1", "UPDATE transactions SET event_id = 'other' WHERE reference_type = 'AMENDMENT' AND transaction_type = 'DEBIT'"),
    (
        "I1",
        "INSERT INTO refunds (mandate_id, refund_transaction_id, transaction_id, amount) SELECT mandate_id, 1, reversed_id, 1 FROM amendments",
    ),
    ("I10", "UPDATE dead_letters SET status = 'DISCARDED'"),
    ("I10", "UPDATE amendments SET idempotency_key = 'dead_letter:4711'"),
    ("I11", "UPDATE transactions SET created_by_user_id = 'eve' WHERE reference_type = 'AMENDMENT' AND transaction_type = 'DEBIT'"),
]


@pytest.mark.parametrize(("invariant", "tampering"), TAMPERINGS)
def test_a_broken_amendment_is_reported(
    invariant: str, tampering: str, conflict: Callable[..., int], accept: Accept, put_settings: PutSettings, rows: Rows, breaches: Breaches
) -> None:
    """A chain with a gap, a reversal that doesn't mirror, an amendment that nobody asked for: `verify` names it."""
    put_settings(users=["ada"])
    accept(conflict(price_chf="3.5"))
    assert breaches() == {}
    rows(tampering)
    assert invariant in breaches()


def test_a_crash_before_the_commit_leaves_the_letter_open(
    conflict: Callable[..., int],
    accept: Accept,
    put_settings: PutSettings,
    put_mandate: PutMandate,
    rows: Rows,
    breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entries, balance, letter and key commit together, or none of them."""
    put_settings(users=["ada"])
    letter = conflict(price_chf="3.5")

    def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    with monkeypatch.context() as patched:
        patched.setattr("core.dead_letters.accept_conflict.resolve_letters", crash)
        with pytest.raises(RuntimeError, match="crashed"):
            accept(letter)
    assert amended(rows) == []
    assert not accept(letter).repeated
    assert breaches() == {}
