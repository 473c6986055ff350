"""What a request says by null, by a default that is spelled out, and by an amount in another spelling: what was meant."""

from decimal import Decimal
from typing import Any

import pytest

from core.asking.request import Request
from core.checks.check_balance import BalanceQuestion
from core.errors import RequestRefused
from core.importing.model import OldAccount, PastEntry, read_entry
from core.movements.adjust import Adjustment
from core.movements.new_price import NewPrice
from core.movements.open_account import AccountOpening
from core.movements.refund import Refund
from core.movements.set_credit_limit import CreditLimit
from core.movements.switch import ModelSwitch
from core.movements.top_up import TopUp
from tasks.views import VIEWS

ASKED: dict[str, Any] = {"mandate_id": "acme", "key": "k", "by": "olga"}
TOP_UP = {**ASKED, "account_id": 1, "amount": "1"}
ADJUSTMENT = {**TOP_UP, "reason": "by phone"}
REFUND = {**ASKED, "transaction_id": 2}
SWITCH = {**ASKED, "billing_model": "UNLIMITED"}


@pytest.mark.parametrize(
    ("kind", "said", "spelled"),
    [
        (TopUp, TOP_UP, {"amount": "1.0"}),
        (TopUp, TOP_UP, {"amount": Decimal("1E0")}),
        (TopUp, TOP_UP, {"amount": 1}),
        (TopUp, TOP_UP, {"description": "Top-up"}),
        (TopUp, TOP_UP, {"description": None, "balance_account_id": None}),
        (TopUp, TOP_UP, {"balance_account_id": 1}),
        (TopUp, TOP_UP, {"by": "oleg"}),
        (Adjustment, ADJUSTMENT, {"amount": "+1.000", "balance_account_id": 1}),
        (Refund, REFUND, {"reason": "Refund", "amount": None}),
        (Refund, REFUND, {"reason": None}),
        (ModelSwitch, SWITCH, {"expected_version": None}),
        (CreditLimit, {**ASKED, "account_id": 1, "credit_limit": "5"}, {"credit_limit": "5.00"}),
    ],
)
def test_two_spellings_of_one_request_have_one_content(kind: type[Request], said: dict[str, Any], spelled: dict[str, Any]) -> None:
    """A default given or left out, null or absent, one amount in many forms, whoever asks: under one key it is the same."""
    assert kind.read({**said, **spelled}).content() == kind.read(said).content()


@pytest.mark.parametrize("spelled", [{"amount": "1.000000001"}, {"description": "Other"}, {"balance_account_id": 2}, {"account_id": 3}])
def test_another_request_has_another_content(spelled: dict[str, Any]) -> None:
    """What moves something else, or says something else, is no repetition."""
    assert TopUp.read({**TOP_UP, **spelled}).content() != TopUp.read(TOP_UP).content()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (BalanceQuestion, {"mandate_id": "acme", "user_id": None}, "user_id: is missing"),
        (BalanceQuestion, {"mandate_id": None, "user_id": "ada"}, "mandate_id: is missing"),
        (TopUp, {**TOP_UP, "amount": None}, "amount: is missing"),
        (Adjustment, {**ADJUSTMENT, "account_id": None}, "account_id: is missing"),
        (CreditLimit, {**ASKED, "account_id": 1}, "credit_limit: is missing"),
        (TopUp, {**TOP_UP, "price": None}, "price: is not a field of this request"),
        (VIEWS["view.twins"][0], {"actor": None, "first": None, "last": "2026-01-31"}, "actor: is missing; first: is missing"),
        (OldAccount, {"mandate_id": "acme", "balance": None}, "balance: is missing"),
        (OldAccount, {"mandate_id": "acme", "balance": "1", "x": None}, "x: is not a field of an account"),
        (NewPrice, {"mandate_id": "acme", "event_id": "e", "price_chf": None}, "price_chf: is missing"),
    ],
)
def test_null_in_a_required_field_is_missing(kind: Any, fields: dict[str, Any], message: str) -> None:
    """As in an event; a field that there is none of stays unknown, whatever it holds."""
    with pytest.raises(RequestRefused) as refused:
        kind.read(fields)
    assert str(refused.value) == message


def test_null_is_the_default_of_an_optional_field() -> None:
    """But where it is the very thing that is said: no limit."""
    assert BalanceQuestion.read({"mandate_id": "acme", "user_id": "ada", "estimated_cost": None}).estimated_cost == 0
    assert AccountOpening.read({"mandate_id": "acme", "user_id": None}).user_id is None
    assert CreditLimit.read({**ASKED, "account_id": 1, "credit_limit": None}).credit_limit is None
    entry = read_entry(
        {
            "id": "1", "mandate_id": "acme", "transaction_type": "CREDIT", "reference_type": "PAYMENT", "amount": "5",
            "occurred_at": "2026-01-01T00:00:00Z", "description": None, "created_by_user_id": None,
        }
    )  # fmt: skip
    assert isinstance(entry, PastEntry)
    assert entry.description == "Imported entry"
