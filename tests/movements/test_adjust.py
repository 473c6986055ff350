"""Adjusting: up or down, exactly once per key, explained by an entry with its reason."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.movements.adjust import Adjustment, adjust
from core.movements.result import MovementResult
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

Adjust = Callable[..., MovementResult]


@pytest.fixture
def ada(put_settings: PutSettings, record: Record, rows: Rows) -> int:
    """The id of ada's account in acme: 10 CHF granted, 2 of them used."""
    put_settings(users=["ada"])
    record(event(price_chf="2"))
    return int(rows("SELECT id FROM accounts WHERE user_id = 'ada'")[0]["id"])


@pytest.fixture
def adjusted(database: Database, ada: int) -> Adjust:
    """Adjusts ada's account."""

    def call(amount: str, **fields: Any) -> MovementResult:
        asked = {"mandate_id": "acme", "account_id": ada, "amount": amount, "reason": "agreed by phone", "key": "ticket-1", "by": "olga", **fields}
        return adjust(database, ROOT, Adjustment.read(asked))

    return call


def test_an_adjustment_moves_the_balance_either_way(adjusted: Adjust, ada: int, rows: Rows, breaches: Breaches) -> None:
    """Up and down by signed entries that carry reason and actor; the threshold stays that of the latest credit."""
    assert adjusted("5").balance == Decimal(13)
    down = adjusted("-20.000000001", key="ticket-2")
    assert (down.balance, down.warning_threshold) == (Decimal("-7.000000001"), Decimal(1))
    entries = rows("SELECT * FROM transactions WHERE transaction_type = 'ADJUSTMENT' ORDER BY id")
    assert [(e["amount"], e["reference_type"], e["account_id"], e["balance_account_id"]) for e in entries] == [
        (Decimal(5), "ADJUSTMENT", ada, ada),
        (Decimal("-20.000000001"), "ADJUSTMENT", ada, ada),
    ]
    assert {(e["description"], e["created_by_user_id"]) for e in entries} == {("agreed by phone", "olga")}
    assert [e["operation_key"] for e in entries] == ["ticket-1", "ticket-2"]
    assert [a["kind"] for a in rows("SELECT kind FROM balance_alerts ORDER BY id")] == ["WARNING", "ZERO"]
    adjusted("50", key="ticket-3")
    assert [a["recovered"] for a in rows("SELECT recovered FROM balance_alerts ORDER BY id")] == [False, False, True, True]
    assert breaches() == {}


def test_the_same_key_adjusts_once(adjusted: Adjust, rows: Rows) -> None:
    """A repeated request gets the first result again; with another reason or amount the key is a conflict."""
    first = adjusted("-1")
    assert (adjusted("-1.0").transaction_id, adjusted("-1").repeated) == (first.transaction_id, True)
    for fields in ({"amount": "1"}, {"amount": "-1", "reason": "another"}):
        with pytest.raises(Conflict, match="'ticket-1' was used for another adjust of mandate 'acme'"):
            adjusted(**fields)
    assert rows("SELECT balance FROM accounts") == [{"balance": Decimal(7)}]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"amount": "0"}, "amount: '0' is 0, which moves nothing"),
        ({"amount": "1e400"}, "amount: '1e400' is not between"),
        ({"amount": "10000000000"}, "beyond what the books can hold"),
        ({"amount": "1", "reason": ""}, "reason: '' "),
        ({"amount": "1", "reason": "a\nb"}, "reason: 'a\\\\nb' has a control character"),
        ({"amount": "1", "account_id": "1"}, "account_id: '1' "),
    ],
)
def test_a_wrong_field_is_named(adjusted: Adjust, rows: Rows, fields: dict[str, Any], problem: str) -> None:
    """What can't be booked is refused with field and value, and nothing is written."""
    with pytest.raises(RequestRefused, match=problem):
        adjusted(**fields)
    assert rows("SELECT count(*) AS n FROM transactions") == [{"n": 2}]


def test_an_adjustment_says_why(adjusted: Adjust) -> None:
    """Without a reason it is refused; with one it may take a balance down to what the books can hold."""
    with pytest.raises(RequestRefused, match="reason: is missing"):
        Adjustment.read({"mandate_id": "acme", "account_id": 1, "amount": "1", "key": "k", "by": "olga"})
    assert adjusted("-10000000000").balance == Decimal(-9999999992)


def test_an_adjustment_names_an_existing_account(adjusted: Adjust, put_settings: PutSettings) -> None:
    """An account that isn't there, or is another mandate's, is named."""
    put_settings("globex")
    with pytest.raises(NotFound, match="mandate 'acme' has no account 4711"):
        adjusted("1", account_id=4711)
    with pytest.raises(NotFound, match="mandate 'globex' has no account"):
        adjusted("1", mandate_id="globex")
