"""The queues of a Redis or Valkey broker, as stock Celery producers and plain `LPUSH` fill them.

Keys: `tollbook.claims` (a sorted set: claim id by the time of its last sign of life), `tollbook.claims.starts` (a hash)
and `tollbook.claim:ID` (a list: queue, number, messages). An operator can read them with redis-cli.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import count
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.intake.source import BrokerUnavailable, Claim, Entry

PRIORITY_SEPARATOR = "\x06\x16"  # kombu.transport.redis.Channel.sep
PRIORITY_STEPS = (0, 3, 6, 9)  # kombu.transport.redis.PRIORITY_STEPS


def connect(url: str) -> redis.Redis:
    """A client of the broker that fails fast and never repeats a command by itself.

    Raises:
        ValueError: the URL is none of redis://, rediss:// and redis+socket://.
    """
    return redis.Redis.from_url(
        url.replace("redis+socket://", "unix://", 1),
        socket_timeout=15,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 0),
        client_name=f"tollbook-intake-{os.getpid()}",
    )


class RedisSource:
    """Claims over the lists of some queues; safe to share by threads, except `claim`, which each thread calls on its own source."""

    def __init__(self, client: redis.Redis, queues: Collection[str], *, worker: str, visibility_seconds: float, key_prefix: str = "") -> None:
        self._client = client
        self._visibility_seconds = visibility_seconds
        self._queue_of = {f"{key_prefix}{queue}{suffix}".encode(): queue for queue in sorted(queues) for suffix in _priority_suffixes()}
        self._index, self._starts = f"{key_prefix}tollbook.claims", f"{key_prefix}tollbook.claims.starts"
        self._claim_prefix = f"{key_prefix}tollbook.claim:"
        self._ids: Iterator[str] = (f"{worker}:{os.getpid()}:{uuid4().hex[:8]}:{n}" for n in count(1))
        self._next_id = next(self._ids)
        self._claim_script = _script(client, "claim")
        self._take_over_script = _script(client, "take_over")
        self._split_script = _script(client, "split")
        self._give_back_script = _script(client, "give_back")

    def claim(self, messages_max: int, bytes_max: int) -> Claim | None:
        """See `Source`. After a lost reply the next call returns the same claim again."""
        keys = [self._index, self._claim_prefix + self._next_id, *self._queue_of]
        with _translated():
            flat = self._claim_script(keys=keys, args=[self._next_id, messages_max, bytes_max])
        if not flat:
            return None
        claim = Claim(self._next_id, self._entries(flat))
        self._next_id = next(self._ids)
        return claim

    def take_over(self) -> Claim | None:
        """See `Source`."""
        with _translated():
            flat = self._take_over_script(keys=[self._index, self._starts], args=[self._visibility_seconds, self._claim_prefix])
        if not flat:
            return None
        return Claim(flat[0].decode(), self._entries(flat[2:]), taken_over=True, starts=int(flat[1]))

    def start(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._client.hincrby(self._starts, claim.id, 1)

    def split(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._split_script(keys=[self._index, self._starts], args=[claim.id, self._claim_prefix])

    def touch(self, claim_ids: Collection[str]) -> None:
        """See `Source`."""
        if claim_ids:
            with _translated():
                seconds, microseconds = self._client.time()
                self._client.zadd(self._index, dict.fromkeys(claim_ids, seconds + microseconds / 1_000_000), xx=True)

    def acknowledge(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.unlink(self._claim_prefix + claim.id)
            pipeline.zrem(self._index, claim.id)
            if claim.taken_over:
                pipeline.hdel(self._starts, claim.id)
            pipeline.execute()

    def give_back(self, claim: Claim) -> None:
        """See `Source`."""
        with _translated():
            self._give_back_script(keys=[self._index, self._starts], args=[claim.id, self._claim_prefix])

    def _entries(self, flat: Sequence[bytes]) -> list[Entry]:
        """The entries of a claim's list: queue list, number n, n messages, and so on."""
        entries: list[Entry] = []
        position = 0
        while position < len(flat):
            queue = self._queue_of.get(flat[position]) or flat[position].decode(errors="replace")
            end = position + 2 + int(flat[position + 1])
            entries += [Entry(queue, body) for body in flat[position + 2 : end]]
            position = end
        return entries


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
