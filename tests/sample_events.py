"""Usage events for tests: a valid one, its JSON, and the raw form that the recorder takes."""

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from core.events.model import UsageEvent
from core.events.parsing import RawEvent, parse_event
from core.rejection import Rejection

NOW = datetime.now(UTC).replace(microsecond=0)  # of this process: two workers of one test run differ by moments
OCCURRED_AT = NOW - timedelta(hours=1)
EventLike = Mapping[str, object] | bytes | RawEvent
_numbers = itertools.count(1)


def event(**fields: object) -> dict[str, object]:
    """A valid event with an event id of its own; `fields` replace or add fields, and `...` as a value takes one away."""
    whole: dict[str, object] = {
        "event_id": f"event-{next(_numbers):06}",
        "mandate_id": "acme",
        "user_id": "ada",
        "price_chf": "0.25",
        "occurred_at": OCCURRED_AT.isoformat(),
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def body_of(fields: object) -> bytes:
    """The JSON of an event, as a producer would send it."""
    return json.dumps(fields, ensure_ascii=False).encode()


def raw(given: EventLike, *, origin: str = "test", typed_json: bool = False) -> RawEvent:
    """A raw event out of its fields or its bytes; one that is raw already stays as it is."""
    if isinstance(given, RawEvent):
        return given
    return RawEvent(given if isinstance(given, bytes) else body_of(given), origin, typed_json)


def parsed(given: EventLike, *, typed_json: bool = False) -> UsageEvent:
    """The usage event that these fields or bytes are parsed to."""
    return parse_event(raw(given, typed_json=typed_json))


def rejection_of(given: EventLike, *, typed_json: bool = False) -> Rejection:
    """Why these fields or bytes are no usage event; the detail is one line of printable ASCII, as every detail must be."""
    with pytest.raises(Rejection) as caught:
        parsed(given, typed_json=typed_json)
    rejection = caught.value
    assert rejection.detail, "the detail is empty"
    assert rejection.detail.isascii(), rejection.detail
    assert rejection.detail.isprintable(), rejection.detail
    return rejection
