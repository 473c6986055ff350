"""The event contract, field by field."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.events.contract import ALIASES
from core.events.model import NO_TOKENS
from core.events.parsing import EVENT_BYTES_MAX
from core.printable import shown
from core.rejection import Reason, Rejection
from tests.sample_events import OCCURRED_AT, body_of, event, parsed, raw, rejection_of

IDS = {"event_id": 128, "mandate_id": 128, "user_id": 128}
LABELS = {"provider": 128, "model": 128, "feature_code": 128, "feature_instance_id": 128, "workflow_id": 128, "description": 500}
TEXTS = {**IDS, **LABELS}
COUNTS = ["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"]
ASTRAL = "\U0001f600"
FORBIDDEN = [
    "\x00",
    "\t",
    "\n",
    "\r",
    "\x1b",
    "\x1f",
    "\x7f",
    "\x80",
    "\x85",
    "\x9f",
    "\ufdd0",
    "\ufdef",
    "\ufffe",
    "\uffff",
    "\U0001fffe",
    "\U0010ffff",
]
# Never trimmed, folded or normalised; none of these is a control character or a noncharacter.
ALLOWED = [
    " ",
    "  x  ",
    "\u00e9",
    "e\u0301",
    "\ufb01",
    "\u2028",
    "\u200b",
    "\ufeff",
    "\u202e",
    "\ufffd",
    "\ue000",
    "NULL",
    "'; --",
    '"',
    "\\",
    ASTRAL,
    "\ufdcf",
]


def test_the_required_fields_are_enough() -> None:
    """The smallest event: everything optional is absent, and absent means nothing."""
    whole = parsed(event(event_id="e", price_chf="1"))
    assert (whole.event_id, whole.mandate_id, whole.user_id) == ("e", "acme", "ada")
    assert all(getattr(whole, name) is None for name in LABELS)
    assert whole.usage == NO_TOKENS
    assert whole.schema_version is None


@pytest.mark.parametrize("name", ["event_id", "mandate_id", "user_id", "occurred_at"])
def test_a_required_field_must_be_there(name: str) -> None:
    """Without it the event is refused as `missing_field`, by name; `null` is the same, under an alias and in a CloudEvent too."""
    (alias,) = [alias for alias, canonical in ALIASES.items() if canonical == name]
    envelope: dict[str, object] = {"specversion": "1.0", "id": "x", "time": "2026-01-01T00:00:00Z", "source": "s", "type": "t"}
    envelope.update({attribute: None for attribute, said in (("id", "event_id"), ("time", "occurred_at")) if said == name})
    in_cloud = {**envelope, "data": event(**{"event_id": ..., "occurred_at": ..., name: None})}
    for fields in (event(**{name: ...}), event(**{name: None}), event(**{name: ..., alias: None}), event(**{name: None, alias: None}), in_cloud):
        rejection = rejection_of(fields)
        assert rejection.reason is Reason.MISSING_FIELD, fields
        assert rejection.detail == f"{name} is missing"


@pytest.mark.parametrize("name", [*LABELS, "usage", "schema_version"])
def test_null_is_the_same_as_absent_for_an_optional_field(name: str) -> None:
    """An encoder that writes `null` for what it doesn't have is understood."""
    fields = event()
    assert parsed({**fields, name: None}) == parsed(fields)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_may_be_as_long_as_its_limit_in_code_points(name: str) -> None:
    """The limit counts code points: characters of four bytes don't count more."""
    longest = ASTRAL * TEXTS[name]
    assert getattr(parsed(event(**{name: longest})), name) == longest
    rejection = rejection_of(event(**{name: longest + "x"}))
    assert rejection.reason is Reason.INVALID_FIELD
    assert rejection.detail.startswith(f"{name} ")
    assert str(TEXTS[name]) in rejection.detail


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_not_empty(name: str) -> None:
    """An id has at least one character."""
    assert rejection_of(event(**{name: ""})).detail.startswith(f"{name} ")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("character", FORBIDDEN, ids=ascii)
def test_a_text_has_no_control_character_and_no_noncharacter(name: str, character: str) -> None:
    """Refused wherever it stands in the text, with field and value named; the value is escaped."""
    for value in (character, f"x{character}", f"{character}x", f"a{character}b"):
        rejection = rejection_of(event(**{name: value}))
        assert rejection.reason is Reason.INVALID_FIELD
        assert rejection.detail.startswith(f"{name} ")
        assert ascii(value) in rejection.detail


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("escape", [rb"\ud800", rb"\udfff", rb"a\udc00b", rb"\ude00\ud83d"])
def test_a_text_has_no_lone_surrogate(name: str, escape: bytes) -> None:
    """JSON can write half of a character; no text may hold it."""
    body = body_of(event(**{name: "PLACE"})).replace(b"PLACE", escape)
    rejection = rejection_of(body)
    assert rejection.reason is Reason.INVALID_FIELD
    assert rejection.detail.startswith(f"{name} ")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", ALLOWED, ids=ascii)
def test_a_text_is_kept_as_it_came(name: str, value: str) -> None:
    """Nothing is trimmed, folded or normalised."""
    assert getattr(parsed(event(**{name: value})), name) == value


@given(st.text(min_size=1, max_size=8))
def test_exactly_the_clean_texts_are_accepted(value: str) -> None:
    """A text is accepted if and only if none of its characters is a control, a surrogate or a noncharacter."""
    unclean = any(unicodedata.category(c) in ("Cc", "Cs") or 0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE for c in value)
    body = json.dumps(event(event_id=value)).encode()
    if unclean:
        assert rejection_of(body).detail.startswith("event_id ")
    else:
        assert parsed(body).event_id == value


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [1, 1.5, True, [], ["x"], {"x": 1}], ids=repr)
def test_a_text_is_a_string(name: str, value: object) -> None:
    """Nothing else is turned into one."""
    rejection = rejection_of(event(**{name: value}))
    assert rejection.reason is Reason.INVALID_FIELD
    assert rejection.detail.startswith(f"{name} ")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, 1, 2**53 - 1, None])
def test_a_token_count_is_a_non_negative_integer_below_2_to_53(name: str, value: int | None) -> None:
    """Zero, one, the greatest, and null for a count that is not known."""
    assert getattr(parsed(event(usage={name: value})).usage, name) == value


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    "value", ["-1", "9007199254740992", "9223372036854775808", "1e3", "1.0", "true", '"5"', '"1_000"', "[]", "1e400", "9" * 4200, "9" * 5000]
)
def test_nothing_else_is_a_token_count(name: str, value: str) -> None:
    """Negative, 2^53 and above, fractions, exponents, strings, booleans and integers of thousands of digits are refused by name."""
    body = body_of(event(usage={name: "PLACE"})).replace(b'"PLACE"', value.encode())
    rejection = rejection_of(body)
    assert rejection.reason is Reason.INVALID_FIELD
    assert rejection.detail.startswith(f"usage.{name} ")


@pytest.mark.parametrize("value", [[], "x", 5, True, [1]], ids=repr)
def test_usage_is_an_object(value: object) -> None:
    """Anything but an object (or null) is refused."""
    assert rejection_of(event(usage=value)).detail.startswith("usage ")


@pytest.mark.parametrize("value", [3, 0, "1", True, 1.5, [], -1], ids=repr)
def test_the_schema_version_is_one_or_two(value: object) -> None:
    """Only the numbers 1 and 2 are versions of this contract; `true` is no number."""
    rejection = rejection_of(event(schema_version=value))
    assert rejection.reason is Reason.INVALID_FIELD
    assert rejection.detail.startswith("schema_version ")


@pytest.mark.parametrize(
    "name", ["", "Event_Id", "event-id", "cost", "price", "timestamp", "__class__", "model_config", "usage.input_tokens", "\u00e9\n", "id"]
)
def test_an_unknown_field_is_refused_by_name(name: str) -> None:
    """A producer's mistake in a name doesn't stay silent, at the top or among the token counts."""
    rejection = rejection_of(event(**{name: 1}))
    assert rejection.reason is Reason.UNKNOWN_FIELD
    assert ascii(name) in rejection.detail
    inner = rejection_of(event(usage={name: 1}))
    assert inner.reason is Reason.UNKNOWN_FIELD
    assert ascii(name)[1:-1] in inner.detail


def test_an_unknown_name_that_is_no_text_is_an_unknown_field() -> None:
    """A name with a lone surrogate is unknown like any other, and is shown escaped."""
    body = body_of(event()).replace(b'"event_id"', rb'"\ud800": 1, "event_id"')
    rejection = rejection_of(body)
    assert rejection.reason is Reason.UNKNOWN_FIELD
    assert r"\ud800" in rejection.detail


def test_every_wrong_field_is_named() -> None:
    """One rejection tells all that is wrong, up to five fields."""
    detail = rejection_of(event(user_id=5, price_chf="x", occurred_at="y", model=1)).detail
    assert all(name in detail for name in ("user_id", "price_chf", "occurred_at", "model"))


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true", b"[{}]"])
def test_an_event_is_an_object(body: bytes) -> None:
    """Other JSON is no event."""
    rejection = rejection_of(body)
    assert rejection.reason is Reason.MALFORMED_JSON
    assert "object" in rejection.detail


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"\xff\xfe", b"not json", b"\xef\xbb\xbf{}", b"{}{}", b"\x1f\x8b\x08\x00"])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """Bytes that can't be read are refused as `malformed_json`."""
    assert rejection_of(body).reason is Reason.MALFORMED_JSON


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 2006, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1920}},
        {"input_tokens": 328, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 52},
        {"input_tokens": 2, "cache_creation_input_tokens": 7262, "cache_read_input_tokens": 13923, "output_tokens": 300},
        {"promptTokenCount": 10, "candidatesTokenCount": 20},
        {"inputTokens": 18, "outputTokens": 386},
    ],
)
def test_the_usage_object_of_an_sdk_is_refused_with_what_to_send(usage: dict[str, object]) -> None:
    """Whoever forwards what the SDK answered reads in the dead letter which counts are taken, and where it is told how to make them."""
    refused = rejection_of(event(usage=usage))
    assert refused.reason is Reason.UNKNOWN_FIELD
    assert refused.detail.endswith(
        "; usage takes input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens,"
        " or with usage_dialect the provider's object as it came (docs/producers.md)"
    )
    assert "## Forward the object" in (Path(__file__).parents[2] / "docs" / "producers.md").read_text()


def test_an_event_may_be_64_kib_and_no_more() -> None:
    """The limit counts the bytes that came, and holds before anything is decoded."""
    body = body_of(event())
    assert parsed(body + b" " * (EVENT_BYTES_MAX - len(body)))
    rejection = rejection_of(body + b" " * (EVENT_BYTES_MAX - len(body) + 1))
    assert rejection.reason is Reason.EVENT_TOO_LARGE
    assert str(EVENT_BYTES_MAX + 1) in rejection.detail
    assert rejection_of(b"[" * 10_000_000).reason is Reason.EVENT_TOO_LARGE
    assert EVENT_BYTES_MAX == 65536


def test_an_event_nested_too_deeply_is_refused() -> None:
    """Deep nesting is refused whole, whatever field it stands in."""
    assert rejection_of(body_of(event(usage="PLACE")).replace(b'"PLACE"', b"[" * 20_000 + b"]" * 20_000)).reason is Reason.TOO_DEEP


def test_a_duplicate_key_is_refused_even_with_equal_values() -> None:
    """A key twice in one object is a producer's mistake, whatever the values."""
    body = body_of(event()).replace(b'"user_id"', b'"user_id": "ada", "user_id"')
    rejection = rejection_of(body)
    assert rejection.reason is Reason.DUPLICATE_KEY
    assert "user_id" in rejection.detail


def test_a_defect_found_earlier_is_the_rejection() -> None:
    """What the intake already knows to be no event is refused for that reason, unread."""
    defect = Rejection(Reason.UNKNOWN_TASK, "task 'x' is not known")
    given_raw = raw(b"{}")
    assert rejection_of(type(given_raw)(given_raw.body, "test", defect=defect)) is defect


@given(st.text(max_size=300) | st.binary(max_size=300) | st.lists(st.text(max_size=20), max_size=30) | st.integers() | st.none())
def test_a_shown_value_is_one_short_line_of_printable_ascii(value: object) -> None:
    """What goes into logs and details can neither break a line nor forge one."""
    line = shown(value)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 120


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"usage_dialect": "openai"}, "usage_dialect is none of 'openai.chat', 'openai.responses'"),
        ({"usage_dialect": "canonical", "usage": {"input": "x" * 9_000}}, "usage is more than 8192 bytes"),
        ({"usage_dialect": "canonical", "usage": [1]}, "usage "),
        ({"usage_dialect": "canonical", "usage": {"input": 10**201}}, "usage has a number of more than 200 digits"),
        ({"processing": "Batch"}, "processing is none of 'interactive' or 'batch'"),
        ({"outcome": "ok"}, "outcome is none of"),
        ({"usage_basis": ""}, "usage_basis is none of"),
        ({"attempt": 2**15}, "attempt "),
        ({"attempt": True}, "attempt "),
        ({"producer_seq": 0}, "producer_seq "),
        ({"hold_final": "true"}, "hold_final "),
        ({"service_tier": ""}, "service_tier "),
        ({"region_scope": "x" * 129}, "region_scope "),
        ({"reported_cost": {"amount": "1"}}, "reported_cost.currency is missing"),
        ({"reported_cost": {"amount": "-1", "currency": "USD"}}, "reported_cost.amount is not between 0 and 1000000"),
        ({"reported_cost": {"amount": "1", "currency": "usd"}}, "reported_cost.currency "),
        ({"reported_cost": {"amount": "0.0000000000000000001", "currency": "USD"}}, "reported_cost.amount has more than 18 decimal places"),
    ],
)
def test_what_is_wrong_with_a_call_is_told(fields: dict[str, object], told: str) -> None:
    """A field of version 2 that holds something else is refused, by name and with its value."""
    assert rejection_of(event(**fields)).detail.startswith(told)


def test_names_of_version_2_may_be_written_in_camel_case() -> None:
    """As those of version 1; in a CloudEvent too."""
    called = {"usageDialect": "canonical", "serviceTier": "flex", "providerRequestId": "r", "holdKey": "h", "producerSeq": 3, "usage": {"input": 5}}
    plain = parsed(event(event_id="e", price_chf=..., **called))
    assert plain.call is not None
    assert (plain.call.usage_dialect, plain.call.service_tier, plain.call.producer_seq) == ("canonical", "flex", 3)
    whole = event(event_id=..., occurred_at=..., price_chf=..., **called)
    cloud = {"specversion": "1.0", "type": "t", "source": "/gw", "id": "e", "time": OCCURRED_AT.isoformat(), "data": whole}
    assert replace(parsed(cloud), source=None) == plain
