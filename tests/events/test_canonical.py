"""The quick way of reading an event agrees with the whole contract, or says nothing."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.events.canonical import read_canonical
from core.events.model import UsageEvent
from core.events.parsing import RawEvent, read_any
from core.rejection import Rejection
from tests.sample_events import body_of, event

TEXTS = st.one_of(
    st.text('abcXYZ019 -_/.:null"\\', max_size=20),
    st.text(max_size=6),
    st.sampled_from(["", "x" * 64, "x" * 65, "x" * 128, "x" * 129, "x" * 501, "a\x7fb", "null", '":"', "é", "\ufffe"]),
)
PRICES: st.SearchStrategy[Any] = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-10, 2_000_000),
    st.sampled_from(
        ["0.1", "-0", "+1", "1_000", " 1", "1.", ".5", "1e3", "3.4E-7", "0.0000000005", "1000000", "1000000.1", "", "NaN", True, None, {}]
    ),
)
TIMES = st.one_of(
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", fullmatch=True),
    st.sampled_from(
        ["2026-01-31T12:00:00.1234567+01:00", "2026-01-31T23:59:60Z", "2026-01-31T24:00:00Z", "0001-01-01T00:00:00+01:00", "2026-01-31", 0]
    ),
)
COUNTS = st.one_of(st.none(), st.integers(-1, 2**53), st.sampled_from([True, 1.0, "1"]))
USAGES = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "tokens"]), COUNTS
    ),
)
FIELDS = st.fixed_dictionaries(
    {"event_id": TEXTS, "mandate_id": TEXTS, "user_id": TEXTS, "price_chf": PRICES, "occurred_at": TIMES},
    optional={
        **{name: st.none() | TEXTS for name in ("provider", "model", "feature_code", "feature_instance_id", "workflow_id", "description")},
        "usage": USAGES,
        "schema_version": st.sampled_from([1, 2, 1.0, None, "1", True]),
        "eventId": TEXTS,
    },
)


def _slowly(body: bytes) -> UsageEvent | Rejection:
    try:
        return read_any(RawEvent(body, "test"))
    except Rejection as rejection:
        return rejection


def _agrees(body: bytes) -> None:
    quick = read_canonical(body)
    if quick is not None:
        assert quick == _slowly(body)


@settings(max_examples=1500)
@given(FIELDS, st.booleans())
def test_the_quick_way_agrees_with_the_contract(fields: dict[str, Any], ascii_only: bool) -> None:
    """Whatever the quick way reads, the whole contract reads as the same event."""
    try:
        body = json.dumps(fields, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    _agrees(body)


@settings(max_examples=1500)
@given(st.data())
def test_one_odd_field_is_seen(data: st.DataObject) -> None:
    """An event that is valid but for one field is read as the contract reads it, or left to it."""
    fields = event(usage={"input_tokens": 1})
    odd = data.draw(FIELDS)
    name = data.draw(st.sampled_from(sorted(odd)))
    try:
        body = json.dumps({**fields, name: odd[name]}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    _agrees(body)


@settings(max_examples=500)
@given(st.sampled_from(["event_id", "provider", "usage", "schema_version"]), st.sampled_from(["null", '"x"', "1", "{}", '{"input_tokens": 2}']))
@example("provider", "null")
def test_a_key_given_twice_is_left_to_the_slow_way(name: str, value: str) -> None:
    """Two equal keys are never read quickly, whatever stands behind them, null included."""
    whole = body_of(event(provider="p", usage={"input_tokens": 1}, schema_version=1)).decode()
    for body in (whole[:-1] + f', "{name}": {value}}}', "{" + f'"{name}": {value}, ' + whole[1:]):
        assert read_canonical(body.encode()) is None


@settings(max_examples=500)
@given(
    st.sampled_from(["event_id", "provider", "model", "description", "usage", "schema_version", "input_tokens", "output_tokens"]),
    st.sampled_from(["null", '"x"', '"null"', "1", "{}", '{"output_tokens": null}']),
    st.booleans(),
)
def test_a_key_given_twice_beside_nulls_is_left_to_the_slow_way(name: str, value: str, last: bool) -> None:
    """Nulls that were given once hide no key that was given twice, in the event or in its usage."""
    fields = event(provider=None, model="null", description=": null, ", schema_version=None, usage={"input_tokens": 1, "output_tokens": None})
    whole, given = body_of(fields).decode(), f'"{name}": {value}'
    start, end = ('"usage": {', "}}") if name.endswith("_tokens") else ("{", "}")
    body = whole.removesuffix(end) + f", {given}{end}" if last else whole.replace(start, f"{start}{given}, ", 1)
    assert read_canonical(whole.encode()) is not None
    assert read_canonical(body.encode()) is None


@pytest.mark.parametrize(
    "fields",
    [
        event(),
        event(price_chf=0.25, provider=None, usage=None, schema_version=None),
        event(provider="p", model="m", feature_code="f", feature_instance_id="i", workflow_id="w", description="d", schema_version=1),
        event(usage={"input_tokens": 1, "output_tokens": None}, price_chf="999999.123456789"),
        event(price_chf="1000000", schema_version=1, model=None, usage={}),
        event(price_chf=".1234567891", description="null"),
        event(price_chf=7),
    ],
)
def test_what_most_producers_send_is_read_quickly(fields: dict[str, Any]) -> None:
    """Canonical names in plain ASCII take the quick way, nulls and JSON numbers included."""
    assert read_canonical(body_of(fields)) == _slowly(body_of(fields))
