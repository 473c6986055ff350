"""The balance check: who may make a call, and what a first question opens."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from threading import Event
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.checks.check_balance import BalanceCheck, BalanceQuestion, check_balance
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.database.locks import hold_mandates
from core.errors import RequestRefused
from core.events.outcome import Outcome
from core.ledger.sql.accounts import lock_accounts
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

Check = Callable[..., BalanceCheck]
ALLOWED, BROKE, BEYOND, DISABLED = None, Refusal.INSUFFICIENT_BALANCE, Refusal.CREDIT_LIMIT_EXCEEDED, Refusal.ACCOUNT_DISABLED
USER, POOL, POSTPAY, FREE = BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED


@pytest.fixture
def check(database: Database, config: Configuration) -> Check:
    """Asks about ada in acme, in the test's database."""

    def call(cost: object = "0", *, database: Database = database, config: Configuration = config, **fields: Any) -> BalanceCheck:
        asked = BalanceQuestion.read({"mandate_id": "acme", "user_id": "ada", "estimated_cost": cost, **fields})
        return check_balance(database, ROOT, asked, config=config)

    return call


@pytest.fixture
def written(rows: Rows) -> Callable[[], list[int]]:
    """Counts what stands in the books: settings, accounts, transactions, operation keys."""

    def count() -> list[int]:
        tables = ("billing_settings", "accounts", "transactions", "operation_keys")
        return [rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables]

    return count


@pytest.mark.parametrize(
    ("model", "user", "pool", "cost", "reason"),
    [
        (USER, "10", "0", "10", ALLOWED),
        (USER, "10", "1000", "10.000000001", BROKE),
        (USER, "0", "0", "0", ALLOWED),
        (USER, "-0.000000001", "0", "0", BROKE),
        (POOL, "0", "10", "10", ALLOWED),
        (POOL, "1000", "10", "10.000000001", BROKE),
        (POOL, "0", "0", "0", ALLOWED),
        (POSTPAY, "0", "-99", "1", ALLOWED),
        (POSTPAY, "0", "-99", "1.000000001", BEYOND),
        (POSTPAY, "0", "-100", "0", ALLOWED),
        (POSTPAY, "0", "5", "100.000000001", BEYOND),
        (FREE, "-1000", "-1000", "1000000", ALLOWED),
    ],
)
def test_who_pays_and_what_he_has_left_decide(
    check: Check, put_settings: PutSettings, put_account: PutAccount, model: BillingModel, user: str, pool: str, cost: str, reason: Refusal | None
) -> None:
    """Up to the last unit: a prepaid balance must cover the cost, a pool's debt and the cost must fit its limit (here 100)."""
    put_settings(model=model)
    put_account("ada", user)
    put_account(None, pool, credit_limit=100)
    balance = None if model is FREE else Decimal(pool if model.pool_pays else user)
    available = balance if balance is None or model is not POSTPAY else 100 - max(Decimal(0), -balance)
    held = None if model is FREE else Decimal(0)
    assert check(cost) == BalanceCheck(reason is None, reason, balance, Decimal(cost), model, held, available)


@pytest.mark.parametrize(("limit", "reason"), [(None, ALLOWED), (0, BEYOND)])
def test_no_limit_is_none_and_zero_is_one(
    check: Check, put_settings: PutSettings, put_account: PutAccount, limit: int | None, reason: Refusal | None
) -> None:
    """A postpaid pool without a limit may owe any amount; one of 0 may owe nothing, though 0 more is allowed."""
    put_settings(model=POSTPAY)
    put_account("ada")
    put_account(credit_limit=limit)
    assert check("0.000000001").reason is reason
    assert check().allowed


@pytest.mark.parametrize(("model", "reason"), [(USER, ALLOWED), (POOL, ALLOWED), (POSTPAY, BEYOND)])
def test_without_the_rule_a_prepaid_account_is_always_allowed(
    check: Check, put_settings: PutSettings, put_account: PutAccount, model: BillingModel, reason: Refusal | None
) -> None:
    """Without `block_on_zero_balance` a prepaid balance may go below zero; a credit limit stays one."""
    put_settings(model=model, block_on_zero_balance=False)
    put_account("ada", "-5")
    put_account(None, "-5", credit_limit=1)
    assert check("1").reason is reason


@pytest.mark.parametrize("model", list(BillingModel))
@pytest.mark.parametrize("held_by", ["ada", None])
@pytest.mark.parametrize("blocks", [True, False])
def test_a_disabled_account_is_refused_before_any_balance(
    check: Check, put_settings: PutSettings, put_account: PutAccount, model: BillingModel, held_by: str | None, blocks: bool
) -> None:
    """Under every model the user's account counts, the pool's only where it pays; neither balance nor rule matters then."""
    put_settings(model=model, block_on_zero_balance=blocks)
    put_account("ada", "100", enabled=held_by != "ada")
    put_account(None, "100", enabled=held_by is not None)
    expected = DISABLED if held_by == "ada" or model.pool_pays else ALLOWED
    assert check("1").reason is expected
    if expected is DISABLED:
        assert check("1000").reason is DISABLED


@pytest.mark.parametrize("reason", ["unknown", "disabled"])
def test_a_mandate_that_may_have_no_settings_is_allowed_and_nothing_is_written(
    check: Check, put_mandate: PutMandate, written: Callable[[], list[int]], reason: str
) -> None:
    """Unknown to the directory or disabled there: allowed as UNLIMITED, without a row."""
    if reason == "disabled":
        put_mandate(users=["ada"], enabled=False)
    assert check("1000") == BalanceCheck(True, None, None, Decimal(1000), FREE)
    assert written() == [0, 0, 0, 0]


def test_a_known_mandate_s_first_question_opens_what_its_first_usage_would(
    check: Check, put_mandate: PutMandate, record: Record, rows: Rows, breaches: Breaches, written: Callable[[], list[int]]
) -> None:
    """Default settings in the directory's zone, ada's account and her grant; the usage that follows opens nothing."""
    put_mandate(users=["ada"], time_zone="Asia/Tokyo")
    assert check("10") == BalanceCheck(True, None, Decimal(10), Decimal(10), USER, Decimal(0), Decimal(10))
    assert check("10.000000001").reason is BROKE
    assert rows("SELECT time_zone, version FROM billing_settings") == [{"time_zone": "Asia/Tokyo", "version": 1}]
    (grant,) = rows("SELECT transaction_type, reference_type, description, operation_key, amount, batch_id FROM transactions")
    (account,) = rows("SELECT id, balance, warning_threshold, grant_due FROM accounts")
    assert grant == {
        "transaction_type": "CREDIT",
        "reference_type": "SYSTEM",
        "description": "Initial credit for new user",
        "operation_key": f"grant:{account.pop('id')}",
        "amount": Decimal(10),
        "batch_id": None,
    }
    assert account == {"balance": Decimal(10), "warning_threshold": Decimal(1), "grant_due": False}
    record(event(price_chf="4"))
    assert written() == [1, 1, 2, 1]
    assert check("6").current_balance == Decimal(6)
    assert breaches() == {}


def test_a_stranger_gets_an_account_without_a_grant(check: Check, put_settings: PutSettings, rows: Rows, breaches: Breaches) -> None:
    """A user whom the directory doesn't know has his account marked `grant_due`, and 0 to spend."""
    put_settings(users=["bob"])
    assert check("0.01").reason is BROKE
    assert rows("SELECT user_id, balance, grant_due FROM accounts") == [{"user_id": "ada", "balance": Decimal(0), "grant_due": True}]
    assert breaches() == {}


@pytest.mark.parametrize(
    ("model", "opened"), [(USER, [("ada", False)]), (POOL, [(None, False), ("ada", False)]), (POSTPAY, [(None, False), ("ada", False)]), (FREE, [])]
)
def test_each_model_opens_what_it_needs(
    check: Check, put_settings: PutSettings, rows: Rows, model: BillingModel, opened: list[tuple[str | None, bool]], breaches: Breaches
) -> None:
    """The user's account under every billed model, the pool where it pays, neither under UNLIMITED."""
    put_settings(model=model, users=["ada"])
    assert check("1").allowed is (model in (USER, POSTPAY, FREE))
    found = rows("SELECT user_id, grant_due FROM accounts ORDER BY user_id NULLS FIRST")
    assert [(row["user_id"], row["grant_due"]) for row in found] == opened
    assert breaches() == {}


def test_who_has_no_directory_gets_settings_with_the_first_question(check: Check, make_config: Callable[..., Configuration], rows: Rows) -> None:
    """With `unknown_mandates=create` the mandate and its user count as known, as they do for usage."""
    assert check("10", config=make_config(unknown_mandates="create")).current_balance == Decimal(10)
    assert rows("SELECT grant_due FROM accounts") == [{"grant_due": False}]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"cost": "-0.01"}, r"estimated_cost: '-0\.01' is negative"),
        ({"cost": "NaN"}, "estimated_cost: 'NaN' is not a plain decimal number"),
        ({"cost": "1000001"}, "estimated_cost: '1000001' is above 1000000 CHF"),
        ({"cost": 0.1}, r"estimated_cost: 0\.1 is a float, which is not exact: send a decimal string"),
        ({"user_id": ""}, "user_id: '' "),
        ({"mandate_id": None}, "mandate_id: is missing"),
        ({"feature": "chat"}, "feature: is not a field of this request"),
    ],
)
def test_a_wrong_question_is_refused_by_name(check: Check, fields: dict[str, Any], problem: str) -> None:
    """Field and value are named."""
    with pytest.raises(RequestRefused, match=problem):
        check(**fields)


def test_an_estimate_is_rounded_as_the_price_will_be(check: Check, put_settings: PutSettings, put_account: PutAccount) -> None:
    """More than nine decimal places are rounded half-even, an exponent is read."""
    put_settings()
    put_account("ada", "0.000000002")
    assert check("0.0000000025").allowed
    assert check("2.6E-9").required_amount == Decimal("0.000000003")


def test_any_number_of_first_questions_and_usages_make_one_grant(
    check: Check, put_mandate: PutMandate, connect: Callable[[], Database], record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Four checks and four batches at the same moment on a mandate without settings: one row of each, one grant."""
    put_mandate(users=["ada"])

    def ask(own: Database) -> bool:
        return check("1", database=own).allowed

    def use(own: Database) -> bool:
        return record(event(price_chf="0.5"), database=own).outcomes == [Outcome.RECORDED]

    assert at_once(*[partial(ask, connect()) for _ in range(4)], *[partial(use, connect()) for _ in range(4)]) == [True] * 8
    assert rows("SELECT count(*) AS n FROM billing_settings") == [{"n": 1}]
    assert rows("SELECT balance FROM accounts") == [{"balance": Decimal(8)}]
    assert breaches() == {}


def test_answers_follow_the_commits_of_a_stream_of_debits(
    check: Check, put_settings: PutSettings, record: Record, connect: Callable[[], Database], breaches: Breaches
) -> None:
    """While batches of two debits of 0.1 commit, each answer is by a balance between two of them, never by a half, and it only falls."""
    put_settings(users=["ada"])
    check()
    own, done = connect(), Event()

    def debit() -> list[BalanceCheck]:
        try:
            for _ in range(50):
                record(event(price_chf="0.1"), event(price_chf="0.1"), database=own)
        finally:
            done.set()
        return []

    def ask() -> list[BalanceCheck]:
        answers = []
        while not done.is_set():
            answers.append(check("5"))
        return [*answers, check("5")]

    _, answers = at_once(debit, ask)
    seen = [answer.current_balance for answer in answers if answer.current_balance is not None]
    assert seen == sorted(seen, reverse=True)
    assert all(balance % Decimal("0.2") == 0 for balance in seen)
    assert all(answer.allowed is (balance >= 5) for answer, balance in zip(answers, seen, strict=True))
    assert seen[-1] == 0
    assert breaches() == {}


def test_a_check_waits_for_no_lock(check: Check, put_settings: PutSettings, put_account: PutAccount, owner_database: Database) -> None:
    """Where everything is there, an answer comes although others hold the mandate and its balance."""
    put_settings()
    ada = put_account("ada", "3")
    with owner_database.transaction() as connection:
        hold_mandates(connection, ["acme"])
        lock_accounts(connection, [ada])
        assert check("3").allowed
