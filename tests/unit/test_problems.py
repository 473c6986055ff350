"""Errors carry what they name: the field, its value, and the reason; the text is made of them."""

from collections.abc import Callable

import pytest

from core.asking.request import Question
from core.errors import RequestRefused
from core.events.contract import EventContract
from core.importing.model import OldAccount
from core.movements.new_price import NewPrice
from core.rejection import Rejection

PRICE = {"mandate_id": "acme", "event_id": "e1", "price_chf": "1"}


@pytest.mark.parametrize(
    ("read", "fields", "expected"),
    [
        (NewPrice.read, {**PRICE, "price_chf": "-1"}, ("price_chf", "-1", "'-1' is negative")),
        (NewPrice.read, {**PRICE, "cost": "1"}, ("'cost'", "1", "is none of mandate_id, event_id, price_chf")),
        (Question.read, {}, ("mandate_id", {}, "is missing")),
        (Question.read, {"mandate_id": "acme", "a\nb": 1}, ("a\\nb", 1, "is not a field of this request")),
        (Question.read, {"mandate_id": "a\nb"}, ("mandate_id", "a\nb", "'a\\nb' has a control character or a noncharacter")),
    ],
)
def test_a_refusal_carries_field_value_and_reason(
    read: Callable[[dict[str, object]], object], fields: dict[str, object], expected: tuple[str, object, str]
) -> None:
    """The attributes are those of the wrong field, and the text is the field and the reason."""
    with pytest.raises(RequestRefused) as caught:
        read(fields)
    assert (caught.value.field, caught.value.value, caught.value.reason) == expected
    assert str(caught.value) == f"{expected[0]}: {expected[2]}"


def test_several_wrong_fields_are_all_told() -> None:
    """The text names each of them, the attributes the first."""
    with pytest.raises(RequestRefused) as caught:
        NewPrice.read({"mandate_id": "acme", "event_id": "", "price_chf": "-1"})
    assert caught.value.field == "event_id"
    assert str(caught.value).startswith("event_id: '' ")
    assert str(caught.value).endswith("; price_chf: '-1' is negative")


def test_a_field_is_told_by_the_name_that_its_giver_uses() -> None:
    """Books taken over call the price their amount: the field alone is renamed, never a value that happens to say the same."""
    fields: dict[str, object] = {
        "event_id": "e1",
        "mandate_id": "acme",
        "user_id": "ada",
        "price_chf": "price_chf",
        "occurred_at": "2026-01-01T00:00:00Z",
    }
    with pytest.raises(Rejection) as caught:
        EventContract.read(fields, {"price_chf": "amount"})
    assert caught.value.detail == "amount is not a plain decimal number (got 'price_chf')"


def test_a_rule_about_one_field_carries_it_too() -> None:
    """Not only what pydantic finds: a rule over several fields names the one that breaks it."""
    with pytest.raises(RequestRefused) as caught:
        OldAccount.read({"mandate_id": "acme", "user_id": "ada", "balance": "1", "credit_limit": "5"})
    assert (caught.value.field, caught.value.value) == ("credit_limit", 5)
