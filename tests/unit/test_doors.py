"""What the doors make of a message, before any database is asked."""

import base64
import gc
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.events.envelope import QueueEntry, _opened, open_entry
from core.events.message import RECORD, RECORD_BATCH, UNREAD_BODY, Message, message_of, message_with, raw_events
from core.events.outcome import Outcome
from core.recording.delivery import read_events
from core.rejection import Reason, Rejection
from lab.bench.traffic import celery_message
from worker.redis_transport import is_message


def bodies(message: Message) -> list[bytes]:
    """The events' bytes that a message is taken apart into."""
    return [event.body for event in raw_events(message)]


def test_a_crash_loop_keeps_every_event_of_a_batch_message() -> None:
    """A condemned message of many events becomes one dead letter per event, each with its own bytes and the reason."""
    defect = Rejection(Reason.CRASH_LOOP, "begun 5 times")
    array = msgspec.Raw(b'[{"a": 1}, {"b": 2}]')
    events = list(raw_events(Message("usage", lambda: b"whole", RECORD_BATCH, [array], defect=defect)))
    assert [(event.body, event.defect) for event in events] == [(b'{"a": 1}', defect), (b'{"b": 2}', defect)]


def test_a_crash_loop_that_can_not_be_opened_keeps_the_whole_message() -> None:
    """A condemned message without readable arguments is one dead letter with the bytes of the entry and the same reason."""
    defect = Rejection(Reason.CRASH_LOOP, "begun 6 times")
    (event,) = raw_events(Message("usage", lambda: b"whole", "", defect=defect))
    assert (event.body, event.defect) == (b"whole", defect)


def test_values_become_the_bytes_that_a_producer_would_send() -> None:
    """A task run by Celery itself hands its Python values on as JSON, arguments by position or by name."""
    assert bodies(message_of(RECORD, ({"price_chf": 0.1},), {})) == [b'{"price_chf": 0.1}']
    assert bodies(message_of(RECORD_BATCH, (), {"events": [{}, {}]})) == [b"{}", b"{}"]


def test_wrong_arguments_are_named() -> None:
    """Neither too many nor mistyped arguments vanish: the message is one dead letter that says what is wanted."""
    for message in (message_of(RECORD, ({}, {}), {}), message_of(RECORD, (), {"evnt": {}})):
        (event,) = raw_events(message)
        assert event.defect
        assert event.defect.reason is Reason.MALFORMED_ARGUMENTS
        assert "takes one argument, event" in event.defect.detail


ONE, TWO = b'{"a": 1, "a": 2}', b'{"b": "}"}'


@pytest.mark.parametrize(
    ("task", "body", "names"),
    [
        (RECORD, b'[[], {"event": %s, "event": %s}, {}]' % (TWO, TWO), "event"),
        (RECORD, b'[[], {"event": %s, "\\u0065vent": %s}, {}]' % (TWO, ONE), "event"),
        (RECORD, b'[[], {"event":1,"event":1}, {}]', "event"),
        (RECORD_BATCH, b'[[], {"events": [], "events": [%s]}, {}]' % TWO, "events"),
        (RECORD, b'[[], {"a": 1, "event": 1, "a": 2}, {}]', "a"),
        (None, b'{"task": "usage.record", "id": "1", "args": [%s], "kwargs": {}, "args": [%s]}' % (ONE, TWO), "args"),
        (None, b'{"task": "usage.record", "id": "1", "args": [], "kwargs": {"event": 1, "event": 2}}', "event"),
    ],
)
def test_an_argument_given_twice_is_no_argument(task: str | None, body: bytes, names: str) -> None:
    """Of two arguments with one name, none is taken: the whole message is one dead letter that names it."""
    (event,) = raw_events(message_with("usage", lambda: body, task, body, RECORD))
    assert event.defect
    assert (event.body, event.defect.reason, event.defect.detail) == (body, Reason.MALFORMED_ARGUMENTS, f"key '{names}' is given twice")


@pytest.mark.parametrize("named", [b'{"event": %s}', b'{\n "event" :%s } ', b'{"\\u0065vent": %s}'])
@pytest.mark.parametrize("event", [ONE, TWO, b'[{"event": 1}, {"event": 2}]', b'"}"'])
def test_an_argument_given_once_is_passed_on_as_it_came(named: bytes, event: bytes) -> None:
    """However it is spelled, and whatever the event itself gives twice: that is the event's own refusal."""
    body = b"[[], " + named % event + b", {}]"
    assert bodies(message_with("usage", lambda: body, RECORD, body, RECORD)) == [event]
    assert bodies(message_of(RECORD, (), {UNREAD_BODY: body.decode()})) == [event]


GOOD = {
    "body": base64.b64encode(b"[[], {}, {}]").decode(),
    "content-type": "application/json",
    "headers": {"task": "books.housekeep", "id": "1"},
    "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
}


def test_a_stock_message_is_a_message() -> None:
    """What Celery's producers send passes, as do control messages, whose body is no task's."""
    assert is_message(GOOD)
    assert is_message({**GOOD, "headers": {}, "body": base64.b64encode(b'{"method": "ping"}').decode()})


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        {**GOOD, "properties": {}},
        {**GOOD, "properties": {**GOOD["properties"], "delivery_tag": 5}},  # type: ignore[dict-item]
        {**GOOD, "body": "%%%"},
        {**GOOD, "headers": [1]},
        json.loads("[1]"),
    ],
)
def test_what_would_end_celerys_consumer_is_no_message(bad: object) -> None:
    """Entries that stock Celery dies of are told from messages."""
    assert not is_message(bad)


def test_what_is_refused_leaves_nothing_to_the_garbage_collector() -> None:
    """A refused event is freed with its batch, whether its message or itself can't be read: no exception holds on to what was in hand."""
    texts = (b"x", b"{}", b'{"a": 1, "a": 2}', b'{"event_id": 1}', b'{"\xff": 1}', b"[" * 5000)
    entries = [QueueEntry(queue, text) for queue in ("usage", "usage.json") for text in texts]

    def refuse() -> set[Outcome | None]:
        opened = [event for entry in entries for event in raw_events(open_entry(entry))]
        return {delivery.outcome for delivery in read_events(opened)}

    refuse()
    gc.collect()
    gc.disable()
    try:
        assert refuse() == {Outcome.REJECTED}
        assert gc.collect() == 0
    finally:
        gc.enable()


_BASE64 = st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode())
_BODIES = st.one_of(
    _BASE64, st.text("AQgw/+=-_ \n\u00e9", max_size=9), st.tuples(_BASE64, st.sampled_from(["=", "==", "\n", "A", "QQ=="])).map("".join)
)
_ENVELOPES = st.fixed_dictionaries(
    {"body": _BODIES | st.none()},
    optional={
        "content-type": st.sampled_from(["application/json", "Application/JSON", "text/plain", None]),
        "content-encoding": st.sampled_from(["utf-8", "UTF-8", "binary", None]),
        "headers": st.fixed_dictionaries(
            {}, optional={"task": st.sampled_from([RECORD, "", None, 5]), "compression": st.sampled_from([None, "", "zlib"]), "id": st.just("1")}
        ),
        "properties": st.fixed_dictionaries({}, optional={"body_encoding": st.sampled_from(["base64", "utf-8", "", None, "rot13"])}),
    },
)


@settings(max_examples=1500)
@given(_ENVELOPES, _ENVELOPES, st.booleans())
def test_the_quick_way_of_opening_agrees_with_the_careful_one(fields: dict[str, object], others: dict[str, object], twice: bool) -> None:
    """What is read in one go is what the careful way reads, or is left to it: odd base64, other spellings and fields given twice included."""
    whole = json.dumps(fields).encode()
    if twice:
        whole = whole[:-1] + b", " + json.dumps(others).encode()[1:]
    parts = QueueEntry("usage", whole).parts()
    if parts is not None:
        assert parts == _opened(whole)


@given(st.binary(max_size=50))
def test_what_a_stock_producer_sends_is_opened_in_one_go(body: bytes) -> None:
    """Nothing of it is left to the careful way."""
    message = celery_message(RECORD, body.hex())
    assert QueueEntry("usage", message).parts() == _opened(message)
