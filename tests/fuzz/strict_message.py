"""Readers of queue entries for comparison, on the standard library alone.

One takes only what nobody can mistake; the other takes whatever could be a message at all. What the product finds must lie between: all that
the first finds, nothing that the second doesn't.
"""

import base64
import binascii
import json
import re
from typing import Any

from tests.events.strict_json import Refused
from tests.fuzz.strict_event import read_json

_MESSAGE_BYTES, _ENTRY_BYTES, _EVENTS_MOST, _LEVELS = 1024 * 1024, 1024 * 1024 * 4 // 3 + 64 * 1024, 1_000, 40
_ARGUMENTS = {"usage.record": "event", "usage.record_batch": "events"}
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class Pairs(list[tuple[str, Any]]):
    """The fields of an object, in the order in which they came."""

    def last(self, name: str, default: Any = None) -> Any:
        """The last value under the name, as most decoders take it."""
        return dict(self).get(name, default)


def loosely(text: bytes) -> Any:
    """The value of what may be JSON: numbers as text, objects as `Pairs`.

    Raises:
        Refused: no decoder would take it.
    """
    try:
        return json.loads(text.decode(errors="surrogateescape"), object_pairs_hook=Pairs, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refused from None


def events_in(entry: bytes, *, plain: bool, strict: bool) -> list[Any] | None:
    """The events in a queue entry, as `loosely` gives them; none: it is no message.

    Args:
        entry: the bytes.
        plain: whether it comes from the queue of plain JSON.
        strict: which of the two readers.
    """
    try:
        if plain:
            return _plain(entry, strict=strict)
        task, body = _opened(entry, strict=strict)
        _size(len(body), _MESSAGE_BYTES)
        called = _unambiguous(body, strict=strict)
        return _bodies(*(_of_protocol_1(called) if task is None else _of_protocol_2(task, called)))
    except Refused:
        return None


def _plain(entry: bytes, *, strict: bool) -> list[Any]:
    _size(len(entry), _MESSAGE_BYTES)
    if entry.lstrip(b" \t\n\r\x0b\x0c")[:1] != b"[":
        return [entry]  # by itself, whatever it is
    return _elements(_unambiguous(entry, strict=strict))


def _unambiguous(text: bytes, *, strict: bool) -> Any:
    if strict:
        read_json(text, _LEVELS)
        if _HALF_A_PAIR.search(text.decode()):
            raise Refused
    return loosely(text)


def _opened(entry: bytes, *, strict: bool) -> tuple[str | None, bytes]:
    _size(len(entry), _ENTRY_BYTES)
    envelope = _fields(_unambiguous(entry, strict=strict))
    headers, properties = _fields(envelope.last("headers", Pairs())), _fields(envelope.last("properties", Pairs()))
    content_type, encoding = envelope.last("content-type", "application/json"), envelope.last("content-encoding", "utf-8") or "utf-8"
    if not isinstance(content_type, str) or content_type.lower() != "application/json":
        raise Refused
    if not isinstance(encoding, str) or encoding.lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise Refused
    task, body, coding = headers.last("task"), envelope.last("body"), properties.last("body_encoding")
    if strict and not isinstance(properties.last("reply_to", ""), str | None):
        raise Refused
    if headers.last("compression") or not isinstance(body, str) or not (task is None or isinstance(task, str)):
        raise Refused
    if coding == "base64":
        try:
            return task, base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Refused from None
    if coding not in (None, "", "utf-8"):
        raise Refused
    return task, body.encode("utf-8", "surrogatepass")


def _of_protocol_1(called: Any) -> tuple[Any, Any, Any]:
    fields = _once(called)
    return fields.last("task"), fields.last("args", []), fields.last("kwargs", Pairs())


def _of_protocol_2(task: str, called: Any) -> tuple[Any, Any, Any]:
    if not isinstance(called, list) or isinstance(called, Pairs) or len(called) != 3:
        raise Refused
    return task, called[0], called[1]


def _bodies(task: Any, args: Any, kwargs: Any) -> list[Any]:
    if not isinstance(args, list) or isinstance(args, Pairs) or not isinstance(task, str) or task not in _ARGUMENTS:
        raise Refused
    named = _once(kwargs)
    name = _ARGUMENTS[task]
    if len(args) == 1 and not named:
        (argument,) = args
    elif not args and [key for key, _ in named] == [name]:
        argument = named.last(name)
    else:
        raise Refused
    return [argument] if name == "event" else _elements(argument)


def _elements(value: Any) -> list[Any]:
    if not isinstance(value, list) or isinstance(value, Pairs):
        raise Refused
    _size(len(value), _EVENTS_MOST)
    return value


def _fields(value: Any) -> Pairs:
    if not isinstance(value, Pairs):
        raise Refused
    return value


def _once(value: Any) -> Pairs:
    fields = _fields(value)
    if len(dict(fields)) != len(fields):
        raise Refused
    return fields


def _size(size: int, most: int) -> None:
    if size > most:
        raise Refused


def _refuse(_: str) -> None:
    raise Refused
