"""Usage events as the Celery messages that the worker reads, made without Celery."""

import json
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

USAGE, CHECKS = "usage", "checks"
QUEUES = frozenset({USAGE, CHECKS})
BATCH_EVENTS_MAX = 1000
BATCH_BYTES_MAX = 768 * 1024  # of events in one message, which the worker takes up to 1 MiB


class EventTooLarge(ValueError):
    """An event is longer than a message may be; nothing was sent.

    Attributes:
        index: its place among those that were given.
    """

    def __init__(self, index: int, size: int) -> None:
        super().__init__(f"event {index} has {size} bytes; at most {BATCH_BYTES_MAX} are taken. Leave out what is not needed")
        self.index = index


@dataclass(frozen=True)
class Message:
    """A Celery message: `headers` and `body` as protocol 2 has them."""

    queue: str
    body: bytes
    headers: dict[str, Any]
    events: int = 0
    id: str = field(default="")


def task_message(queue: str, task: str, kwargs: bytes, *, events: int = 0) -> Message:
    """A message that has `task` called with the JSON object `kwargs`.

    Raises:
        ValueError: no worker serves the queue.
    """
    if queue not in QUEUES:
        raise ValueError(f"queue {queue!r} is none that producers send to; there are {', '.join(sorted(QUEUES))}")
    message_id = str(uuid.uuid4())
    headers = {
        "lang": "py",
        "task": task,
        "id": message_id,
        "root_id": message_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "()",
        "kwargsrepr": "(...)",  # not every event a second time, among the headers
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
    }
    callbacks = b'{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
    return Message(queue, b"[[]," + kwargs + b"," + callbacks + b"]", headers, events, message_id)


def batches(bodies: Sequence[bytes]) -> Iterator[Message]:
    """The fewest messages `usage.record_batch` that hold these events in their order; each body is the JSON of one.

    Raises:
        EventTooLarge: one has no room in a message of its own; raised before the first message.
    """
    for index, body in enumerate(bodies):
        if len(body) > BATCH_BYTES_MAX:
            raise EventTooLarge(index, len(body))
    return _batches(bodies)


def _batches(bodies: Sequence[bytes]) -> Iterator[Message]:
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == BATCH_EVENTS_MAX or size + len(body) + 1 > BATCH_BYTES_MAX):
            yield _batch(batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body) + 1
    if batch:
        yield _batch(batch)


def _batch(bodies: list[bytes]) -> Message:
    return task_message(USAGE, "usage.record_batch", b'{"events":[' + b",".join(bodies) + b"]}", events=len(bodies))


def compact_json(value: object) -> bytes:
    """`value` as JSON without spaces.

    Raises:
        ValueError: it has a NaN or an infinity, which JSON has not.
        TypeError: it has something that JSON has not.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
