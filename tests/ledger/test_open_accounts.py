"""Who pays, which accounts are opened, and who gets the initial credit."""

from collections.abc import Callable, Iterable
from decimal import Decimal

import pytest

from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import BadData, StorageUnavailable
from core.events.outcome import Outcome
from core.ledger.sql.accounts import Holder
from core.ledger.sql.openings import Terms, open_accounts
from tests.conftest import Record, Row, Rows
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings

Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
GRANTS = "SELECT * FROM transactions WHERE reference_type = 'SYSTEM' ORDER BY id"
PREPAY_USER, PREPAY_MANDATE, CREDIT_POSTPAY, UNLIMITED = BillingModel
POOLS = [PREPAY_MANDATE, CREDIT_POSTPAY]


def _account(rows: Rows, user_id: str | None) -> Row:
    (found,) = rows("SELECT * FROM accounts WHERE user_id IS NOT DISTINCT FROM :user_id", user_id=user_id)
    return found


def _usage(rows: Rows) -> Row:
    (found,) = rows("SELECT * FROM transactions WHERE reference_type = 'WORKFLOW'")
    return found


def test_under_prepay_user_the_user_pays_out_of_his_grant(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A known member gets an account, the grant that lifts it to the credit, and the debit; the mandate gets no pool."""
    put_settings(users=["ada"], default_user_credit="12.5", warning_threshold_percent=20)
    record(event(price_chf="0.25"))
    account, debit = _account(rows, "ada"), _usage(rows)
    assert (account["account_type"], account["balance"], account["warning_threshold"], account["grant_due"]) == (
        "USER",
        Decimal("12.25"),
        Decimal("2.5"),
        False,
    )
    assert (debit["account_id"], debit["balance_account_id"]) == (account["id"], account["id"])
    assert len(rows("SELECT * FROM accounts")) == 1


def test_the_grant_is_a_credit_in_the_ledger(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """CREDIT, SYSTEM, its description, its key, on the account itself; the balance is never set beside the ledger."""
    put_settings(users=["ada"], version=3)
    record(event())
    account = _account(rows, "ada")
    (grant,) = rows(GRANTS)
    expected = ("CREDIT", Decimal(10), "Initial credit for new user", f"grant:{account['id']}", 3)
    assert tuple(grant[name] for name in ("transaction_type", "amount", "description", "operation_key", "settings_version")) == expected
    assert grant["account_id"] == grant["balance_account_id"] == account["id"]
    assert (grant["event_id"], grant["created_by_user_id"]) == (None, None)
    assert rows("SELECT operation, idempotency_key FROM operation_keys") == [{"operation": "grant", "idempotency_key": f"grant:{account['id']}"}]


def test_a_second_usage_opens_and_grants_nothing(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """One account and one grant, however often the user comes, with a fresh memory of accounts or not."""
    put_settings(users=["ada"])
    for _ in range(3):
        record(event(price_chf="1"), event(price_chf="1"))
    assert len(rows(GRANTS)) == 1
    assert _account(rows, "ada")["balance"] == Decimal(4)


@pytest.mark.parametrize("membership", ["none", "disabled"])
def test_a_stranger_gets_no_grant_but_is_marked(membership: str, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A user whom the directory doesn't have enabled is recorded and counted, and his grant is due later: a typo earns nothing."""
    put_settings(users=["ada"] if membership == "disabled" else [])
    rows("UPDATE directory_memberships SET enabled = false")
    result = record(event(price_chf="0.25"), event(price_chf="0.25"))
    assert (result.outcomes, result.unknown_users) == ([Outcome.RECORDED] * 2, 2)
    assert [row["unknown_user"] for row in rows("SELECT unknown_user FROM batches")] == [2]
    account = _account(rows, "ada")
    assert (account["balance"], account["grant_due"], account["warning_threshold"]) == (Decimal("-0.5"), True, Decimal(0))
    assert rows(GRANTS) == []
    assert record(event()).unknown_users == 1


def test_a_member_of_another_mandate_is_a_stranger_here(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Membership counts per mandate."""
    put_settings("acme")
    put_settings("other", users=["ada"])
    assert record(event()).unknown_users == 1
    assert rows(GRANTS) == []


def test_a_default_credit_of_zero_makes_no_grant(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Nothing to give, nothing written, nothing due."""
    put_settings(users=["ada"], default_user_credit=0)
    record(event(price_chf="1"))
    assert rows(GRANTS) == []
    assert (_account(rows, "ada")["balance"], _account(rows, "ada")["grant_due"]) == (Decimal(-1), False)


@pytest.mark.parametrize("model", POOLS)
@pytest.mark.parametrize("users", [["ada"], []])
def test_under_a_pool_model_the_pool_pays_and_nobody_gets_a_grant(
    model: BillingModel, users: Iterable[str], record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """The debit is about the user and moves the pool; the user's account stays at 0, and no grant is due, ever."""
    put_settings(model=model, users=users)
    record(event(price_chf="0.25"))
    account, pool, debit = _account(rows, "ada"), _account(rows, None), _usage(rows)
    assert (pool["account_type"], pool["balance"], pool["grant_due"]) == ("MANDATE", Decimal("-0.25"), False)
    assert (account["account_type"], account["balance"], account["grant_due"]) == ("USER", Decimal(0), False)
    assert (debit["account_id"], debit["balance_account_id"]) == (account["id"], pool["id"])
    assert rows(GRANTS) == []


@pytest.mark.parametrize("users", [["ada"], []])
def test_unlimited_use_moves_no_balance_and_the_grant_is_due(users: Iterable[str], record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The debit is about the user and has no balance account; his account is made on demand, at 0, marked `grant_due`."""
    put_settings(model=UNLIMITED, users=users)
    record(event(price_chf="0.25"))
    account, debit = _account(rows, "ada"), _usage(rows)
    assert (account["balance"], account["grant_due"]) == (Decimal(0), True)
    assert (debit["account_id"], debit["balance_account_id"], debit["amount"]) == (account["id"], None, Decimal("0.25"))
    assert len(rows("SELECT * FROM accounts")) == 1
    assert rows(GRANTS) == rows("SELECT * FROM balance_alerts") == []


def test_usage_never_makes_a_grant_that_is_due(record: Record, rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """An account that stands already gets no grant from usage, whatever the model is by now: the backfill's job."""
    put_settings(users=["ada"])
    put_account("ada", grant_due=True)
    record(event(price_chf="1"))
    assert rows(GRANTS) == []
    assert (_account(rows, "ada")["grant_due"], _account(rows, "ada")["balance"]) == (True, Decimal(-1))


def test_the_model_at_the_time_decides_who_pays(record: Record, rows: Rows, put_settings: PutSettings, balances: Balances) -> None:
    """A changed model shows at once, in a process that knows all accounts already."""
    put_settings(users=["ada"])
    for model in [*BillingModel, PREPAY_USER]:
        rows("UPDATE billing_settings SET billing_model = :model", model=model.value)
        record(event(price_chf="1"))
    assert balances() == {("acme", "ada"): Decimal(8), ("acme", None): Decimal(-2)}
    assert len(rows(GRANTS)) == 1


def test_every_balance_is_the_sum_of_its_movements(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Under every model, for users and pools."""
    for model in BillingModel:
        put_settings(model.value, model, users=["ada"])
    record(
        *[event(mandate_id=model.value, user_id=user, price_chf="0.000000001") for model in BillingModel for user in ("ada", "eve") for _ in range(5)]
    )
    wrong = rows("""
        SELECT a.id FROM accounts a LEFT JOIN transactions t ON t.balance_account_id = a.id
         GROUP BY a.id HAVING a.balance <> coalesce(sum(CASE t.transaction_type WHEN 'DEBIT' THEN -t.amount ELSE t.amount END), 0)
    """)
    assert wrong == []


def test_without_a_directory_every_user_counts_as_known(record: Record, rows: Rows, make_config: Callable[..., Configuration]) -> None:
    """Under `unknown_mandates=create` the grant is made for everybody and nobody is a stranger."""
    result = record(event(price_chf="1"), event(user_id="eve"), config=make_config(unknown_mandates="create"))
    assert (result.outcomes, result.unknown_users) == ([Outcome.RECORDED] * 2, 0)
    assert len(rows(GRANTS)) == 2
    assert _account(rows, "ada")["balance"] == Decimal(9)


def test_an_account_known_to_the_process_is_used_as_it_is(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Mandates with the same user id don't share accounts, in memory or in the database."""
    put_mandate("one", users=["ada"])
    put_mandate("two", users=["ada"])
    for _ in range(2):
        record(event(mandate_id="one"), event(mandate_id="two"))
    assert [row["n"] for row in rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW' GROUP BY account_id")] == [2, 2]


def test_accounts_of_another_database_are_not_trusted(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """A database restored under a living worker is noticed before a debit goes astray; the next try finds the accounts anew."""
    put_mandate(users=["ada"])
    record(event())
    rows("DELETE FROM accounts")
    rows("DELETE FROM operation_keys")
    again = event()
    with pytest.raises(StorageUnavailable, match="restored"):
        record(again)
    assert record(again).outcomes == [Outcome.RECORDED]
    assert rows("SELECT count(*) n FROM accounts") == [{"n": 1}]


@pytest.mark.parametrize("holder", [("acme", "a\x1fb"), ("ac\x1fme", "a")])
def test_ids_that_would_shift_a_column_open_nothing(holder: tuple[str, str], database: Database, put_settings: PutSettings, rows: Rows) -> None:
    """A control character in an id, which no door lets in, makes the whole statement fail: nobody gets another one's account or grant."""
    put_settings("acme")
    accounts: dict[Holder, Terms] = {h: Terms(1, grant=Decimal(10), warning_threshold=Decimal(1)) for h in [("acme", "0"), holder, ("acme", "z")]}
    with pytest.raises(BadData), database.transaction() as connection:
        open_accounts(connection, accounts)
    assert rows("SELECT * FROM accounts") == rows("SELECT * FROM operation_keys") == rows("SELECT * FROM transactions") == []


def test_who_opens_accounts_that_are_there_gets_those_alone_that_were_not(database: Database, put_settings: PutSettings, rows: Rows) -> None:
    """A second opening gives no grant to an account that has one, and none to an account that was opened without."""
    put_settings("acme")
    with database.transaction() as connection:
        assert open_accounts(connection, {("acme", "ada"): Terms(1, grant=Decimal(10)), ("acme", "bob"): Terms(1)}).keys() == {
            ("acme", "ada"),
            ("acme", "bob"),
        }
    again: dict[Holder, Terms] = {("acme", user): Terms(1, grant=Decimal(10)) for user in ("ada", "bob", "cyd")}
    with database.transaction() as connection:
        assert open_accounts(connection, again).keys() == {("acme", "cyd")}
    assert rows("SELECT user_id, balance FROM accounts ORDER BY user_id") == [
        {"user_id": "ada", "balance": Decimal(10)},
        {"user_id": "bob", "balance": Decimal(0)},
        {"user_id": "cyd", "balance": Decimal(10)},
    ]
    assert len(rows(GRANTS)) == 2
