"""Topping up: exactly once per key, explained by an entry, alerts on the way back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements.result import MovementResult
from core.movements.top_up import TopUp, top_up
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

Credit = Callable[..., MovementResult]


@pytest.fixture
def ada(put_settings: PutSettings, record: Record, rows: Rows) -> int:
    """The id of ada's account in acme: 10 CHF granted, 9 of them used."""
    put_settings(users=["ada"])
    record(event(mandate_id="acme", user_id="ada", price_chf="9"))
    return int(rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"])


@pytest.fixture
def credit(database: Database, ada: int) -> Credit:
    """Tops ada's account up."""

    def call(amount: str = "99", **fields: Any) -> MovementResult:
        asked = {"mandate_id": "acme", "account_id": ada, "amount": amount, "key": "invoice-1", "by": "olga", **fields}
        return top_up(database, ROOT, TopUp.read(asked))

    return call


def test_a_top_up_lifts_the_balance_and_its_threshold(credit: Credit, ada: int, rows: Rows, breaches: Breaches) -> None:
    """A CREDIT explains the balance, the threshold is a share of the balance right after it, and the warning is taken back."""
    done = credit("99")
    assert (done.balance, done.warning_threshold, done.repeated) == (Decimal("100.000000000"), Decimal("10.000000000"), False)
    (entry,) = rows("SELECT * FROM transactions WHERE reference_type = 'PAYMENT'")
    assert (entry["id"], entry["account_id"], entry["balance_account_id"], entry["amount"]) == (done.transaction_id, ada, ada, Decimal(99))
    assert (entry["transaction_type"], entry["created_by_user_id"], entry["operation_key"]) == ("CREDIT", "olga", "invoice-1")
    alerts = rows("SELECT kind, recovered, balance_before, balance_after FROM balance_alerts ORDER BY id")
    assert [tuple(a.values()) for a in alerts] == [("WARNING", False, Decimal(10), Decimal(1)), ("WARNING", True, Decimal(1), Decimal(100))]
    assert breaches() == {}


def test_the_same_key_credits_once(credit: Credit, rows: Rows) -> None:
    """A repeated request gets the first result again; under other content the key is a conflict, and nothing moves."""
    first = credit("5")
    again = credit("5.000")
    assert (again.transaction_id, again.balance, again.recorded_at, again.repeated) == (first.transaction_id, first.balance, first.recorded_at, True)
    with pytest.raises(Conflict, match="'invoice-1' was used for another top_up of mandate 'acme'"):
        credit("6")
    assert rows("SELECT balance FROM accounts") == [{"balance": Decimal(6)}]


def test_many_at_once_credit_once(credit: Credit, rows: Rows, breaches: Breaches) -> None:
    """Eight callers at once with one key make one entry; each gets the same result."""
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: credit("5"), range(8)))
    assert len({d.transaction_id for d in done}) == 1
    assert sorted(d.repeated for d in done) == [False] + [True] * 7
    assert rows("SELECT balance FROM accounts") == [{"balance": Decimal(6)}]
    assert breaches() == {}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"amount": "0"}, "amount: '0' is not above 0"),
        ({"amount": "-1"}, "amount: '-1' is not above 0"),
        ({"amount": "NaN"}, "amount: 'NaN' is not a plain decimal number"),
        ({"amount": "0.0000000001"}, "amount: '0.0000000001' has more than nine decimal places"),
        ({"amount": "10000000001"}, "amount: '10000000001' is not between -10000000000 and 10000000000 CHF"),
        ({"amount": "10000000000"}, "beyond what the books can hold"),
        ({"key": ""}, "key: '' "),
        ({"key": "a\x1fb"}, "key: 'a\\\\x1fb' has a control character"),
        ({"description": "x" * 501}, "description: 'x+"),
    ],
)
def test_a_wrong_field_is_named(credit: Credit, rows: Rows, fields: dict[str, Any], problem: str) -> None:
    """What can't be credited is refused with field and value, and nothing is written."""
    with pytest.raises(RequestRefused, match=problem):
        credit(**fields)
    assert rows("SELECT count(*) AS n FROM transactions") == [{"n": 2}]
    assert rows("SELECT count(*) AS n FROM operation_keys WHERE operation = 'top_up'") == [{"n": 0}]


def test_no_account_no_top_up(credit: Credit, ada: int, put_settings: PutSettings, put_mandate: PutMandate) -> None:
    """An account that doesn't exist, or is another mandate's, and a mandate without settings are named."""
    put_settings("globex", BillingModel.PREPAY_MANDATE)
    put_mandate("initech")
    with pytest.raises(NotFound, match="mandate 'acme' has no account 4711"):
        credit(account_id=4711)
    with pytest.raises(NotFound, match=f"mandate 'globex' has no account {ada}"):
        credit(mandate_id="globex")
    with pytest.raises(NotFound, match="mandate 'initech' has no billing settings"):
        credit(mandate_id="initech")


def test_another_account_may_get_it(credit: Credit, ada: int, rows: Rows, breaches: Breaches) -> None:
    """The entry is about one account, the balance of the other is lifted."""
    pool = rows("INSERT INTO accounts (mandate_id, account_type, opened_version) VALUES ('acme', 'MANDATE', 1) RETURNING id")[0]["id"]
    done = credit("5", balance_account_id=pool)
    assert (done.account_id, done.balance_account_id, done.balance) == (ada, pool, Decimal(5))
    assert {row["id"]: row["balance"] for row in rows("SELECT id, balance FROM accounts")} == {ada: Decimal(1), pool: Decimal(5)}
    assert breaches() == {}
