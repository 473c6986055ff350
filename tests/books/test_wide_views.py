"""The views over many mandates and users: what is in them, page by page, with one bounded query each."""

from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.alerts.read import list_alerts
from core.asking.paging import Page
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.directory.sql.mirror import User, put_users
from core.errors import NotFound, RequestRefused
from core.ledger import read_transactions as transactions
from core.ledger.read_accounts import holder_account
from core.ledger.read_balances import AccountBalance, MandateBalance, UserBalance, balances_of_user, mandate_balances, user_balances
from core.ledger.read_transactions import Transaction
from core.settings.read import list_settings
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings

CHF = Decimal


@pytest.fixture
def books(put_settings: PutSettings, put_account: PutAccount, put_mandate: PutMandate, database: Database, owner_database: Database) -> None:
    """A mandate of each kind: own, pool, postpay, free; ada is in all of them, bob in two; `later` has no settings."""
    put_settings("own", users=["ada", "bob"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada", "bob"])
    put_settings("post", BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_settings("free", BillingModel.UNLIMITED, users=["ada"])
    put_settings("poolless", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_mandate("later", users=["ada"])
    put_account("ada", "0.5", mandate_id="own", warning_threshold=CHF(1))
    put_account("bob", "7", mandate_id="own", enabled=False)
    put_account("ada", "0", mandate_id="pool")
    put_account("bob", "0.25", mandate_id="pool")
    put_account(None, "80", mandate_id="pool", warning_threshold=CHF(8))
    put_account("ada", "0", mandate_id="post")
    put_account(None, "-95", mandate_id="post", credit_limit=CHF(100))
    put_account("ada", "3", mandate_id="free")
    put_account("ada", "0", mandate_id="poolless")
    with owner_database.transaction() as connection:
        put_users(connection, [User("ada", "ada.l", "Ada Lovelace"), User("bob", "bob.b", None)])


def test_effective_balances_of_a_user(books: None, database: Database) -> None:
    """The own balance or the pool's, by model; unlimited, unset and account-less mandates are left out."""
    assert [field.name for field in fields(UserBalance)] == [
        "mandate_id", "mandate_name", "billing_model", "balance", "held", "available", "warning_threshold", "is_warning", "credit_limit",
    ]  # fmt: skip
    found = balances_of_user(database, ROOT, "ada")
    shown: list[tuple[object, ...]] = [(b.mandate_id, b.balance, b.warning_threshold, b.is_warning, b.credit_limit) for b in found]
    assert shown == [
        ("own", CHF("0.5"), 1, True, None),
        ("pool", CHF(80), 8, False, None),
        ("post", CHF(-95), 0, True, 100),
    ]
    assert found[0].mandate_name == "own's name"
    assert [b.mandate_id for b in balances_of_user(database, ROOT, "bob")] == ["own", "pool"]
    assert balances_of_user(database, ROOT, "nobody") == []


def test_balances_of_mandates(books: None, database: Database) -> None:
    """The sum over the users or the pool; UNLIMITED is listed with 0."""
    assert [field.name for field in fields(MandateBalance)] == [
        "mandate_id", "mandate_name", "billing_model", "total_balance", "held", "available", "user_count",
        "default_user_credit", "warning_threshold_percent", "block_on_zero_balance",
    ]  # fmt: skip
    found = mandate_balances(database, ROOT)
    shown: list[tuple[object, ...]] = [(b.mandate_id, b.billing_model, b.total_balance, b.user_count) for b in found]
    assert shown == [
        ("free", "UNLIMITED", 0, 1),
        ("own", "PREPAY_USER", CHF("7.5"), 2),
        ("pool", "PREPAY_MANDATE", 80, 2),
        ("poolless", "PREPAY_MANDATE", 0, 1),
        ("post", "CREDIT_POSTPAY", -95, 1),
    ]
    assert (found[1].default_user_credit, found[1].warning_threshold_percent) == (CHF(10), CHF(10))
    assert found[1].block_on_zero_balance


def test_user_balances_of_mandates(books: None, database: Database) -> None:
    """Each user's own account with names; one that doesn't pay never warns."""
    assert [field.name for field in fields(AccountBalance)] == [
        "account_id", "mandate_id", "mandate_name", "user_id", "user_name", "balance", "held", "available",
        "warning_threshold", "is_warning", "enabled",
    ]  # fmt: skip
    found = user_balances(database, ROOT, ["own", "pool"])
    shown: list[tuple[object, ...]] = [(b.mandate_id, b.user_id, b.user_name, b.balance, b.is_warning, b.enabled) for b in found]
    assert shown == [
        ("own", "ada", "Ada Lovelace", CHF("0.5"), True, True),
        ("own", "bob", "bob.b", 7, False, False),
        ("pool", "ada", "Ada Lovelace", 0, False, True),
        ("pool", "bob", "bob.b", CHF("0.25"), False, True),
    ]


def test_pages_of_balances_have_each_row_once(books: None, database: Database) -> None:
    """Each page goes on after the last row of the one before."""
    everything = user_balances(database, ROOT)
    paged: list[AccountBalance] = []
    while page := user_balances(database, ROOT, limit=2, after=(paged[-1].mandate_id, paged[-1].user_id) if paged else ("", "")):
        paged += page
    assert paged == everything
    assert [*mandate_balances(database, ROOT, limit=2), *mandate_balances(database, ROOT, after="own")] == mandate_balances(database, ROOT)
    assert balances_of_user(database, ROOT, "ada", after="pool") == balances_of_user(database, ROOT, "ada")[2:]


def test_who_is_named_must_exist(books: None, database: Database) -> None:
    """A mandate that nobody knows is an error, one that only the directory knows has no rows."""
    views = (mandate_balances, user_balances, list_settings, list_alerts, transactions.transactions_of_mandates, transactions.user_transactions)
    for view in views:
        with pytest.raises(NotFound, match="there is no mandate 'nowhere'"):
            view(database, ROOT, ["own", "nowhere"])
        assert view(database, ROOT, ["later"]) == []
    with pytest.raises(RequestRefused, match="limit must be 1 to 10000"):
        mandate_balances(database, ROOT, limit=0)


@pytest.fixture
def usage(put_settings: PutSettings, record: Record) -> None:
    """Usage of two users in two mandates: in February, in March, and of February but recorded in May."""
    put_settings("acme", users=["ada", "bob"], time_zone="Europe/Zurich")
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    for day, now in (("2026-02-10", "2026-02-10"), ("2026-03-10", "2026-03-10"), ("2026-02-28", "2026-05-01")):
        clock = partial(datetime.fromisoformat, f"{now}T23:30:00Z")
        at = f"{day}T23:00:00Z"  # in Zurich it is the day after
        record(event(occurred_at=at), event(occurred_at=at, user_id="bob"), event(occurred_at=at, mandate_id="pool"), clock=clock)


def days(found: list[Transaction]) -> list[str]:
    """The local days of usage, in the order given."""
    return [str(t.local_date) for t in found if t.event_id is not None]


def test_a_range_of_days_is_of_local_days_and_has_what_came_late(usage: None, database: Database) -> None:
    """Both ends are in it, whenever it was recorded: an entry of 28 February in UTC stands on 1 March in Zurich."""
    of = partial(transactions.transactions_of_mandate, database, ROOT, "acme")
    assert days(of(Page(first=date(2026, 2, 11), last=date(2026, 2, 11)))) == ["2026-02-11"] * 2
    assert days(of(Page(first=date(2026, 3, 1), last=date(2026, 3, 11)))) == ["2026-03-01"] * 2 + ["2026-03-11"] * 2
    assert days(of(Page(last=date(2026, 3, 1)))) == ["2026-03-01"] * 2 + ["2026-02-11"] * 2
    assert len(days(of(Page(first=date(2026, 2, 11))))) == 6
    assert days(of(Page(first=date(2026, 2, 12), last=date(2026, 2, 28)))) == []
    with pytest.raises(RequestRefused, match="to: 2026-01-01 is before 2026-01-02"):
        of(Page(first=date(2026, 1, 2), last=date(2026, 1, 1)))


def test_pages_over_many_mandates_have_each_transaction_once(usage: None, database: Database) -> None:
    """Newest first over all of them, with a range of days and without, about users, and of one user."""
    for page in (Page(limit=10_000), Page(limit=10_000, first=date(2026, 2, 1), last=date(2026, 12, 31))):
        for view in (
            transactions.transactions_of_mandates,
            transactions.user_transactions,
            partial(transactions.transactions_of_mandates, mandate_ids=["acme"]),
        ):
            everything = view(database, ROOT, page=page)
            assert [(t.recorded_at, t.id) for t in everything] == sorted(((t.recorded_at, t.id) for t in everything), reverse=True)
            paged: list[Transaction] = []
            while found := view(database, ROOT, page=page._replace(limit=2, before=transactions.next_page(paged))):
                paged += found
            assert paged == everything
            assert len({t.id for t in everything}) == len(everything) >= 6


def test_movements_are_what_moved_the_balance(usage: None, database: Database, balances: Callable[[], dict[Any, Decimal]]) -> None:
    """Summed up they are the balance: of the pool, which pays for others, of a user who pays, and of one who doesn't."""
    for mandate_id, user_id in (("pool", None), ("pool", "ada"), ("acme", "ada")):
        account = holder_account(database, ROOT, mandate_id, user_id)
        for page in (Page(), Page(first=date(2000, 1, 1))):
            found = transactions.movements_of_account(database, ROOT, account.id, page)
            assert {t.balance_account_id for t in found} <= {account.id}
            assert sum(-t.amount if t.transaction_type == "DEBIT" else t.amount for t in found) == balances()[mandate_id, user_id]
    assert len(transactions.transactions_of_account(database, ROOT, holder_account(database, ROOT, "pool", "ada").id)) == 3


def test_user_transactions_tell_whom_they_are_about_and_who_acted(usage: None, database: Database) -> None:
    """Whom an entry is about stands beside who acted."""
    (grant, *_) = [t for t in transactions.user_transactions(database, ROOT, ["acme"]) if t.reference_type == "SYSTEM" and t.account_user_id == "bob"]
    assert grant.operation_key == f"grant:{grant.account_id}"
