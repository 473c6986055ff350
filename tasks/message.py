"""A message as a task's door sees it: which task it is for, and its arguments still as the bytes that came."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from core.domain.rejection import Rejection


class Message(msgspec.Struct, frozen=True):
    """One message off a queue."""

    queue: str
    entry: Callable[[], bytes]  # the whole queue entry, kept by the dead letter of a message that can't be read
    task: str
    args: Sequence[msgspec.Raw] = ()
    kwargs: Mapping[str, msgspec.Raw] = {}
    plain: bool = False  # no Celery message: the entry itself is the JSON of one event or of an array of events
    defect: Rejection | None = None  # why it can't be read


def message_of(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
    """The message that calls `task` with Python values, for a task that is run by Celery itself.

    Decimal, datetime and UUID become strings; a float becomes the shortest decimal that stands for it.
    """
    positional = [_encoded(value) for value in args]
    named = {name: _encoded(value) for name, value in kwargs.items()}
    return Message("", lambda: json.dumps([list(args), dict(kwargs), {}], default=str).encode(), task, positional, named)


def _encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, default=str).encode())
