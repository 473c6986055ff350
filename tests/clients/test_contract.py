"""The clients' contract beside the worker's: what the Python client lets through is read by the worker, and what it refuses is refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tollbook_client.contract import FIELDS, encoded
from tollbook_client.errors import ContractError

from core.events.contract import EventContractV2
from core.events.parsing import RawEvent, parse_event
from core.rejection import Rejection

GOOD: dict[str, Any] = {
    "event_id": "e1",
    "mandate_id": "acme",
    "user_id": "ada",
    "price_chf": "0.0042",
    "occurred_at": "2026-01-31T12:00:00+01:00",
}
_TEXTS = st.one_of(
    st.text(max_size=130), st.sampled_from(["", "a", "x" * 128, "x" * 129, "\x7f", "\ufdd0", "\U0001ffff", "é", "\x00", "2026-01-31T12:00:00Z"])
)
_NUMBERS = st.one_of(st.integers(-2, 2**54), st.floats(), st.sampled_from([0, 1, 32767, 32768, 2**53 - 1, 2**53, True]))
_PRICES = st.one_of(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1, max_value=10**7).map(str), st.from_regex(r"[0-9.eE+-]{1,12}"))
_TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.from_regex(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?(Z|z|[+-][0-9]{2}:[0-9]{2})?", fullmatch=True),
)
_COSTS = st.fixed_dictionaries({"amount": _PRICES, "currency": st.sampled_from(["USD", "usd", "US", "CHFX"])})
_USAGE = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "prompt_tokens", "x"]), st.one_of(_NUMBERS, st.none(), st.text(max_size=3)), max_size=4
)
_NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**60), 10**60), st.floats(), st.text(max_size=5), st.sampled_from(["\x7f", "%", "\ud800"])),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(st.text(max_size=4), inside, max_size=4)),
)
_VALUES = st.one_of(_TEXTS, _NUMBERS, _PRICES, _TIMES, _COSTS, _USAGE, st.booleans(), st.lists(st.integers(), max_size=2))


def _worker_takes(event: dict[str, Any]) -> bool:
    try:
        parse_event(RawEvent(json.dumps(event).encode(), "usage"))
    except Rejection:
        return False
    return True


def _client_takes(event: dict[str, Any]) -> bool:
    try:
        encoded(event)
    except ContractError:
        return False
    return True


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), _VALUES, max_size=4))
@example({"price_chf": "1e-400000"})
@example({"price_chf": "1000000.0000000004"})
@example({"price_chf": "-0"})
@example({"occurred_at": "2026-02-29T00:00:00Z"})
@example({"occurred_at": "0001-01-01T00:00:00+01:00"})
@example({"reported_cost": {"amount": "1e-19", "currency": "USD"}})
@example({"usage": {"prompt_tokens": 1}, "usage_dialect": "openai.chat"})
@example({"event_id": "\ud800"})
def test_client_and_worker_judge_alike(changed: dict[str, Any]) -> None:
    """Of any event, whatever its fields hold, both say the same; floats as prices, which the worker reads, the client refuses."""
    event = {**GOOD, **changed}
    prices = [event.get("price_chf"), *(cost.values() if isinstance(cost := event.get("reported_cost"), dict) else ())]
    if _client_takes(event):
        assert _worker_takes(event)
    elif not any(isinstance(price, float) for price in prices):
        assert not _worker_takes(event)


@given(st.dictionaries(st.text(max_size=4), _NESTED, max_size=4), st.integers(0, 1300))
@example({"n": 10**200}, 0)
@example({"n": [1e-40, 5e-324, -0.0, 1e23]}, 0)
def test_a_providers_object_is_judged_alike(usage: dict[str, Any], long: int) -> None:
    """Whatever it holds, however large: it is judged by its canonical form, which writes numbers and some characters in another length."""
    values = [1e-39, "\x7f", 18.0, "é", 123456789][long % 5 :: 5] * long
    event = {**GOOD, "usage_dialect": "openai.chat", "usage": {**usage, "long": values}}
    assert _client_takes(event) == _worker_takes(event)


def test_a_decimal_in_a_providers_object_is_the_number_that_came() -> None:
    """What was decoded with `parse_float=Decimal` is sent as it came, or refused where Python can't write it."""
    usage: dict[str, Any] = {"cost": Decimal("0.00147"), "units": Decimal("18.0"), "more": [{"deep": (Decimal("1E+3"), 1)}]}
    event = parse_event(RawEvent(encoded({**GOOD, "usage_dialect": "cohere.v2", "usage": usage}), "usage"))
    assert event.raw_usage is not None
    assert event.raw_usage.decoded() == {"cost": Decimal("0.00147"), "units": 18, "more": [{"deep": [1000, 1]}]}
    for wrong in ({"n": Decimal("0.12345678901234567890123")}, {"n": Decimal("NaN")}, {"n": float("nan")}, {3: 1}, {"n": object()}):
        with pytest.raises(ContractError):
            encoded({**GOOD, "usage_dialect": "cohere.v2", "usage": wrong})


def test_every_field_of_the_contract_is_known() -> None:
    """The client's table has the worker's fields, in their order, and the same ones are required."""
    assert list(FIELDS) == list(EventContractV2.model_fields)
    assert [name for name, rule in FIELDS.items() if rule.get("required")] == ["event_id", "mandate_id", "user_id", "occurred_at"]


def test_python_values_are_written_as_the_contract_has_them() -> None:
    """Decimals, aware datetimes and UUIDs may be given as they are, and are what the worker reads."""
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    given = {**GOOD, "event_id": UUID(int=7), "price_chf": Decimal("3.40E-7"), "occurred_at": moment, "feature_code": None}
    event = parse_event(RawEvent(encoded(given), "usage"))
    assert (event.event_id, event.price_chf, event.occurred_at) == (str(UUID(int=7)), Decimal("3.40E-7"), moment)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"price_chf": 0.1}, "price_chf is a float, which is not exact (got 0.1): give a Decimal, or a text such as '0.0042'"),
        ({"user_id": None}, "user_id is missing (got None)"),
        ({"occurred_at": datetime(2026, 1, 31)}, "occurred_at has no offset (got '2026-01-31T00:00:00'): datetime.now(timezone.utc) has one"),  # noqa: DTZ001 - what is refused
        ({"usage": {"prompt_tokens": 1}}, "usage.prompt_tokens is not one of"),
        ({"prize": 1}, "prize is not a field of the contract (got 1): there are event_id, "),
        ({"priceCHF": "1"}, "priceCHF is not a field of the contract (got '1'): it is price_chf here"),
        ({"description": "x" * 501}, "description is not text of 0 to 500 characters"),
    ],
)
def test_a_refusal_names_field_value_and_cure(changed: dict[str, Any], told: str) -> None:
    """Whoever reads it knows what to change."""
    with pytest.raises(ContractError) as refused:
        encoded({**GOOD, **changed})
    assert told in str(refused.value)


def test_what_is_too_long_for_an_event_is_refused() -> None:
    """A usage object beyond 8 KiB, and one nested too deeply, aren't sent."""
    long: dict[str, Any] = {"note": "x" * 8192}
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"in": deep}
    for usage in (long, deep):
        with pytest.raises(ContractError):
            encoded({**GOOD, "usage_dialect": "openai.chat", "usage": usage})
