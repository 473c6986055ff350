"""Accounts are opened before their first use: once, with the grant exactly where there is one, by function, command and top-up."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements.open_account import AccountOpening, OpenedAccount, open_account
from core.movements.top_up import TopUp, top_up
from core.recording.backfill_accounts import backfill_accounts
from tests.books.threads import at_once
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

__all__ = ["run"]

Open = Callable[..., OpenedAccount]
PAYMENT = {"mandate_id": "globex", "amount": "250", "key": "invoice-1", "by": "olga"}


@pytest.fixture
def opened(database: Database, config: Configuration) -> Open:
    """Opens an account: `opened(mandate, user)`."""

    def call(mandate_id: str, user_id: str | None = None, config: Configuration = config) -> OpenedAccount:
        return open_account(database, ROOT, AccountOpening(mandate_id=mandate_id, user_id=user_id), config=config)

    return call


@pytest.fixture
def paid(database: Database) -> Callable[..., Any]:
    """Tops globex itself up: `paid(field=…)`."""
    return lambda **fields: top_up(database, ROOT, TopUp.read({**PAYMENT, **fields}))


@pytest.mark.parametrize(
    ("model", "user", "balance", "grant_due"),
    [
        (BillingModel.PREPAY_USER, "ada", 10, False),
        (BillingModel.PREPAY_USER, "adda", 0, True),  # a typo earns nothing
        (BillingModel.PREPAY_MANDATE, "ada", 0, False),
        (BillingModel.CREDIT_POSTPAY, "adda", 0, False),
        (BillingModel.UNLIMITED, "ada", 0, True),
        (BillingModel.PREPAY_MANDATE, None, 0, False),
        (BillingModel.CREDIT_POSTPAY, None, 0, False),
    ],
)
def test_an_account_is_opened_as_usage_would(
    model: BillingModel, user: str | None, balance: int, grant_due: bool, put_settings: PutSettings, opened: Open, rows: Rows, breaches: Breaches
) -> None:
    """Grant, due grant or neither by model and membership; the second time it says that it existed, and nothing changes."""
    put_settings(model=model, users=["ada"])
    first = opened("acme", user)
    assert (first.balance, first.grant_due, first.enabled, first.existed) == (Decimal(balance), grant_due, True, False)
    everything = rows("SELECT * FROM accounts ORDER BY id")
    again = opened("acme", user)
    assert (again.account_id, again.existed, again.balance) == (first.account_id, True, first.balance)
    assert rows("SELECT * FROM accounts ORDER BY id") == everything
    assert {row["user_id"] for row in everything} == {user} | ({None} if model.pool_pays else set())
    assert breaches() == {}


def test_a_known_mandate_gets_its_settings(put_mandate: PutMandate, opened: Open, config: Configuration, rows: Rows) -> None:
    """As recording opens them: of a mandate that the directory knows and has enabled, or of any where there is no directory."""
    put_mandate("initech", users=["zoe"], time_zone="Europe/Zurich")
    put_mandate("closed", users=["zoe"], enabled=False)
    assert opened("initech", "zoe").balance == 10
    assert rows("SELECT mandate_id, billing_model, time_zone FROM billing_settings") == [
        {"mandate_id": "initech", "billing_model": "PREPAY_USER", "time_zone": "Europe/Zurich"}
    ]
    with pytest.raises(NotFound, match=r"^mandate_id: mandate 'closed' has no billing settings, and the directory has it disabled$"):
        opened("closed", "zoe")
    with pytest.raises(NotFound, match=r"^mandate_id: mandate 'nowhere' has no billing settings, and the directory does not know it$"):
        opened("nowhere", "zoe")
    assert opened("nowhere", "zoe", config.model_copy(update={"unknown_mandates": "create"})).balance == 10


def test_no_pool_is_opened_where_users_pay(
    put_settings: PutSettings, put_mandate: PutMandate, put_account: PutAccount, opened: Open, rows: Rows
) -> None:
    """Nor anything else by such a request, not even settings; a pool that is there from earlier is found."""
    put_settings("own")
    put_settings("free", BillingModel.UNLIMITED)
    put_mandate("initech")
    for mandate_id, model in (("own", "PREPAY_USER"), ("free", "UNLIMITED"), ("initech", "PREPAY_USER")):
        with pytest.raises(RequestRefused, match=f"^mandate_id: mandate '{mandate_id}' is {model}, under which there is no pool"):
            opened(mandate_id)
    assert rows("SELECT FROM accounts") == []
    assert rows("SELECT count(*) AS n FROM billing_settings") == [{"n": 2}]
    pool = put_account(None, mandate_id="own")
    assert (opened("own").account_id, opened("own").existed) == (pool, True)


def test_many_at_once_open_one_account_with_one_grant(
    put_mandate: PutMandate, opened: Open, record: Record, database: Database, config: Configuration, rows: Rows, breaches: Breaches
) -> None:
    """Openings, usage and the backfill together, of a mandate without settings: one account, one grant, one that opened it at most."""
    for number in range(10):
        put_mandate(f"m{number}", users=["ada"])
        opening = partial(opened, f"m{number}", "ada")
        done = at_once(
            opening,
            opening,
            opening,
            partial(record, event(mandate_id=f"m{number}")),
            partial(backfill_accounts, database, config=config, worker="test", at_once=True),
        )
        assert sum(not one.existed for one in done if isinstance(one, OpenedAccount)) <= 1
    assert rows("SELECT count(*) AS n, count(DISTINCT mandate_id) AS m, sum(balance) AS chf FROM accounts") == [
        {"n": 10, "m": 10, "chf": Decimal("97.5")}
    ]
    assert breaches() == {}


def test_a_grant_that_is_due_comes_with_the_membership(
    put_settings: PutSettings, put_mandate: PutMandate, opened: Open, database: Database, config: Configuration, rows: Rows
) -> None:
    """Opened for a stranger, the account gets its grant from the backfill once the directory knows them."""
    put_settings()
    assert opened("acme", "eve").grant_due
    put_mandate(users=["eve"])
    backfill_accounts(database, config=config, worker="test", at_once=True)
    again = opened("acme", "eve")
    assert (again.balance, again.grant_due, again.existed) == (Decimal(10), False, True)


def test_a_top_up_of_a_mandate_opens_its_pool(put_settings: PutSettings, paid: Callable[..., Any], rows: Rows, breaches: Breaches) -> None:
    """Without an account it is about the pool, there or not; once per key, and by the pool's id it is the same request."""
    put_settings("globex", BillingModel.PREPAY_MANDATE)
    first = paid()
    assert (first.balance, first.repeated) == (Decimal(250), False)
    for again in (paid(), paid(account_id=first.account_id), paid(account_id=None, balance_account_id=first.account_id)):
        assert (again.transaction_id, again.repeated) == (first.transaction_id, True)
    assert paid(key="invoice-2").balance == 500
    assert rows("SELECT user_id, balance FROM accounts") == [{"user_id": None, "balance": Decimal(500)}]
    assert breaches() == {}


def test_a_top_up_by_id_before_is_the_same_by_mandate(put_settings: PutSettings, put_account: PutAccount, paid: Callable[..., Any]) -> None:
    """What was asked for with the pool's id is not done again by who leaves it out, also after the model has become another."""
    put_settings("globex")
    pool = put_account(None, mandate_id="globex")
    first = paid(account_id=pool)
    assert (paid().transaction_id, paid().repeated) == (first.transaction_id, True)


def test_a_refused_top_up_opens_nothing(put_settings: PutSettings, put_mandate: PutMandate, paid: Callable[..., Any], rows: Rows) -> None:
    """Where users pay a payment must name one; and what can't be credited leaves no pool behind."""
    put_settings("globex")
    put_settings("postpay", BillingModel.CREDIT_POSTPAY)
    put_mandate("initech")
    with pytest.raises(RequestRefused, match="mandate 'globex' is PREPAY_USER, under which there is no pool: name a user's account"):
        paid()
    with pytest.raises(NotFound, match="mandate 'initech' has no billing settings"):
        paid(mandate_id="initech")
    with pytest.raises(NotFound, match="mandate 'postpay' has no account 4711"):
        paid(mandate_id="postpay", balance_account_id=4711)
    assert rows("SELECT FROM accounts") == []


def test_many_top_ups_at_once_open_one_pool(
    put_settings: PutSettings, paid: Callable[..., Any], record: Record, rows: Rows, breaches: Breaches
) -> None:
    """The same payment eight times, two others and usage: each payment is credited once, to one pool."""
    put_settings("globex", BillingModel.PREPAY_MANDATE, users=["ada"])
    same, *_ = done = at_once(*[paid] * 8, partial(paid, key="a"), partial(paid, key="b"), partial(record, event(mandate_id="globex")))
    assert {one.transaction_id for one in done[:8]} == {same.transaction_id}
    assert sum(not one.repeated for one in done[:8]) == 1
    assert rows("SELECT balance FROM accounts WHERE user_id IS NULL") == [{"balance": Decimal("749.75")}]
    assert breaches() == {}


def test_the_commands_open(run: Run, put_settings: PutSettings) -> None:
    """`accounts open` shows the account and whether it existed; `topup` of a mandate needs nothing opened before."""
    put_settings(users=["ada"])
    put_settings("globex", BillingModel.PREPAY_MANDATE)
    assert run("topup", "globex", "250", "--key", "k", "--json").json["balance"] == "250.000000000"
    assert run("accounts", "open", "globex", "--json").json["existed"] is True
    assert run("topup", "acme", "5", "--user", "ada", "--key", "k").err.endswith("`tollbook accounts open` this one, and so does usage\n")
    done = run("accounts", "open", "acme", "--user", "ada", "--json").json
    assert (done["balance"], done["existed"]) == ("10.000000000", False)
    assert "existed" in run("accounts", "open", "acme", "--user", "ada").out
    assert run("accounts", "open", "acme", "--as", "user:ada").err == "error: 'user:ada' may not open an account\n"


# What the version before this rule kept for a top-up of 250 CHF to account 1 of globex, described as "Top-up".
KEPT = {
    "left out": "0132fcee2a49a64b142dcbe894be0704b4e564040360b14bf94428106a566523",
    "named": "7fc46367b70ba114bf72ddd9abef94cee0f4a91c5de6d0ba816d2a303a709af6",
}


@pytest.mark.parametrize("kept", KEPT)
def test_naming_the_account_itself_as_payer_is_leaving_it_out(
    kept: str, put_settings: PutSettings, put_account: PutAccount, paid: Callable[..., Any], rows: Rows
) -> None:
    """Both spellings, null and every spelling of the amount are one request under a key, also against what an earlier version kept."""
    put_settings("globex", BillingModel.PREPAY_MANDATE)
    assert put_account(None, mandate_id="globex") == 1
    spellings: tuple[dict[str, Any], ...] = ({}, {"balance_account_id": 1}, {"balance_account_id": None}, {"amount": "2.5E2"}, {"description": None})
    first = paid(account_id=1)
    for content_hash in (None, bytes.fromhex(KEPT[kept])):
        if content_hash:
            rows("UPDATE operation_keys SET content_hash = :content_hash", content_hash=content_hash)
        for spelling in spellings:
            again = paid(account_id=1, **spelling)
            assert (again.transaction_id, again.repeated) == (first.transaction_id, True), spelling
    with pytest.raises(Conflict, match="'invoice-1' was used for another top_up"):
        paid(account_id=1, amount="251")
