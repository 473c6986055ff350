"""Other spellings of the same event: aliases, CloudEvents 1.0, kombu's typed JSON."""

import itertools
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps
from msgspec.structs import replace

from core.rejection import Reason
from tests.sample_events import event, parsed, rejection_of

ALIASES = {
    "eventId": "event_id",
    "mandateId": "mandate_id",
    "userId": "user_id",
    "priceCHF": "price_chf",
    "occurredAt": "occurred_at",
    "aicoreProvider": "provider",
    "aicoreModel": "model",
    "featureCode": "feature_code",
    "featureInstanceId": "feature_instance_id",
    "workflowId": "workflow_id",
}
FULL = {
    "provider": "p",
    "model": "m",
    "feature_code": "f",
    "feature_instance_id": "i",
    "workflow_id": "w",
    "description": "d",
    "usage": {"input_tokens": 3},
}


def _cloud(**fields: object) -> dict[str, object]:
    return {"specversion": "1.0", "type": "usage", "source": "/chat", **fields}


@given(st.sets(st.sampled_from(sorted(ALIASES))), st.randoms(use_true_random=False))
def test_any_mixture_of_aliases_in_any_order_is_the_same_event(used: set[str], random: object) -> None:
    """Each name may be written either way, and the order of the fields is nothing."""
    canonical = event(**FULL)
    names = {ALIASES[alias]: alias for alias in used}
    items = [(names.get(name, name), value) for name, value in canonical.items()]
    random.shuffle(items)  # type: ignore[attr-defined]
    assert parsed(dict(items)) == parsed(canonical)


@pytest.mark.parametrize(
    "alias", ["eventID", "event_Id", "Eventid", "pricechf", "priceChf", "aicore_model", "aicoreFeature", "usageTokens", "Description"]
)
def test_only_the_listed_aliases_are_names(alias: str) -> None:
    """A near miss is an unknown field."""
    rejection = rejection_of({**event(), alias: "x"})
    assert rejection.reason is Reason.UNKNOWN_FIELD
    assert alias in rejection.detail


@pytest.mark.parametrize(("alias", "name"), list(ALIASES.items()))
def test_a_value_given_twice_must_be_equal(alias: str, name: str) -> None:
    """Equal values under both names are one value; different ones are a contradiction that names field and values."""
    canonical = event(**FULL)
    assert parsed({**canonical, alias: canonical[name]}) == parsed(canonical)
    other = {"price_chf": "7.77", "occurred_at": "2020-01-01T00:00:00Z"}.get(name, "other")
    for fields in ({**canonical, alias: other}, {alias: other, **canonical}):
        rejection = rejection_of(fields)
        assert rejection.reason is Reason.CONTRADICTION
        assert name in rejection.detail
        assert other in rejection.detail


def test_equality_of_doubled_values_is_of_what_they_mean() -> None:
    """A price and a time may be spelled in two ways; a text may not."""
    fields = event(price_chf="1.50", occurred_at="2026-01-01T12:00:00+01:00")
    same = parsed({**fields, "priceCHF": 1.5, "occurredAt": "2026-01-01T11:00:00.0Z"})
    assert same == parsed(fields)
    assert rejection_of({**fields, "userId": "Ada"}).reason is Reason.CONTRADICTION
    assert rejection_of({**fields, "priceCHF": "NaN"}).reason is Reason.CONTRADICTION
    assert rejection_of({**fields, "occurredAt": 5}).reason is Reason.CONTRADICTION


def test_a_cloud_event_is_the_event_in_its_data() -> None:
    """`id` and `time` come from the envelope, the rest from `data`; other attributes are ignored."""
    fields = event(**FULL)
    inner = {name: value for name, value in fields.items() if name not in ("event_id", "occurred_at")}
    envelope = _cloud(
        id=fields["event_id"], time=fields["occurred_at"], data=inner, datacontenttype="application/json", subject="x", traceparent="00-1", n1=5
    )
    assert parsed(envelope) == replace(parsed(fields), source="/chat")


@given(st.sets(st.sampled_from(sorted(ALIASES))))
def test_the_data_of_a_cloud_event_may_use_aliases(used: set[str]) -> None:
    """Inside `data` the names are the same as everywhere, and id and time may stand there alone or as well."""
    canonical = event(**FULL)
    names = {ALIASES[alias]: alias for alias in used}
    data = {names.get(name, name): value for name, value in canonical.items()}
    expected = replace(parsed(canonical), source="/chat")
    assert parsed(_cloud(data=data)) == expected
    assert parsed(_cloud(data=data, id=canonical["event_id"], time=canonical["occurred_at"])) == expected


@pytest.mark.parametrize(("attribute", "value", "name"), [("id", "other", "event_id"), ("time", "2020-01-01T00:00:00Z", "occurred_at")])
def test_envelope_and_data_must_not_contradict(attribute: str, value: str, name: str) -> None:
    """An id or time given in both places must be the same."""
    rejection = rejection_of(_cloud(data=event(), **{attribute: value}))
    assert rejection.reason is Reason.CONTRADICTION
    assert name in rejection.detail


@pytest.mark.parametrize("version", ["1", "0.3", "1.1", 1.0, None, True])
def test_only_cloud_events_1_0_is_understood(version: object) -> None:
    """Another version is refused by value."""
    rejection = rejection_of({"specversion": version, "id": "x", "data": event()})
    assert rejection.reason is Reason.INVALID_FIELD
    assert "specversion" in rejection.detail


@pytest.mark.parametrize("data", [None, "x", [], 5, "{}"], ids=repr)
def test_the_data_of_a_cloud_event_is_an_object(data: object) -> None:
    """Without an object there is no event."""
    for fields in (_cloud(id="x", data=data), _cloud(id="x")):
        assert rejection_of(fields).reason is Reason.INVALID_FIELD


def test_a_cloud_event_does_not_smuggle_unknown_fields() -> None:
    """What is no attribute name of CloudEvents is refused outside `data`, and what is no field is refused inside."""
    assert rejection_of(_cloud(data=event(), userId="eve")).reason is Reason.UNKNOWN_FIELD
    assert rejection_of(_cloud(data=event(), data_base64="e30=")).reason is Reason.UNKNOWN_FIELD
    assert rejection_of(_cloud(data={**event(), "cost": 1})).reason is Reason.UNKNOWN_FIELD
    assert rejection_of(_cloud(data={**event(), "specversion": "1.0"})).reason is Reason.UNKNOWN_FIELD


def test_fields_beside_a_cloud_event_are_never_taken_as_the_event() -> None:
    """A user or a price outside `data` is an attribute at best: the event needs its own."""
    fields = event()
    assert rejection_of(_cloud(**{**fields, "data": {}})).reason in (Reason.UNKNOWN_FIELD, Reason.MISSING_FIELD)
    assert rejection_of({**fields, "data": {}}).reason is Reason.UNKNOWN_FIELD


TYPED = {
    "price_chf": (Decimal("3.4E-7"), "0.00000034"),
    "occurred_at": (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T10:00:00Z"),
    "event_id": (uuid.UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
    "feature_instance_id": (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
}


@pytest.mark.parametrize("names", [names for n in (1, 2, 4) for names in itertools.combinations(TYPED, n)], ids="+".join)
def test_what_kombu_writes_for_python_objects_is_understood_in_celery_messages(names: tuple[str, ...]) -> None:
    """Decimal, datetime and UUID objects that a Python producer passed are the values that they stand for."""
    fields = event(event_id="e")
    body = dumps({**fields, **{name: TYPED[name][0] for name in names}}).encode()
    plain = {**fields, **{name: TYPED[name][1] for name in names}}
    assert parsed(body, typed_json=True) == parsed(plain)


@pytest.mark.parametrize("name", TYPED)
def test_typed_json_is_understood_nowhere_else(name: str) -> None:
    """In plain JSON the same bytes are an invalid field."""
    body = dumps(event(**{name: TYPED[name][0]})).encode()
    rejection = rejection_of(body)
    assert rejection.reason is Reason.INVALID_FIELD
    assert name in rejection.detail


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e400", "1_000", "\uff11", " 1", ""])
def test_a_typed_decimal_obeys_the_rules_of_prices(text: str) -> None:
    """The hook of kombu would accept NaN and infinities; they are refused here as everywhere."""
    rejection = rejection_of(event(price_chf={"__type__": "decimal", "__value__": text}), typed_json=True)
    assert rejection.reason is Reason.INVALID_FIELD
    assert "price_chf" in rejection.detail


def test_a_typed_decimal_in_a_usage_object_is_the_number_that_came() -> None:
    """A producer that reads JSON with Decimal, and one that doesn't, send the same usage object; what is no number stays text."""
    usage = {"prompt_tokens": Decimal(5), "completion_tokens": 1, "total_tokens": 6, "cost": [Decimal("0.0001500"), Decimal("1E-7")], "at": "1.50"}
    fields = {"usage_dialect": "openrouter.chat", "price_chf": Decimal("0.1")}
    body = dumps(event(event_id="e", usage=usage, **fields)).encode()
    assert parsed(body, typed_json=True) == parsed(json.dumps(event(event_id="e", usage=usage, **fields), default=float).encode())
    endless = dumps(event(usage={"cost": Decimal("NaN")}, **fields)).encode()
    assert '"NaN"' in str(parsed(endless, typed_json=True).raw_usage)


@pytest.mark.parametrize("value", [date(2026, 1, 1), time(12, 0), datetime(2026, 1, 1)])  # noqa: DTZ001
def test_a_typed_date_time_or_naive_datetime_is_no_time_of_an_event(value: object) -> None:
    """What has no offset is refused, whatever type wrote it."""
    assert rejection_of(dumps(event(occurred_at=value)).encode(), typed_json=True).reason is Reason.INVALID_FIELD


_ODD_TYPED = [
    *[
        {"__type__": "pickle", "__value__": "x"},
        {"__type__": "decimal", "__value__": 1.5},
        {"__type__": "decimal"},
        {"__type__": [], "__value__": {}},
    ],
    *[{"__type__": "uuid", "__value__": "x"}, {"__type__": "uuid", "__value__": {"hex": "zz"}}, {"__type__": "uuid", "__value__": {"hex": 5}}],
    *[{"__type__": "decimal", "__value__": "1", "more": 1}, {"__type__": "decimal", "__value__": {"__type__": "decimal", "__value__": "1"}}],
    *[{"__type__": None, "__value__": None}, {"__type__": "\ud800\n", "__value__": "\x00"}, {"__type__": "django.Model", "__value__": {"app": "x"}}],
]


@pytest.mark.parametrize("value", _ODD_TYPED, ids=ascii)
@pytest.mark.parametrize("name", ["price_chf", "event_id", "usage", "description"])
def test_other_typed_values_are_refused(name: str, value: object) -> None:
    """Nothing but the three known types is decoded, and nothing is ever constructed from a name."""
    rejection = rejection_of(json.dumps(event(**{name: value})).encode(), typed_json=True)
    assert rejection.reason in (Reason.INVALID_FIELD, Reason.UNKNOWN_FIELD)


def test_typed_json_inside_a_cloud_event_is_understood() -> None:
    """A Celery message may carry an envelope with typed values in it."""
    fields = event(event_id="e", price_chf="0.5")
    inner = {**fields, "price_chf": Decimal("0.50")}
    assert parsed(dumps(_cloud(data=inner)).encode(), typed_json=True) == replace(parsed(fields), source="/chat")


def test_an_event_that_needs_no_typed_json_is_the_same_with_and_without() -> None:
    """The flag changes nothing for plain values."""
    fields = event(**FULL)
    assert parsed(fields, typed_json=True) == parsed(fields)
    assert parsed(fields).occurred_at.tzinfo is UTC
