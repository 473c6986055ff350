"""The quick way of reading an event agrees with the whole contract, or says nothing."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.events.canonical import read_canonical
from core.events.model import UsageEvent
from core.events.parsing import RawEvent, read_any
from core.events.usage_object import raw_usage, raw_usage_of
from core.json_exact import decode_json
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


RAW_TEXTS = st.one_of(st.text('abc09:,[]{} %s"\\_', max_size=8), st.sampled_from(["%s", "100%", "a:5,", "\x7f", "é", "\ud800", "7" * 40]))
RAW_NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(0, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(float),
)
RAW_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), RAW_NUMBERS, RAW_TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(RAW_TEXTS, inner, max_size=4)),
    max_leaves=12,
)
RAW_USAGES = st.one_of(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "total_tokens", "a%", "details"]), RAW_VALUES), RAW_VALUES)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "usage_dialect": st.sampled_from(["openai.responses", "canonical", "anthropic.messages", None, "x", 3]),
        "usage": st.one_of(RAW_USAGES, USAGES),
        "price_chf": PRICES,
        **{name: st.none() | TEXTS for name in ("service_tier", "region_scope", "provider_request_id", "hold_key", "producer_id")},
        "processing": st.sampled_from(["batch", "interactive", "Batch", None, 1]),
        "outcome": st.sampled_from(["completed", "failed", "", None]),
        "usage_basis": st.sampled_from(["none", "reported", None, False]),
        "attempt": st.sampled_from([0, 1, 2**15, -1, True, 1.0, "1", None]),
        "producer_seq": st.sampled_from([0, 1, 2**53, True, "1", None]),
        "hold_final": st.sampled_from([True, False, None, 0, "true"]),
        "reported_cost": st.one_of(
            st.none(),
            st.fixed_dictionaries({"amount": PRICES, "currency": st.sampled_from(["USD", "usd", "US", "CHF", None])}),
            st.fixed_dictionaries({"amount": PRICES}),
        ),
        "schema_version": st.sampled_from([1, 2, 3, None]),
        "holo": st.just(1),
    },
)


def _sent(fields: dict[str, Any], *, ascii_only: bool, compact: bool) -> bytes | None:
    try:
        return json.dumps(fields, ensure_ascii=ascii_only, separators=(",", ":") if compact else None).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None


@settings(max_examples=1500)
@given(CALLS, st.booleans(), st.booleans())
def test_the_quick_way_agrees_about_version_2(call: dict[str, Any], ascii_only: bool, compact: bool) -> None:
    """Whatever the quick way reads of a call and its usage object, the whole contract reads as the same event."""
    fields = {"event_id": "e", "mandate_id": "m", "user_id": "u", "occurred_at": "2026-11-27T02:00:00Z", "provider": "openai", **call}
    if body := _sent(fields, ascii_only=ascii_only, compact=compact):
        _agrees(body)


@settings(max_examples=500)
@given(RAW_USAGES, st.booleans())
def test_a_usage_object_is_the_same_however_it_is_read(usage: Any, compact: bool) -> None:
    """The quick way finds shape and values that the exact one finds; what they stand for is the object, to the last digit."""
    body = _sent({"a": usage}, ascii_only=True, compact=compact)
    assert body is not None
    exact = decode_json(body)
    assert isinstance(exact, dict)
    try:
        slow = raw_usage(exact)
    except ValueError:
        return
    assert slow.decoded() == exact
    if b"\\" not in body:
        assert raw_usage_of(body) in (None, slow)


@pytest.mark.parametrize(
    "usage",
    ['{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '{"a":01}', '{"a":1e3}', '{"a":-0}', '{"a":NaN}', '{"a":1,}', '{"a":"x,5,"}', '{"a":1.50}', "[1]", "7"],
)
def test_odd_usage_objects_are_read_alike(usage: str) -> None:
    """A key given twice, numbers in other forms and what is no object: the quick way says nothing, or the same."""
    fixed = '"event_id":"e","mandate_id":"m","user_id":"u","occurred_at":"2026-11-27T02:00:00Z","usage_dialect":"canonical"'
    _agrees(f'{{{fixed},"usage":{usage}}}'.encode())
    _agrees(f'{{{fixed},"usage":{usage},"outcome":null}}'.encode())


@pytest.mark.parametrize(
    "twice",
    [
        *('"price_chf":1,"price_chf":2', '"attempt":1,"attempt":2', '"hold_final":true,"hold_final":false', '"model":"a","model":"b"'),
        '"usage":{},"usage":{}',
    ],
)
@pytest.mark.parametrize("usage", ['{"a":null}', '{"a":null,"b":{"c":null}}', '{"a":1}', "null"])
@pytest.mark.parametrize("dialect", ['"canonical"', "null"])
def test_a_field_given_twice_is_seen_beside_nulls(twice: str, usage: str, dialect: str) -> None:
    """Nulls in a usage object, whose names are counted with it, don't stand for the second name of a field."""
    fixed = '"event_id":"e","mandate_id":"m","user_id":"u","occurred_at":"2026-11-27T02:00:00Z"'
    _agrees(f'{{{fixed},{twice},"usage_dialect":{dialect},"usage":{usage}}}'.encode())
    _agrees(f'{{{fixed},"usage":{usage},{twice},"usage_dialect":{dialect},"speed":null}}'.encode())


@pytest.mark.parametrize("depth", [29, 30, 31, 32, 33])
def test_both_ways_take_the_same_depth(depth: int) -> None:
    """A usage object counts with the event that it stands in."""
    nested = '{"a":' * depth + "1" + "}" * depth
    fixed = '"event_id":"e","mandate_id":"m","user_id":"u","occurred_at":"2026-11-27T02:00:00Z","usage_dialect":"canonical"'
    _agrees(f'{{{fixed},"usage":{nested}}}'.encode())


def test_numbers_of_one_value_are_written_in_one_way() -> None:
    """However long, and whether with an exponent or without."""
    assert raw_usage({"a": 10**41}) == raw_usage({"a": Decimal("1e41")}) == raw_usage({"a": Decimal(10**41)})
    assert raw_usage({"a": 18}) == raw_usage({"a": Decimal("18.0")})


def test_usual_usage_objects_are_read_quickly() -> None:
    """What producers send of version 2, with the spaces of Python's json or without, needs no slow way."""
    usage = {"input_tokens": 328, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 52, "total_tokens": 380, "cost": 0.00123}
    fields = {**event(), "usage_dialect": "openai.responses", "usage": usage, "attempt": 1, "outcome": "completed"}
    for compact in (True, False):
        body = _sent({name: value for name, value in fields.items() if name != "price_chf"}, ascii_only=True, compact=compact)
        assert body is not None
        quick = read_canonical(body)
        assert quick is not None
        assert quick.raw_usage == raw_usage({**usage, "cost": Decimal("0.00123")})
