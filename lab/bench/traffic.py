"""The events that benchmarks send: of 50 mandates of 20 users, of one mandate's pool, or of whomever they are told."""

import base64
import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import redis

from core.events.parsing import RawEvent

MANDATES, USERS = 50, 20
HOT_MANDATE = "hot"
EVENTS_PER_BATCH_MESSAGE = 100
_PUSHED_AT_ONCE = 1000

Member = tuple[str, str]  # mandate id, user id
Event = dict[str, Any]


def time_ordered_id() -> str:
    """A UUID of version 7: the event ids that producers are advised to use."""
    stamp = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = (stamp << 80) | (0x7 << 76) | ((noise >> 68) << 64 & 0x0FFF << 64) | (0b10 << 62) | (noise & (1 << 62) - 1)
    return str(uuid.UUID(int=value))


def random_id() -> str:
    """A UUID of version 4."""
    return str(uuid.uuid4())


def spread_members() -> Iterator[Member]:
    """One of the 50 mandates' members at random, again and again."""
    while True:
        yield f"m{random.randrange(MANDATES)}", f"u{random.randrange(USERS)}"


def hot_members() -> Iterator[Member]:
    """One of the members whose mandate has a pool, again and again."""
    while True:
        yield HOT_MANDATE, f"u{random.randrange(USERS)}"


def events(n: int, *, members: Iterator[Member] | None = None, make_id: Callable[[], str] = time_ordered_id) -> Iterator[Event]:
    """`n` events, each of the next one of `members`; by themselves spread over the 50 mandates. Nobody else is taken from `members`."""
    now = datetime.now(UTC).isoformat()
    for i, (mandate_id, user_id) in zip(range(n), members or spread_members(), strict=False):
        yield {
            "event_id": make_id(),
            "mandate_id": mandate_id,
            "user_id": user_id,
            "price_chf": f"0.{i % 1000:06}",
            "occurred_at": now,
            "provider": "anthropic",
            "model": "claude-sonnet-4",
            "feature_code": "chat",
            "usage": {"input_tokens": 1200 + i % 100, "output_tokens": 80 + i % 10},
        }


def raw_events(n: int, *, members: Iterator[Member] | None = None, make_id: Callable[[], str] = time_ordered_id) -> list[RawEvent]:
    """The same as bytes for the recorder."""
    return [RawEvent(json.dumps(event).encode(), "bench") for event in events(n, members=members, make_id=make_id)]


def fill(client: redis.Redis, kind: str, source: Iterator[Event]) -> None:
    """Puts events on the queue: `single` and `batch` as a stock Celery producer would, `plain` as JSON."""
    pending: list[bytes] = []
    queue = "usage.json" if kind == "plain" else "usage"
    for message in _messages(kind, source):
        pending.append(message)
        if len(pending) == _PUSHED_AT_ONCE:
            client.lpush(queue, *pending)
            pending.clear()
    if pending:
        client.lpush(queue, *pending)


def _messages(kind: str, source: Iterator[Event]) -> Iterator[bytes]:
    if kind == "batch":
        several: list[Event] = []
        for event in source:
            several.append(event)
            if len(several) == EVENTS_PER_BATCH_MESSAGE:
                yield celery_message("usage.record_batch", several)
                several = []
        if several:
            yield celery_message("usage.record_batch", several)
        return
    for event in source:
        yield celery_message("usage.record", event) if kind == "single" else json.dumps(event).encode()


def celery_message(task: str, argument: object) -> bytes:
    """What Celery 5.7 pushes for `send_task(task, args=[argument])`, about 1.2 kB for one event."""
    message_id = str(uuid.uuid4())
    body = json.dumps([[argument], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers: dict[str, object] = {
        "lang": "py",
        "task": task,
        "id": message_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": message_id,
        "parent_id": None,
        "argsrepr": repr((argument,))[:400],
        "kwargsrepr": "{}",
        "origin": "gen1@producer",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    envelope = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": message_id,
            "reply_to": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "usage"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(envelope).encode()
