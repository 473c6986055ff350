"""A message of a usage task: which task it is for, its arguments still as the bytes that came, and the events that are in it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from core.events.parsing import RawEvent
from core.json_exact import repetition
from core.printable import one_line, shown
from core.rejection import Reason, Rejection

RECORD, RECORD_BATCH = "usage.record", "usage.record_batch"
EVENTS_PER_MESSAGE_MAX = 1000
UNREAD_BODY = "unread_body"  # the argument of a usage task by which the guard hands on a whole body that it can't read
UNREAD_REASON = "unread_reason"  # beside it, and then it is the whole message in kombu's envelope: why, as reason and detail

_TOLD_ON = re.compile(r"tollbook\.outcomes\.[A-Za-z0-9._-]{1,64}", re.ASCII)
_ONE_NAME = re.compile(rb'\{\s*"[^"\\]*"\s*:\s*')


class Message(msgspec.Struct, frozen=True):
    """One message off a queue."""

    queue: str
    entry: Callable[[], bytes]  # the whole queue entry, kept by the dead letter of a message that can't be read
    task: str
    args: Sequence[msgspec.Raw] = ()
    kwargs: Mapping[str, msgspec.Raw] = {}
    plain: bool = False  # no Celery message: the entry itself is the JSON of one event or of an array of events
    defect: Rejection | None = None  # why it can't be read
    told_on: str | None = None  # the queue on which its producer wants to be told of refused and parked events


class _BodyOfProtocol1(msgspec.Struct, gc=False):
    task: str
    args: list[msgspec.Raw] = []
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")


_BodyOfProtocol2 = Annotated[tuple[list[msgspec.Raw], msgspec.Raw, msgspec.Raw], "args, kwargs, embedded canvas"]

_BODY_1 = msgspec.json.Decoder(_BodyOfProtocol1)
_BODY_2 = msgspec.json.Decoder(_BodyOfProtocol2)
_NAMED = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


def told_on(reply_to: object) -> str | None:
    """The queue on which a message's producer is told of events that aren't recorded, if its `reply_to` names one: no other is ever written to."""
    if not isinstance(reply_to, str) or not reply_to.startswith("tollbook.outcomes."):  # as nearly always: each of Celery's messages has one
        return None
    return reply_to if _TOLD_ON.fullmatch(reply_to) else None


def message_with(queue: str, entry: Callable[[], bytes], task: str | None, body: bytes, door: str, told_on: str | None = None) -> Message:
    """The Celery message with this body; never raises.

    Args:
        queue: where it came from.
        entry: see `Message`.
        task: the task that it is for; none in protocol 1, whose body names it.
        body: of protocol 2, or without a task of protocol 1.
        door: the task that a message with a defect is handed to.
        told_on: see `Message`.
    """
    try:
        if task is None:
            _refuse_repetition(body)
            old = _BODY_1.decode(body)
            return Message(queue, entry, old.task, old.args, _named(old.kwargs), told_on=told_on)
        args, kwargs, _ = _BODY_2.decode(body)
        return Message(queue, entry, task, args, _named(kwargs), told_on=told_on)
    except Rejection as refusal:
        defect = refusal
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        defect = Rejection(Reason.MALFORMED_MESSAGE, f"is not a Celery message: {shown(str(error))}")
    return Message(queue, entry, door, defect=defect, told_on=told_on)


def called_with(body: bytes, task: str) -> Message:
    """The message of a task that Celery itself ran, out of a body of either protocol; never raises."""
    return message_with("", lambda: body, None if body.lstrip().startswith(b"{") else task, body, task)


def message_of(task: str, args: Sequence[Any], kwargs: Mapping[str, Any], reply_to: object = None) -> Message:
    """The message that calls `task` with Python values, for a task that is run by Celery itself; `reply_to` is the property of that name.

    Decimal, datetime and UUID become strings; a float becomes the shortest decimal that stands for it. What the guard could
    not let Celery read is read here, as the pump would have.
    """
    message = _unread(task, kwargs) if not args else None
    if message is None:
        positional = [_encoded(value) for value in args]
        named = {name: _encoded(value) for name, value in kwargs.items()}
        message = Message("", lambda: json.dumps([list(args), dict(kwargs), {}], default=str).encode(), task, positional, named)
    queue = told_on(reply_to)
    return message if queue is None else msgspec.structs.replace(message, told_on=queue)


def _unread(task: str, kwargs: Mapping[str, Any]) -> Message | None:
    """The message that the guard handed on as it came, if it is one."""
    unread = kwargs.get(UNREAD_BODY)
    if not isinstance(unread, str) or not kwargs.keys() <= {UNREAD_BODY, UNREAD_REASON}:
        return None
    whole = unread.encode("utf-8", "surrogatepass")
    match kwargs.get(UNREAD_REASON):
        case None:
            return called_with(whole, task)
        case [str() as reason, str() as detail] if reason in set(Reason):
            return Message("", lambda: whole, task, defect=Rejection(Reason(reason), detail))
    return None


def _named(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The arguments by name; msgspec keeps the last of two with the same one, which must not go unseen."""
    if bytes(raw) == b"{}":
        return {}
    named = _NAMED.decode(raw)
    if named and not _is_single(bytes(raw), [bytes(value) for value in named.values()]):
        _refuse_repetition(raw)
    return named


def _is_single(text: bytes, values: Sequence[bytes]) -> bool:
    """Whether the object in `text` has nothing but this one argument, plainly named: what every producer sends that names it."""
    head = _ONE_NAME.match(text)
    return len(values) == 1 and head is not None and text.startswith(values[0], head.end()) and text[head.end() + len(values[0]) :].strip() == b"}"


def _refuse_repetition(raw: bytes | msgspec.Raw) -> None:
    """Returns if the object gives no key of its own twice, whatever is in its values.

    Raises:
        Rejection: it does. It is one of the reasons of whole messages, since the message has no single event to refuse.
    """
    try:
        pairs = json.loads(bytes(raw), object_pairs_hook=tuple, parse_int=str)
    except (ValueError, RecursionError):
        return  # what it is instead, others tell
    if isinstance(pairs, tuple) and (twice := repetition(pairs)):
        raise Rejection(Reason.MALFORMED_ARGUMENTS, twice)


def _encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, default=str).encode())


def raw_events(message: Message) -> Iterator[RawEvent]:
    """The raw events of a message; of one that can't be read, a single one that carries the whole entry and the defect."""
    origin = _origin(message.queue, None if message.plain else message.task)
    try:
        if message.defect is not None and message.defect.reason is not Reason.CRASH_LOOP:
            raise message.defect
        bodies = _plain_bodies(message) if message.plain else _argument_bodies(message)
    except Rejection as defect:
        yield RawEvent(message.entry(), origin, typed_json=not message.plain, defect=message.defect or defect, told_on=message.told_on)
        return
    for body in bodies:
        yield RawEvent(body, origin, typed_json=not message.plain, defect=message.defect, told_on=message.told_on)


@lru_cache(maxsize=100)
def _origin(queue: str, task: str | None) -> str:
    return one_line(queue if task is None else f"{queue}/{task}")  # a task's name may be anything


def _plain_bodies(message: Message) -> list[bytes]:
    entry = message.entry()
    return _elements(entry) if entry.lstrip()[:1] == b"[" else [entry]


def _argument_bodies(message: Message) -> list[bytes]:
    if message.task == RECORD:
        return [bytes(_argument(message, "event"))]
    if message.task == RECORD_BATCH:
        return _elements(_argument(message, "events"))
    raise Rejection(Reason.UNKNOWN_TASK, f"no task is called {shown(message.task)}")


def _argument(message: Message, name: str) -> msgspec.Raw:
    if len(message.args) == 1 and not message.kwargs:
        return message.args[0]
    if not message.args and message.kwargs.keys() == {name}:
        return message.kwargs[name]
    given = f"{len(message.args)} positional and {shown(sorted(message.kwargs))}"
    raise Rejection(Reason.MALFORMED_ARGUMENTS, f"{message.task} takes one argument, {name} (got {given})")


def _elements(array: msgspec.Raw | bytes) -> list[bytes]:
    try:
        bodies = [bytes(body) for body in _ARRAY.decode(array)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Rejection(Reason.MALFORMED_ARGUMENTS, f"events is not an array of JSON objects: {shown(str(error))}") from None
    if len(bodies) > EVENTS_PER_MESSAGE_MAX:
        raise Rejection(Reason.TOO_MANY_EVENTS, f"{len(bodies)} events; a message holds at most {EVENTS_PER_MESSAGE_MAX}")
    return bodies
