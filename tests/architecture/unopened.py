"""What the cures lean on that leave a message unopened, and a key that is no list alone."""

from importlib import import_module
from typing import Any

import kombu
import redis
from celery.worker.request import Request
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from tests.architecture.leaned import uses


def bodies_are_opened_by_name() -> object:
    """A message opens its compressed body at its making, with the function that its module names."""
    return uses(kombu.message.Message.__init__, "decompress") and callable(import_module("kombu.compression").decompress)


def times_are_read_as_celery_does() -> object:
    """The guard reads an `expires` with the functions that Celery's request reads it with."""
    return {"maybe_iso8601", "maybe_make_aware"} <= {*Request.__init__.__code__.co_varnames}


def lists_are_waited_for() -> object:
    """What is waited for is sent by `_brpop_start`, its reply is read by `_brpop_read` with redis-py's callback, and sizes are LLENs."""
    channel: Any = kombu_redis.Channel
    poller: Any = kombu_redis.MultiChannelPoller
    made = {"send_command", "_queue_cycle", "active_queues", "priority_steps", "brpop_timeout", "_in_poll", "_brpop_sent_at"}
    names = {*channel._brpop_start.__code__.co_names}
    parsed = uses(redis.Redis.parse_response, "response_callbacks") and uses(channel._brpop_read, "parse_response")
    return made <= names and parsed and uses(virtual.Channel.queue_declare, "_size") and uses(poller._register_BRPOP, "_brpop_start")
