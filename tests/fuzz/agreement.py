"""Whether the product and the strict readers say the same of bytes: both refuse, or both find the same values."""

from collections.abc import Mapping
from datetime import datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

from core.dialects.model import UsageDialect
from core.events.model import CALL_FIELDS, EVENT_FIELDS, NO_TOKENS, TOKEN_KINDS, ReportedCost, UsageEvent
from core.events.parsing import RawEvent, parse_event
from core.rejection import Reason, Rejection
from tests.events.strict_json import Refused
from tests.fuzz.strict_event import StrictEvent, read_event

_WIDE = Context(prec=500, Emin=MIN_EMIN, Emax=MAX_EMAX)
DIALECTS = frozenset(map(str, UsageDialect))


def strictly(body: bytes, *, typed_json: bool = False) -> StrictEvent | None:
    """What the strict reader says; None: it refuses."""
    try:
        return read_event(body, DIALECTS, typed_json=typed_json)
    except Refused:
        return None


def parsed_or_refused(raw: RawEvent) -> UsageEvent | None:
    """What the product says; None: it refuses, for one of the closed list of reasons and in one line that can be shown."""
    try:
        return parse_event(raw)
    except Rejection as rejection:
        is_told(rejection)
        return None


def is_told(rejection: Rejection) -> None:
    """The reason is of the closed list, the detail one short line of printable ASCII."""
    assert rejection.reason in set(Reason)
    assert rejection.detail, "no detail"
    assert rejection.detail.isascii(), rejection.detail
    assert rejection.detail.isprintable(), rejection.detail
    assert len(rejection.detail) < 5_000


def agree(raw: RawEvent) -> UsageEvent | None:
    """Reads the event in both ways, sees that they agree, and gives it; None: both refuse."""
    expected, found = strictly(raw.body, typed_json=raw.typed_json), parsed_or_refused(raw)
    if expected is None:
        assert found is None, f"recorded, and the contract refuses it: {raw.body[:2000]!r}"
        return None
    assert found is not None, f"refused, and the contract allows it: {raw.body[:2000]!r}"
    says_the_same(found, expected)
    return found


def says_the_same(found: UsageEvent, expected: StrictEvent) -> None:
    """Each field has the value that the strict reader found, and none is there that it didn't find."""
    assert found.source == expected.source
    given = dict(expected.fields)
    usage = given.pop("usage", None)
    has_object = isinstance(usage, dict) and "usage_dialect" in given
    if has_object:
        assert found.raw_usage is not None
        assert spelled(found.raw_usage.decoded()) == spelled(usage)
    else:
        assert found.raw_usage is None
    counts = {} if has_object else usage or {}
    assert {name: getattr(found.usage, name) for name in TOKEN_KINDS} == {name: counts.get(name) for name in TOKEN_KINDS}
    assert not has_object or found.usage == NO_TOKENS
    for name in EVENT_FIELDS:
        if name not in ("usage", "source"):
            assert plain(getattr(found, name)) == given.pop(name, None), name
    for name in CALL_FIELDS:
        assert plain(getattr(found.call, name) if found.call else None) == given.pop(name, None), name
    assert not given
    if found.price_chf is not None:
        assert found.price_chf.as_tuple().exponent == -9
        assert not found.price_chf.is_signed()


def plain(value: Any) -> Any:
    """A value of the product as the strict reader has it."""
    if isinstance(value, ReportedCost):
        return Fraction(value.amount), value.currency
    if isinstance(value, Decimal):
        return Fraction(value)
    if isinstance(value, datetime):
        assert value.utcoffset() is not None
    return value


def spelled(value: Any) -> Any:
    """A form in which two JSON values are equal if their types are, their numbers have the same value and their keys are the same, in any order."""
    if isinstance(value, Mapping):
        return sorted((name, spelled(item)) for name, item in value.items())
    if isinstance(value, list):
        return ["list", *map(spelled, value)]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return [type(value).__name__, value]
    return ["number", str(Decimal(value).normalize(_WIDE))]
