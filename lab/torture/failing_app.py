"""The worker's app, with the points at which it may kill itself. With TORTURE_BROKER_TIMEOUT it waits for the broker so many seconds only."""

import os
from typing import Any

import redis

from lab.torture import points
from tasks import usage
from worker.app import app
from worker.intake.amqp_source import AmqpSource
from worker.intake.redis_source import RedisSource

__all__ = ["app"]

# The points amid scheduled work: the function, and the modules that call it by this name.
WORK = {
    "mid_rollup": ("roll_up_usage", ("tasks.rollup", "core.statistics.close_day")),
    "mid_release": ("release_all_parked", ("tasks.parked", "tasks.directory")),
    "mid_sweep": ("expire_holds", ("tasks.holds",)),
    "mid_merge": ("merge_producers", ("tasks.producers",)),
}
BROKER_TIMEOUT = float(os.environ.get("TORTURE_BROKER_TIMEOUT", "0"))
_from_url = redis.Redis.from_url


def from_url(url: str, **options: Any) -> redis.Redis:
    """As the real one, but less patient."""
    return _from_url(url, **options | {"socket_timeout": BROKER_TIMEOUT})


if BROKER_TIMEOUT:
    redis.Redis.from_url = from_url  # type: ignore[method-assign]
usage.UsageDoor.handle = staticmethod(points.followed("after_commit", points.watched("batch", usage.UsageDoor.handle)))
for source in (RedisSource, AmqpSource):
    for name, point in (("claim", "after_claim"), ("take_over", "mid_takeover")):
        setattr(source, name, points.followed(point, getattr(source, name)))
points.install(WORK)
