"""The queues of a Redis or Valkey broker, as stock Celery producers and plain `LPUSH` fill them.

Keys: `tollbook.claims` (a sorted set: claim id by the time of its last sign of life), `tollbook.claims.starts` (a hash)
and `tollbook.claim:ID` (a list: queue, number, messages). An operator can read them with redis-cli.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import count
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.events.envelope import QueueEntry
from worker.intake.foreign import ForeignLists
from worker.intake.source import BrokerUnavailable, Claim
from worker.queue_limits import SERVED_QUEUES
from worker.tls import TlsConnection, uses_tls

PRIORITY_SEPARATOR = "\x06\x16"  # kombu.transport.redis.Channel.sep
PRIORITY_STEPS = tuple(range(10))  # kombu's own are 0, 3, 6 and 9, but a producer may set any of them (`priority_steps`)
INDEX, STARTS, CLAIM_PREFIX = "tollbook.claims", "tollbook.claims.starts", "tollbook.claim:"


def connect(url: str) -> redis.Redis:
    """A client of the broker that fails fast and never repeats a command by itself.

    Raises:
        ValueError: the URL is none of redis://, rediss:// and redis+socket://.
    """
    socket = url.startswith("redis+socket://")
    if socket:  # as kombu writes it, and as redis-py does
        url = url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=")
    return redis.Redis.from_url(
        url,
        socket_timeout=15,
        socket_connect_timeout=5,
        **({} if socket else {"socket_keepalive": True}),
        health_check_interval=10,
        retry=Retry(NoBackoff(), 0),
        client_name=f"tollbook-intake-{os.getpid()}",
        **({"connection_class": TlsConnection} if uses_tls(url) else {}),
    )


class RedisSource:
    """Claims over the lists of some queues; safe to share by threads, except `claim`, which each thread calls on its own source."""

    def __init__(self, client: redis.Redis, queues: Collection[str], *, worker: str, visibility_seconds: float) -> None:
        self._client = client
        self._visibility_seconds = visibility_seconds
        self._queues, self._lists = queues, lists_of(queues)
        self._foreign = ForeignLists(client, lists_of(SERVED_QUEUES))
        self._ids: Iterator[str] = (f"{worker}:{os.getpid()}:{uuid4().hex[:8]}:{n}" for n in count(1))
        self._next_id = next(self._ids)
        self._claim_script = _script(client, "claim")
        self._take_over_script = _script(client, "take_over")
        self._touch_script = _script(client, "touch")
        self._split_script = _script(client, "split")
        self._give_back_script = _script(client, "give_back")

    def claim(self, messages_max: int, bytes_max: int) -> Claim | None:
        """See `Source`. After a lost reply the next call returns the same claim again."""
        with _translated():
            flat = self._claim_script(keys=[INDEX, CLAIM_PREFIX + self._next_id, *self._lists], args=[self._next_id, messages_max, bytes_max])
        if not flat:
            return None
        claim_id, self._next_id = self._next_id, next(self._ids)
        return Claim(claim_id, _entries(flat))

    def take_over(self) -> Claim | None:
        """See `Source`."""
        claim_id = next(self._ids)
        with _translated():
            flat = self._take_over_script(keys=[INDEX, STARTS], args=[self._visibility_seconds, claim_id, CLAIM_PREFIX])
        return Claim(claim_id, _entries(flat[1:]), taken_over=True, starts=int(flat[0])) if flat else None

    def excuse(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._client.hincrby(STARTS, claim.id, -1)

    def start(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._client.hincrby(STARTS, claim.id, 1)

    def split(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._split_script(keys=[INDEX, STARTS], args=[claim.id, CLAIM_PREFIX])

    def touch(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._touch_script(keys=[INDEX, STARTS], args=[claim.id])

    def acknowledge(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.unlink(CLAIM_PREFIX + claim.id)
            pipeline.zrem(INDEX, claim.id)
            pipeline.hdel(STARTS, claim.id)
            pipeline.execute()

    def backlog(self) -> dict[str, int]:
        """See `Source`."""
        waiting = waiting_in(self._client, self._queues)
        with _translated():
            return {**waiting, "claims": int(self._client.zcard(INDEX))}

    def foreign(self) -> dict[str, int]:
        """See `Source`."""
        return self._foreign.found

    def look_for_foreign(self) -> None:
        """See `Source`."""
        with _translated():
            self._foreign.look()

    def give_back(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._give_back_script(keys=[INDEX, STARTS], args=[claim.id, CLAIM_PREFIX])

    def close(self) -> None:
        """See `Source`. Nothing is taken ahead, and the connections are shared."""


def waiting_in(client: redis.Redis, queues: Collection[str]) -> dict[str, int]:
    """Messages that wait in each of these queues, whatever their priority.

    Raises:
        BrokerUnavailable: the broker can't answer.
    """
    names = lists_of(queues)
    with _translated(), client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(name)
        lengths = pipeline.execute(raise_on_error=False)
    waiting: Counter[str] = Counter()
    for name, length in zip(names, lengths, strict=True):
        if isinstance(length, redis.RedisError) and not isinstance(length, redis.ResponseError):
            raise BrokerUnavailable(f"{type(length).__name__}: {length}")
        waiting[name.split(PRIORITY_SEPARATOR)[0]] += length if isinstance(length, int) else 0  # no list: nothing waits in it
    return dict(waiting)


def first_entries(client: redis.Redis, queues: Collection[str]) -> dict[str, list[QueueEntry]]:
    """Of each of these queues what comes next out of it: one entry for each priority that has any. Nothing is taken.

    Raises:
        BrokerUnavailable: the broker can't answer.
    """
    names = lists_of(queues)
    with _translated(), client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.lindex(name, -1)
        found = pipeline.execute(raise_on_error=False)
    first: dict[str, list[QueueEntry]] = {}
    for name, body in zip(names, found, strict=True):
        if isinstance(body, bytes):
            queue = name.split(PRIORITY_SEPARATOR)[0]
            first.setdefault(queue, []).append(QueueEntry(queue, body))
    return first


def _entries(flat: Sequence[bytes]) -> list[QueueEntry]:
    """The entries of a claim's list: queue list, number n, n messages, and so on.

    Raises:
        BrokerUnavailable: the list is not of that form, so that no worker of ours has written it.
    """
    entries: list[QueueEntry] = []
    position = 0
    while position < len(flat):
        try:
            queue = flat[position].decode().split(PRIORITY_SEPARATOR)[0]
            end = position + 2 + int(flat[position + 1])
        except (ValueError, IndexError):
            raise BrokerUnavailable(f"a claim holds {flat[position][:80]!r} where a queue and a number should be") from None
        entries += [QueueEntry(queue, body) for body in flat[position + 2 : end]]
        position = max(end, position + 2)
    return entries


def lists_of(queues: Collection[str]) -> list[str]:
    """The lists of some queues: one for each step of priority."""
    return [f"{queue}{suffix}" for queue in sorted(queues) for suffix in _priority_suffixes()]


def _priority_suffixes() -> list[str]:
    """What kombu appends to a queue's name for each step of priority; it serves the first step first."""
    return [f"{PRIORITY_SEPARATOR}{step}" if step else "" for step in PRIORITY_STEPS]


def _script(client: redis.Redis, name: str) -> Callable[..., Any]:
    return client.register_script((files("worker.intake") / "lua" / f"{name}.lua").read_text(encoding="utf-8"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
