"""Memberships decide what a user is shown of a mandate's balances: not who has an account, and nothing of a pool that isn't there."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from core.asking.request import parse_day
from core.asking.rights import ROOT, Actor, administrator, user
from core.billing import BillingModel
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.mirror import Membership, put_memberships
from core.errors import NotFound
from core.ledger.read_accounts import holder_account
from core.ledger.read_balance import balance
from core.ledger.read_balance_at import balance_at
from core.ledger.read_balances import balances_of_user
from core.ledger.read_transactions import transactions_of_mandates, user_transactions
from core.periods import PeriodType
from core.reports.explain import explain_event
from core.statistics.read import statistics_of
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutAccount, PutSettings

END = parse_day("2999-12-31")
Leave = Callable[..., None]


@pytest.fixture
def leave(owner_database: Database) -> Leave:
    """Disables memberships: `leave(user, mandate, …)`."""

    def disable(user_id: str, *mandate_ids: str) -> None:
        with owner_database.transaction() as connection:
            put_memberships(connection, [Membership(user_id, mandate_id, enabled=False) for mandate_id in mandate_ids])

    return disable


def shown(database: Database, actor: Actor, user_id: str) -> dict[str, Decimal]:
    """View 1: `{mandate id: balance}`."""
    return {row.mandate_id: row.balance for row in balances_of_user(database, actor, user_id)}


def test_a_disabled_member_sees_no_pool(put_settings: PutSettings, put_account: PutAccount, database: Database, leave: Leave) -> None:
    """Although they have an account, neither they nor anybody asking for them is told of the balance that pays for others."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_settings("own", users=["ada"])
    put_account("ada", "3", mandate_id="pool")
    put_account(None, "80", mandate_id="pool")
    put_account("ada", "5", mandate_id="own")
    assert shown(database, user("ada"), "ada") == {"own": 5, "pool": 80}
    leave("ada", "pool", "own")
    for actor in (ROOT, administrator("pool", "own"), user("ada")):
        assert shown(database, actor, "ada") == {}
        for mandate_id in ("pool", "own"):
            with pytest.raises(NotFound, match=f"^user 'ada' is no enabled member of mandate '{mandate_id}'$"):
                balance(database, actor, mandate_id, "ada")
            with pytest.raises(NotFound, match=f"^user 'ada' is no enabled member of mandate '{mandate_id}'$"):
                balance_at(database, actor, mandate_id, "ada", END)
    assert holder_account(database, user("ada"), "pool", "ada").balance == 3  # what is their own they may still see


def test_a_disabled_member_gets_no_pool_balance_out_of_a_check(
    put_settings: PutSettings, put_account: PutAccount, database: Database, config: Configuration, leave: Leave
) -> None:
    """Root's question, which a producer asks, is answered as ever: their usage would be recorded."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_account("ada", mandate_id="pool")
    put_account(None, "80", mandate_id="pool")
    leave("ada", "pool")
    asked = BalanceQuestion(mandate_id="pool", user_id="ada")
    for actor in (user("ada"), administrator("pool")):
        with pytest.raises(NotFound, match="has no account that pays for user 'ada'"):
            check_balance(database, actor, asked, config=config)
    assert check_balance(database, ROOT, asked, config=config).current_balance == 80


def test_an_explanation_tells_a_disabled_member_nothing_of_the_pool(
    put_settings: PutSettings, record: Record, database: Database, leave: Leave
) -> None:
    """Their own debit they see, the balance that it came off only as long as they are a member."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(event_id="e", mandate_id="pool"))
    before = explain_event(database, user("ada"), "pool", "e")
    assert (before.balance_after, before.balance_account is not None) == (Decimal("-0.25"), True)
    leave("ada", "pool")
    after = explain_event(database, user("ada"), "pool", "e")
    assert (after.transaction.event_id, after.balance_before, after.balance_after, after.balance_account) == ("e", None, None, None)
    assert explain_event(database, administrator("pool"), "pool", "e").balance_after == Decimal("-0.25")


def test_an_enabled_member_needs_no_account(
    put_settings: PutSettings, put_account: PutAccount, database: Database, config: Configuration, rows: Rows
) -> None:
    """Who never used anything sees the pool that would pay, under their name; nothing is opened for it."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_account(None, "80", mandate_id="pool")
    rows("INSERT INTO directory_users (id, display_name) VALUES ('ada', 'Ada Lovelace')")
    assert shown(database, user("ada"), "ada") == {"pool": 80}
    found = balance(database, user("ada"), "pool", "ada")
    assert (found.user_id, found.user_name, found.balance) == ("ada", "Ada Lovelace", Decimal(80))
    assert found.account_id is not None
    assert balance_at(database, user("ada"), "pool", "ada", END).account_id == found.account_id
    assert check_balance(database, user("ada"), BalanceQuestion(mandate_id="pool", user_id="ada"), config=config).current_balance == 80
    assert statistics_of(database, user("ada"), "pool", "ada", PeriodType.DAY, END, END).rows == []
    assert rows("SELECT count(*) AS n FROM accounts") == [{"n": 1}]


def test_what_pays_must_exist_to_be_listed(put_settings: PutSettings, put_account: PutAccount, database: Database) -> None:
    """View 1 lists no pool and no own account that isn't there; asked for by name, it is a balance of 0 without an account."""
    put_settings("poolless", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_settings("new", users=["ada"])
    put_account("ada", "7", mandate_id="poolless")
    assert shown(database, ROOT, "ada") == {}
    for mandate_id in ("poolless", "new"):
        found = balance(database, ROOT, mandate_id, "ada")
        assert (found.account_id, found.balance, found.is_warning) == (None, Decimal(0), False)
        at = balance_at(database, ROOT, mandate_id, "ada", END)
        assert (at.account_id, at.balance) == (None, Decimal(0))


def test_without_a_directory_who_has_an_account_is_a_member(record: Record, config: Configuration, database: Database, rows: Rows) -> None:
    """Books whose directory is empty show each account's user what pays; a user without an account is none."""
    record(event(), config=config.model_copy(update={"unknown_mandates": "create"}))
    assert rows("SELECT FROM directory_mandates") == []
    assert shown(database, user("ada"), "ada") == {"acme": Decimal("9.75")}
    assert balance(database, user("ada"), "acme", "ada").balance == Decimal("9.75")
    assert balance_at(database, user("ada"), "acme", "ada", END).balance == Decimal("9.75")
    assert check_balance(database, user("ada"), BalanceQuestion(mandate_id="acme", user_id="ada"), config=config).allowed
    with pytest.raises(NotFound, match="user 'bob' is no enabled member"):
        balance(database, ROOT, "acme", "bob")


def test_a_stranger_with_an_account_is_no_member(put_settings: PutSettings, record: Record, database: Database) -> None:
    """Usage under a mistyped id opens an account; the directory's mandate doesn't have such a member all the same."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(mandate_id="pool", user_id="adda"))
    assert shown(database, ROOT, "adda") == {}
    with pytest.raises(NotFound, match="user 'adda' is no enabled member"):
        balance(database, user("adda"), "pool", "adda")


def test_pages_of_a_users_mandates_have_each_once(put_settings: PutSettings, put_account: PutAccount, database: Database, rows: Rows) -> None:
    """Memberships and accounts without a directory together, page by page."""
    for number in range(6):
        put_settings(f"m{number}", users=["ada"])
        put_account("ada", str(number), mandate_id=f"m{number}")
    rows("DELETE FROM directory_memberships WHERE mandate_id IN ('m1', 'm4')")
    rows("DELETE FROM directory_mandates WHERE id IN ('m1', 'm4')")
    paged: list[Any] = []
    while page := balances_of_user(database, ROOT, "ada", limit=2, after=paged[-1].mandate_id if paged else ""):
        paged += page
    assert [row.mandate_id for row in paged] == [f"m{number}" for number in range(6)]


def test_view_6_lists_users_and_pools(put_settings: PutSettings, record: Record, database: Database, rows: Rows, put_account: PutAccount) -> None:
    """What is about a pool stands among what is about users, with who acted; nothing is left out."""
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    pool = put_account(None, mandate_id="pool")
    record(event(mandate_id="pool"))
    rows(
        """
        INSERT INTO transactions (id, mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  created_by_user_id, occurred_at, recorded_at, local_date, settings_version, operation_key)
        VALUES (1000, 'pool', :pool, :pool, 'CREDIT', 250, 'PAYMENT', 'Top-up', 'olga', now(), now(), now()::date, 1, 'k')
        """,
        pool=pool,
    )
    found = user_transactions(database, ROOT, ["pool"])
    assert [(t.account_type, t.account_user_id, t.user_id) for t in found] == [("MANDATE", None, "olga"), ("USER", "ada", "ada")]
    assert found == transactions_of_mandates(database, ROOT, ["pool"])
