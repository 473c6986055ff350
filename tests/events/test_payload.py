"""When two deliveries are the same event: equality of the billed fields, and of nothing else."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events.model import UsageEvent
from core.events.payload import billed_fields, difference, payload_hash
from tests.sample_events import event, parsed

TEXTS = ["mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id"]
_ABSENT = "\x1e"
COUNTS = ["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"]
# Few and confusable: values that run together if a separator could occur in a text or absence had a spelling.
WORDS = st.sampled_from(["a", "b", "ab", "None", "null", "0", "1", ",", "|", " ", "0.250000000", "\u241f", "e\u0301", "\u00e9"])
COUNT_VALUES = st.none() | st.integers(0, 2) | st.just(2**53 - 1)


@st.composite
def events(draw: st.DrawFn) -> dict[str, object]:
    """A valid event out of few values, so that two of them are often nearly the same."""
    fields: dict[str, object] = {name: draw(WORDS) for name in ("mandate_id", "event_id", "user_id")}
    fields |= {name: draw(st.none() | WORDS | st.just("")) for name in TEXTS[3:]}
    fields["price_chf"] = draw(st.sampled_from(["0", "1", "10", "0.000000001", "1000000", "0.1"]))
    fields["occurred_at"] = draw(
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:01Z", "0001-01-01T00:00:00Z"])
    )
    fields["usage"] = {name: draw(COUNT_VALUES) for name in COUNTS}
    return fields


def _billed(fields: UsageEvent) -> tuple[object, ...]:
    """What is billed, by the letter of the contract."""
    counts = [getattr(fields.usage, name) for name in COUNTS]
    return (*[getattr(fields, name) for name in TEXTS], Fraction(fields.price_chf or 0), fields.occurred_at.timestamp(), *counts)


@given(events(), events())
def test_hashes_are_equal_exactly_when_the_billed_fields_are(one: dict[str, object], other: dict[str, object]) -> None:
    """No two different events run together, whatever their texts hold."""
    first, second = parsed(one), parsed(other)
    assert (payload_hash(first) == payload_hash(second)) is (_billed(first) == _billed(second))


@given(events(), st.sampled_from([*TEXTS, "price_chf", "occurred_at", *COUNTS]), st.data())
def test_a_change_of_any_one_billed_field_changes_the_hash(fields: dict[str, object], name: str, data: st.DataObject) -> None:
    """Each of the billed fields counts, absent and empty included, and the difference names that field alone."""
    changed = {**fields, "usage": {**fields["usage"]}}  # type: ignore[dict-item]
    target: dict[str, object] = changed["usage"] if name in COUNTS else changed  # type: ignore[assignment]
    target[name] = data.draw(events())["usage"][name] if name in COUNTS else data.draw(events())[name]  # type: ignore[index]
    first, second = parsed(fields), parsed(changed)
    if _billed(first) == _billed(second):
        return
    assert payload_hash(first) != payload_hash(second)
    assert list(difference(billed_fields(first), billed_fields(second))) == [name]


@given(events(), st.randoms(use_true_random=False), st.integers(-839, 840))
def test_other_spellings_of_the_same_event_have_the_same_hash(fields: dict[str, object], random: object, offset: int) -> None:
    """Order of keys, aliases, spelling of price and time, description, schema version and envelope are not billed."""
    first = parsed({**fields, "occurred_at": "2026-06-01T12:00:00.5Z"})
    zone = timezone(timedelta(minutes=offset))
    moment = datetime.fromisoformat("2026-06-01T12:00:00.500000+00:00").astimezone(zone).isoformat()
    respelled = {
        **fields,
        "occurred_at": moment,
        "price_chf": Decimal(str(fields["price_chf"])) * Decimal("1.000"),
        "description": "x",
        "schema_version": 1,
    }
    respelled["price_chf"] = str(respelled["price_chf"])
    respelled["priceCHF"] = respelled.pop("price_chf")
    items = list(respelled.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert payload_hash(parsed(dict(items))) == payload_hash(first)
    cloud = {"specversion": "1.0", "type": "t", "source": "s", "id": fields["event_id"], "data": dict(items)}
    assert payload_hash(parsed(cloud)) == payload_hash(first)


@pytest.mark.parametrize(
    ("one", "other"), [("0.0000000005", "0"), ("1.0000000001", "1"), ("-0", "0"), ("1e0", "1.000"), ("0.1234567894999", "0.123456789")]
)
def test_prices_that_quantise_to_the_same_are_the_same(one: str, other: str) -> None:
    """The hash is over the quantised price."""
    fields = event()
    assert payload_hash(parsed({**fields, "price_chf": one})) == payload_hash(parsed({**fields, "price_chf": other}))


def test_times_that_differ_below_a_microsecond_are_the_same() -> None:
    """The hash is over the truncated time."""
    fields = event()
    hashes = {payload_hash(parsed({**fields, "occurred_at": f"2026-01-01T00:00:00.000001{rest}Z"})) for rest in ("", "0", "9", "999999")}
    assert len(hashes) == 1


def test_no_usage_and_empty_usage_are_the_same_and_zero_is_another() -> None:
    """A count that is not known differs from a count of zero."""
    fields = event()
    assert (
        payload_hash(parsed(fields))
        == payload_hash(parsed({**fields, "usage": {}}))
        == payload_hash(parsed({**fields, "usage": {"input_tokens": None}}))
    )
    assert payload_hash(parsed(fields)) != payload_hash(parsed({**fields, "usage": {"input_tokens": 0}}))


def test_version_one_of_the_hash_stays_what_it_is() -> None:
    """Keys are kept for ever, so a hash computed today must be computable in ten years: the bytes are pinned."""
    fields = {"event_id": "e-1", "mandate_id": "acme", "user_id": "ada", "price_chf": "0.25", "occurred_at": "2026-01-31T12:00:00+01:00"}
    whole = parsed(json.dumps({**fields, "model": "m", "usage": {"output_tokens": 7}}).encode())
    absent = "\x1e"
    texts = ["acme", "e-1", "ada", absent, "m", absent, absent, absent]
    expected = "\x1f".join([*texts, "0.250000000", "2026-01-31T11:00:00.000000", absent, "7", absent, absent, absent])
    assert payload_hash(whole, 1) == sha256(expected.encode()).digest()
    assert payload_hash(whole).hex() == payload_hash(whole, 1).hex()
    assert whole.version == 1


def test_the_difference_tells_both_values_of_each_field() -> None:
    """Field by field, the first value and the second."""
    one, other = event(price_chf="1", model="a"), event(price_chf="2")
    other["event_id"] = one["event_id"]
    found = difference(billed_fields(parsed(one)), billed_fields(parsed(other)))
    assert found == {"model": ["a", None], "price_chf": ["1.000000000", "2.000000000"]}
    assert difference(billed_fields(parsed(one)), billed_fields(parsed(one))) == {}


@given(events())
def test_billed_fields_are_json(fields: dict[str, object]) -> None:
    """They can be stored with a dead letter, and hold every field that counts."""
    billed = billed_fields(parsed(fields))
    assert json.loads(json.dumps(billed)) == billed
    assert set(billed) == {*TEXTS, *COUNTS, "price_chf", "occurred_at"}


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_time_is_hashed_in_its_full_form(moment: datetime) -> None:
    """Whatever the year and the fraction, the hash is that of the ISO form with six digits, which the database computes too."""
    given = parsed(event())
    changed = msgspec.structs.replace(given, occurred_at=moment)
    fields = [given.mandate_id, given.event_id, given.user_id, *[_ABSENT] * 5, "0.250000000"]
    fields += [moment.replace(tzinfo=None).isoformat(timespec="microseconds"), *[_ABSENT] * 5]
    assert payload_hash(changed) == sha256("\x1f".join(fields).encode()).digest()


@given(st.decimals(0, 1_000_000, places=9) | st.sampled_from(["0", "0.000000001", "0.00000123", "1", "1000000", "1E-8"]).map(Decimal))
def test_the_price_is_hashed_with_nine_places(price: Decimal) -> None:
    """However small it is, the hash is that of the plain form, never of one with an exponent."""
    given = parsed(event(occurred_at="2026-01-31T12:00:00Z"))
    changed = msgspec.structs.replace(given, price_chf=price)
    fields = [given.mandate_id, given.event_id, given.user_id, *[_ABSENT] * 5, f"{price:.9f}", "2026-01-31T12:00:00.000000", *[_ABSENT] * 5]
    assert payload_hash(changed) == sha256("\x1f".join(fields).encode()).digest()
