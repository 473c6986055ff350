"""What is held and available beside every balance, by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel, available_of
from core.checks.model import HeldBalance, Standing
from core.database.database import Database
from core.ledger.read_accounts import account, accounts_of, holder_account
from core.ledger.read_balance import balance
from core.ledger.read_balances import balances_of_user, mandate_balances, user_balances
from tests.conftest import Rows
from tests.holds.scene import putting
from tests.scene import PutAccount, PutSettings

CHF = Decimal
NOW = datetime.now(UTC)
SOON, OVER = NOW + timedelta(days=1), NOW - timedelta(minutes=1)
LATER = NOW + timedelta(days=2)


def seen(*values: object) -> tuple[object, ...]:
    """The values side by side; amounts are equal to whole numbers."""
    return values


@pytest.fixture
def books(put_settings: PutSettings, put_account: PutAccount, rows: Rows) -> None:
    """A mandate of each kind, with holds for ada, and for bob in `own`."""
    put = putting(rows)
    put_settings("own", users=["ada", "bob", "eve"])
    put("a", "1", account_id=(ada := put_account("ada", "10", mandate_id="own")), mandate_id="own", expires_at=SOON)
    put("b", "2.5", account_id=ada, mandate_id="own", expires_at=SOON)
    put("over", "4", account_id=put_account("bob", "5", mandate_id="own"), user_id="bob", mandate_id="own", expires_at=OVER)
    put_account("eve", "0.5", mandate_id="own")
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    put("a", "5", account_id=(pool := put_account(None, "4", mandate_id="pool")), mandate_id="pool", expires_at=SOON)
    put("over", "1", account_id=pool, mandate_id="pool", expires_at=OVER)
    put("parked", "2", account_id=pool, mandate_id="pool", expires_at=OVER)
    rows(
        """
        INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, received_at, hold_key,
                                   hold_user_id)
        VALUES ('pool', 'e', '', 1, '', false, 'test', 'unpriced_model', :before, 'parked', 'ada'),
               ('pool', 'late', '', 1, '', false, 'test', 'unpriced_model', :after, 'over', 'ada')
        """,
        before=OVER - timedelta(seconds=1),
        after=OVER,
    )
    put_account("ada", "3", mandate_id="pool")
    put_settings("post", BillingModel.CREDIT_POSTPAY, users=["ada"])
    put("a", "2", account_id=put_account(None, "-95", mandate_id="post", credit_limit=CHF(100)), mandate_id="post", expires_at=SOON)
    put_settings("unbound", BillingModel.CREDIT_POSTPAY, users=["ada"])
    put("a", "2", account_id=put_account(None, "1", mandate_id="unbound"), mandate_id="unbound", expires_at=SOON)
    put_settings("free", BillingModel.UNLIMITED, users=["ada"])
    put_account("ada", "3", mandate_id="free")
    put("a", "7", mandate_id="free", expires_at=SOON)


def test_the_balance_that_pays(books: None, database: Database) -> None:
    """Prepaid it is the balance less what is held; afterwards the limit less debt and that; nothing bounds what has no limit."""
    shown = {
        (mandate, user): (found.balance, found.held, found.available)
        for mandate, user in [
            ("own", "ada"),
            ("own", "bob"),
            ("own", None),
            *((m, "ada") for m in ("pool", "post", "unbound", "free")),
            ("pool", None),
        ]
        for found in [balance(database, ROOT, mandate, user)]
    }
    assert shown == {
        ("own", "ada"): (10, CHF("3.5"), CHF("6.5")),
        ("own", "bob"): (5, 0, 5),  # the clock has ended it
        ("own", None): (CHF("15.5"), CHF("3.5"), 12),
        ("pool", "ada"): (4, 7, -3),  # the event that came in time is still parked
        ("pool", None): (4, 7, -3),
        ("post", "ada"): (-95, 2, 3),
        ("unbound", "ada"): (1, 2, None),
        ("free", "ada"): (0, 0, None),
    }


def test_balances_over_mandates_and_users(books: None, database: Database) -> None:
    """The same in each list; of a mandate that users pay for it is the sum over them."""
    own = [(b.mandate_id, b.held, b.available) for b in balances_of_user(database, ROOT, "ada")]
    assert own == [("own", CHF("3.5"), CHF("6.5")), ("pool", 7, -3), ("post", 2, 3), ("unbound", 2, None)]
    whole = [(b.mandate_id, b.held, b.available) for b in mandate_balances(database, ROOT)]
    assert whole == [("free", 0, None), ("own", CHF("3.5"), 12), ("pool", 7, -3), ("post", 2, 3), ("unbound", 2, None)]
    users = [(b.mandate_id, b.user_id, b.held, b.available) for b in user_balances(database, ROOT)]
    assert users == [
        ("free", "ada", 0, 3),
        ("own", "ada", CHF("3.5"), CHF("6.5")),
        ("own", "bob", 0, 5),
        ("own", "eve", 0, CHF("0.5")),
        ("pool", "ada", 0, 3),
    ]


def test_accounts(books: None, database: Database) -> None:
    """An account shows its own balance less what is held of it; a pool that is paid afterwards what is left of its limit."""
    assert [(a.user_id, a.held, a.available) for a in accounts_of(database, ROOT, "own")] == [
        ("ada", CHF("3.5"), CHF("6.5")),
        ("bob", 0, 5),
        ("eve", 0, CHF("0.5")),
    ]
    pools = {mandate: holder_account(database, ROOT, mandate, None) for mandate in ("pool", "post", "unbound")}
    assert {mandate: seen(a.held, a.available) for mandate, a in pools.items()} == {"pool": (7, -3), "post": (2, 3), "unbound": (2, None)}
    assert account(database, ROOT, pools["post"].id) == pools["post"]
    assert [seen(a.user_id, a.held, a.available) for a in accounts_of(database, ROOT, "pool")] == [(None, 7, -3), ("ada", 0, 3)]


def test_a_pool_that_does_not_pay_has_its_balance(books: None, database: Database, rows: Rows) -> None:
    """Its credit limit is of a model that isn't there any more."""
    rows("ALTER TABLE billing_settings DISABLE TRIGGER keep_payers")
    rows("UPDATE billing_settings SET billing_model = 'PREPAY_USER' WHERE mandate_id = 'post'")
    rows("UPDATE holds SET balance_account_id = NULL WHERE mandate_id = 'post'")  # ada's account isn't open yet
    rows("UPDATE accounts SET held = 0 WHERE mandate_id = 'post'")
    found = holder_account(database, ROOT, "post", None)
    assert seen(found.held, found.available, found.credit_limit) == (0, -95, 100)
    (whole,) = mandate_balances(database, ROOT, ["post"])
    assert seen(whole.total_balance, whole.held, whole.available) == (0, 0, 0)


def test_the_clock_is_an_argument(books: None, database: Database) -> None:
    """Later nothing is held but what a parked event keeps; earlier what is over by now was held."""
    assert [balance(database, ROOT, mandate, None, LATER).held for mandate in ("own", "pool", "post")] == [0, 2, 0]
    assert balance(database, ROOT, "own", "bob", OVER - timedelta(seconds=1)).held == 4
    assert [b.held for b in mandate_balances(database, ROOT, ["own", "pool"], clock=LATER)] == [0, 2]
    assert {b.held for b in user_balances(database, ROOT, ["own"], clock=LATER)} == {0}
    assert [b.held for b in balances_of_user(database, ROOT, "ada", clock=LATER)] == [0, 2, 0, 0]
    assert [a.held for a in accounts_of(database, ROOT, "pool", clock=LATER)] == [2, 0]


AMOUNTS = st.decimals(-20, 20, places=2)


@given(st.sampled_from(BillingModel), AMOUNTS, st.decimals(0, 20, places=2), st.none() | st.decimals(0, 20, places=2), st.decimals(0, 20, places=2))
def test_available_is_what_a_check_would_allow(model: BillingModel, has: Decimal, held: Decimal, limit: Decimal | None, cost: Decimal) -> None:
    """A call of exactly that passes where the balance blocks, and no dearer one."""
    payer = HeldBalance(enabled=True, balance=has, credit_limit=limit, held=held)
    refused = Standing(model, block_on_zero_balance=True, user=payer, pool=payer).refusal(cost)
    available = available_of(model, has, held, limit)
    assert (refused is None) == (available is None or cost <= available)
