"""Metrics of what waits in the broker, read at a scrape, so that every worker tells the same; absent while the broker can't answer."""

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import amqp
import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.clock import utc_now
from core.events.envelope import QueueEntry, open_entry
from core.events.message import raw_events
from core.recording.delivery import read_events
from core.rejection import Rejection
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, connected, is_amqp
from worker.intake.redis_source import connect, first_entries, waiting_in
from worker.intake.source import BrokerUnavailable
from worker.queue_limits import SERVED_QUEUES, USAGE_QUEUES
from worker.refreshed import EVERY_SECONDS, Refreshed

log = structlog.get_logger()


class Backlog(NamedTuple):
    """Messages that wait, by queue, and how long ago the usage that comes next happened (s), by the queue where that can be told."""

    messages: dict[str, int]
    oldest_seconds: dict[str, float]


class BrokerMetrics(Collector):
    """`tollbook_queue_messages` of every queue of ours, and `tollbook_queue_oldest_seconds` of the usage queues of Redis."""

    def __init__(self, url: str, *, every_seconds: float = EVERY_SECONDS) -> None:
        read = _amqp_reader(url) if is_amqp(url) else _RedisReader(url).read
        self._backlog = Refreshed(lambda: _told(read), every_seconds=every_seconds)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without values, so that registering them asks no broker."""
        yield from _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics as the broker has them now, or had them ten seconds ago."""
        backlog = self._backlog.latest()
        if backlog is None:
            return
        messages, oldest = _families()
        for queue, number in sorted(backlog.messages.items()):
            messages.add_metric([queue], number)
        for queue, seconds in sorted(backlog.oldest_seconds.items()):
            oldest.add_metric([queue], seconds)
        yield from (messages, oldest)


def oldest_seconds(entries: list[QueueEntry], now: datetime) -> float | None:
    """How long ago the first event of these entries happened, the longest of them; None: none of them can be read."""
    ages = []
    for entry in entries:
        try:
            first = list(islice(raw_events(open_entry(entry)), 1))
        except Rejection:
            continue
        ages += [(now - one.event.occurred_at).total_seconds() for one in read_events(first) if one.event is not None]
    return max(ages, default=None)


class _RedisReader:
    def __init__(self, url: str) -> None:
        self._client = connect(url)

    def read(self) -> Backlog:
        oldest = {}
        for queue, entries in first_entries(self._client, USAGE_QUEUES).items():
            age = oldest_seconds(entries, utc_now())
            if age is not None:
                oldest[queue] = max(0.0, age)
        return Backlog(waiting_in(self._client, SERVED_QUEUES), oldest)


def _amqp_reader(url: str) -> Callable[[], Backlog]:
    def read() -> Backlog:
        messages = {}
        with connected(url) as channel:
            for queue in (*SERVED_QUEUES, *(queue + DEAD_SUFFIX for queue in USAGE_QUEUES)):
                own = channel.connection.channel()  # the broker closes it where there is no such queue
                try:
                    messages[queue] = int(own.queue_declare(queue, passive=True).message_count)
                    own.close()
                except amqp.NotFound:
                    continue
        return Backlog(messages, {})

    return read


def _told(read: Callable[[], Backlog]) -> Backlog | None:
    try:
        return read()
    except (BrokerUnavailable, *ERRORS) as error:
        log.warning("metrics.broker_unknown", error=str(error))
        return None


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("tollbook_queue_messages", "Messages that wait in the queue.", labels=["queue"]),
        GaugeMetricFamily(
            "tollbook_queue_oldest_seconds",
            "How long ago the usage that is next in the queue happened, in seconds; on Redis and Valkey.",
            labels=["queue"],
        ),
    )
