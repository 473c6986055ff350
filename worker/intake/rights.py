"""What a worker's login must be allowed on Redis or Valkey, tried before the first message: a right that is missing is named at once."""

from collections.abc import Collection
from uuid import uuid4

import redis

from worker.intake.redis_source import CLAIM_PREFIX, INDEX, STARTS, lists_of

_PROBE = "tollbook.probe:"  # followed by a name of its own for each look; it is deleted, and would expire
_KEYS = (INDEX, STARTS, CLAIM_PREFIX, "tollbook.unacked", "tollbook.unacked_index", "tollbook.unacked_mutex", "tollbook.reply.")


def missing_right(client: redis.Redis, queues: Collection[str]) -> str | None:
    """The first right that the login lacks for serving these queues, in words; none: what was tried is allowed.

    Raises:
        redis.RedisError: the broker can't answer.
    """
    keys = [*lists_of(queues), *_KEYS]
    tried: list[tuple[str, tuple[str, ...]]] = [(f"the key {key!r}", ("EVAL", "return 1", "1", key)) for key in keys]
    tried += [(f"the command {command[0]}", command) for command in _commands(f"{_PROBE}{uuid4()}")]
    with client.pipeline(transaction=False) as pipeline:
        for _, command in tried:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        answers = pipeline.execute(raise_on_error=False)
    refused = (right for (right, _), answer in zip(tried, answers, strict=True) if isinstance(answer, redis.exceptions.NoPermissionError))
    return next(refused, None) or _missing_channel(client)


def _missing_channel(client: redis.Redis) -> str | None:
    """The channel of remote control, and that of Celery's events, on which nobody is listened to here."""
    number = client.get_connection_kwargs().get("db") or 0
    for channel in (f"/{number}.celery.pidbox", f"/{number}.celeryev/worker.*"):
        listening = client.pubsub()  # type: ignore[no-untyped-call]
        try:
            listening.psubscribe(channel)  # as kombu does, also without a pattern: then the ACL must name the very channel
            listening.parse_response(block=True)
        except redis.exceptions.NoPermissionError:
            return f"the channel {channel!r}"
        finally:
            listening.close()
    return None


def _commands(probe: str) -> list[tuple[str, ...]]:
    """One harmless call of each command that the pump and Celery's half use."""
    stack, fields, ranks, names = (f"{probe}:{kind}" for kind in ("list", "hash", "zset", "set"))
    commands: list[tuple[str, ...]] = [
        ("LPUSH", stack, "x"),
        ("EXPIRE", stack, "60"),
        ("RPUSH", stack, "x"),
        ("LRANGE", stack, "0", "-1"),
        ("LSET", stack, "0", "x"),
        ("LLEN", stack),
        ("LMOVE", stack, stack, "RIGHT", "LEFT"),
        ("RPOP", stack),
        ("BRPOP", stack, "1"),
        ("TYPE", stack),
        ("EXISTS", stack),
        ("HSET", fields, "x", "1"),
        ("EXPIRE", fields, "60"),
        ("HGET", fields, "x"),
        ("HINCRBY", fields, "x", "1"),
        ("HDEL", fields, "y"),
        ("ZADD", ranks, "1", "x"),
        ("EXPIRE", ranks, "60"),
        ("ZSCORE", ranks, "x"),
        ("ZCARD", ranks),
        ("ZRANGEBYSCORE", ranks, "0", "1"),
        ("ZREVRANGEBYSCORE", ranks, "1", "0"),
        ("ZREM", ranks, "y"),
        ("SADD", names, "x"),
        ("EXPIRE", names, "60"),
        ("SMEMBERS", names),
        ("SREM", names, "y"),
        ("SET", probe, "x", "NX", "EX", "60"),
        ("RENAME", probe, f"{probe}:renamed"),
        ("DEL", probe, stack, fields, ranks),
        ("UNLINK", names, f"{probe}:renamed"),
        ("TIME",),
    ]
    return commands
