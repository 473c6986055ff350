"""What is fuzzed: for each reader the bytes that it is given, and what must hold of each."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from hypothesis import strategies as st
from kombu import Connection
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.base import Message as KombuMessage

from core.dialects.all import read_usage
from core.dialects.model import Call, NotRead, NotReadReason, Reading, UsageDialect
from core.events.envelope import PLAIN_QUEUE, QueueEntry, open_entry
from core.events.message import UNREAD_BODY, raw_events
from core.events.parsing import RawEvent
from core.events.payload import payload_hash
from tests.events.strict_json import Refused
from tests.fuzz.agreement import agree, is_told, strictly
from tests.fuzz.mutations import damaged, odd_json
from tests.fuzz.samples import AMQP_PROPERTIES, CLOUD_EVENTS, ENTRIES, EVENTS, PLAIN, REQUESTS, TYPED_EVENTS, of_dialect
from tests.fuzz.strict_message import events_in, loosely
from worker.amqp_transport import cure_amqp_transport
from worker.guard import OPEN_TASKS, confine
from worker.intake.amqp_message import CeleryEntry, entry_of
from worker.message_headers import ID_CHARACTERS_MAX
from worker.redis_transport import is_message

_NAMES = ("event_id", "eventId", "mandate_id", "user_id", "price_chf", "priceCHF", "occurred_at", "usage", "usage_dialect", "input_tokens", "a")
_CLOUD_NAMES = (*_NAMES, "specversion", "data", "id", "time", "source")
_ENTRY_NAMES = ("body", "headers", "properties", "content-type", "content-encoding", "task", "args", "kwargs", "event", "events", "body_encoding")


class Target(NamedTuple):
    """One reader."""

    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes], None]


def event_agrees(body: bytes) -> None:
    """An event is recorded exactly where the strict reader allows it, with its values; it has a payload hash, which its copy has too."""
    _event(RawEvent(body, "fuzz"))


def typed_event_agrees(body: bytes) -> None:
    """The same where kombu's typed JSON is understood."""
    _event(RawEvent(body, "fuzz", typed_json=True))


def _event(raw: RawEvent) -> None:
    event = agree(raw)
    if event is not None:
        copy = agree(raw)
        assert copy is not None
        assert payload_hash(event, event.version) == payload_hash(copy, copy.version)


def celery_entry_agrees(entry: bytes) -> None:
    """What is found in an entry of the queue `usage` is in it, all that is in it for certain is found, and each event is read as by itself."""
    _entry_agrees(QueueEntry("usage", entry), entry, plain=False)


def plain_entry_agrees(entry: bytes) -> None:
    """The same of the queue of plain JSON: an array is as many events as it has elements, each with its own bytes."""
    _entry_agrees(QueueEntry(PLAIN_QUEUE, entry), entry, plain=True)


def _entry_agrees(queued: QueueEntry, entry: bytes, *, plain: bool) -> None:
    message = open_entry(queued)
    found = list(raw_events(message))
    assert message.told_on is None or message.told_on.startswith("tollbook.outcomes.")
    at_least, at_most = events_in(entry, plain=plain, strict=True), events_in(entry, plain=plain, strict=False)
    if len(found) == 1 and found[0].defect is not None:
        is_told(found[0].defect)
        assert found[0].body == entry
        assert at_least is None, f"refused, and it is a message: {entry[:2000]!r}"
        return
    assert at_most is not None, f"taken for a message: {entry[:2000]!r}"
    assert [_value(raw.body) for raw in found] == [item if isinstance(item, bytes) else ("value", item) for item in at_most] or (
        [raw.body for raw in found] == at_most
    )
    for raw in found:
        assert raw.typed_json is not plain
        assert raw.defect is None
        agree(raw)


def _value(body: bytes) -> Any:
    try:
        return "value", loosely(body)
    except Refused:
        return body


def amqp_entry_is_read_alike(properties: bytes) -> None:
    """The quick look at a message's properties finds what decoding all of them finds, and neither raises, whatever bytes they are.

    Where they can't be decoded to their end, which no broker lets through, the quick look may not have got that far.
    """
    cure_amqp_transport()
    body = b"[[{}], {}, {}]"
    entry = entry_of("usage", properties, body)
    quick = entry.parts()
    whole = json.loads(entry.whole())
    assert isinstance(whole, dict)
    if str(whole.get("content-type")).startswith("unreadable"):
        return
    if quick is not None:
        assert isinstance(entry, CeleryEntry)
        assert quick.task == whole["headers"].get("task")
        assert not whole["headers"].get("compression")
        assert whole["content-type"] == "application/json"
    found = list(raw_events(open_entry(entry)))
    if any(raw.defect is None for raw in found):
        assert whole["headers"].get("task") == "usage.record"
        assert not whole["headers"].get("compression")


@lru_cache(maxsize=1)
def _channel() -> Any:
    return Connection("memory://").channel()


def guard_confines(entry: bytes) -> None:
    """Out of a queue of producers Celery's own half gets a call of a task that is open there, stripped to its arguments, or a refusal."""
    for queue in ("checks", "usage", "views"):
        payload = _loaded(entry)
        if not is_message(payload):
            return
        payload["properties"]["delivery_info"] = {**payload["properties"]["delivery_info"], "exchange": "", "routing_key": queue}
        message: Any = KombuMessage(payload, channel=_channel())
        if _refused(partial(confine, message)):
            continue
        assert message.headers["task"] in OPEN_TASKS[queue]
        assert 0 < len(message.headers["id"]) <= ID_CHARACTERS_MAX
        assert not {"chain", "chord", "link", "callbacks", "errbacks", "compression"} & message.headers.keys()
        args, kwargs, embedded = json.loads(message.body)
        assert isinstance(args, list)
        assert isinstance(kwargs, dict)
        assert embedded == {}
        assert queue == "usage" or UNREAD_BODY not in kwargs or UNREAD_BODY.encode() in entry


def _refused(do: Callable[[], None]) -> bool:
    try:
        do()
    except ValueError as error:
        told = str(error)
    else:
        return False
    assert told.isprintable()
    return True


def _loaded(entry: bytes) -> Any:
    """As the transport's own decoder, whose failures are entries that are dropped."""
    try:
        return kombu_redis.loads(entry)  # type: ignore[attr-defined]
    except (ValueError, RecursionError):
        return None


def dialect_agrees(body: bytes) -> None:
    """A usage object is kept as it came, and is read or not: counts are counts, the order of its keys is nothing."""
    event = agree(RawEvent(body, "fuzz"))
    if event is None or event.raw_usage is None or event.call is None:
        return
    dialect = UsageDialect(str(event.call.usage_dialect))
    call = Call(event.provider, event.model)
    reading = _read(dialect, event.raw_usage.decoded(), call)
    expected = strictly(body)
    assert expected is not None
    assert _read(dialect, _backwards(expected.fields["usage"]), call) == reading
    if reading is not None:
        assert all(type(number) is int and number >= 0 for number in reading.leaves.values())
        assert all(path and path.isascii() and path.isprintable() for path in reading.unmapped)
        assert sum(reading.leaves.values()) <= 4 * _numbers(expected.fields["usage"]) + 4


def _read(dialect: UsageDialect, usage: Mapping[str, Any], call: Call) -> Reading | None:
    try:
        reading = read_usage(dialect, usage, call)
    except NotRead as error:
        refusal = error
    else:
        return _in_order(reading)
    assert refusal.reason in NotReadReason
    assert refusal.detail.isascii()
    assert refusal.detail.isprintable()
    return None


def _in_order(reading: Reading) -> Reading:
    return Reading(reading.leaves, tuple(sorted(reading.unmapped)), reading.dimensions, reading.cost)


def _backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _backwards(item) for name, item in reversed(value.items())}
    return [_backwards(item) for item in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    """The sum of all numbers in an object: nothing that isn't there can be counted."""
    if isinstance(value, dict):
        return sum(map(_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(_numbers, value))
    if isinstance(value, bool | str) or value is None:
        return 1  # some texts and flags stand for one unit
    return max(0, int(value)) if abs(value) < 10**20 else 10**20


def _mixed(samples: list[bytes], names: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    return st.one_of(damaged(samples), damaged(samples), odd_json(names))


TARGETS: dict[str, Target] = {
    "event": Target(_mixed(EVENTS, _NAMES), event_agrees),
    "cloud-event": Target(_mixed(CLOUD_EVENTS, _CLOUD_NAMES), event_agrees),
    "typed-event": Target(_mixed(TYPED_EVENTS, (*_NAMES, "__type__", "__value__", "hex")), typed_event_agrees),
    "celery-entry": Target(_mixed(ENTRIES, _ENTRY_NAMES), celery_entry_agrees),
    "plain-entry": Target(_mixed(PLAIN, _CLOUD_NAMES), plain_entry_agrees),
    "amqp-properties": Target(st.one_of(damaged(AMQP_PROPERTIES), st.binary(max_size=200)), amqp_entry_is_read_alike),
    "guard": Target(_mixed(REQUESTS, (*_ENTRY_NAMES, "id", "delivery_info", "delivery_tag")), guard_confines),
    **{f"dialect {name}": Target(damaged(of_dialect(name)), dialect_agrees) for name in UsageDialect},
}
