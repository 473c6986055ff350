"""The queues of a RabbitMQ broker, as stock Celery producers and plain AMQP publishers fill them.

The broker keeps a message until it is acknowledged, and delivers it anew when the connection is lost; so a claim is what was
delivered and not yet acknowledged. A message that was delivered again and again is put aside into its dead-letter queue
(`usage.dead`, `usage.json.dead`), from where it is taken alone: there the broker's count of deliveries is a count of starts.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any
from uuid import uuid4

import amqp
import structlog

from core.events.envelope import QueueEntry
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, connect, connected, declare, hang_up, publish_confirmed, refusal
from worker.intake.amqp_message import copy_of, deliveries_of, entry_of
from worker.intake.source import BrokerUnavailable, Claim

log = structlog.get_logger()

REDELIVERIES_MAX = 3  # a cluster of three that is restarted node by node redelivers so often, and no message is to blame
_QUIET_SECONDS, _GATHER_SECONDS = 0.005, 0.02  # a claim is what comes without such a pause, within this time and what then is there
_ASIDE_SECONDS, _ASIDE_PAUSE_SECONDS = 2.0, 30.0  # how long putting aside may hold up a claim, and how soon again


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One message that the broker has delivered to this source, and its place on the channel."""

    tag: int
    entry: QueueEntry
    properties: bytes
    too_often: bool  # redelivered more often than restarts of the broker explain


@dataclass(frozen=True, slots=True)
class _Held:
    """The claim in hand: its tags, and the connection on which they were delivered."""

    claim_id: str
    tags: list[int]
    connection: Any


class AmqpSource:
    """Claims over some queues, on connections of its own; each thread that claims has its own source.

    Reading goes only as far as a claim may: what is delivered ahead waits in the socket, but for 64 KiB. So whatever needs the
    broker's answer is asked on another connection.

    Other threads may call `touch`, `give_back` and `backlog` meanwhile.

    Args:
        url: amqp:// or amqps://.
        queues: which are served; they and their dead-letter queues are declared.
        worker: the name in front of each claim's id.
        visibility_seconds: after this time without a sign of life the broker gives the messages to others.
        prefetch_messages: how many messages the broker delivers ahead of their acknowledgement, per queue.
        may_start: whether work can be done now; asked before a message is taken out of a dead-letter queue, where each start counts.
    """

    def __init__(
        self, url: str, queues: Collection[str], *, worker: str, visibility_seconds: float, prefetch_messages: int, may_start: Callable[[], bool]
    ) -> None:
        self._url, self._queues = url, sorted(queues)
        self._heartbeat_seconds = max(1, int(visibility_seconds / 2))
        self._prefetch_messages, self._may_start = prefetch_messages, may_start
        self._ids: Iterator[str] = (f"{worker}:{os.getpid()}:{uuid4().hex[:8]}:{n}" for n in count(1))
        self._lock = threading.RLock()
        self._consumer: Any = None  # kombu's connection, whose channel is py-amqp's
        self._alone: Any = None  # another one, for the dead-letter queues
        self._discarding = False
        self._delivered: deque[_Delivery] = deque()
        self._aside: deque[_Delivery] = deque()
        self._held: _Held | None = None
        self._tick_at = self._aside_at = 0.0
        self._was_allowed = False

    def claim(self, messages_max: int, bytes_max: int) -> Claim | None:
        """See `Source`."""
        with self._free(), self._translated():
            channel = self._consuming()
            self._was_allowed = True
            self._gather(messages_max, bytes_max)
            self._put_aside(channel)
            taken: list[_Delivery] = []
            size = 0
            while self._delivered and len(taken) < messages_max and size < bytes_max:
                taken.append(self._delivered.popleft())
                size += len(taken[-1].entry.body)
            if not taken:
                return None
            return self._hold(self._consumer, [delivery.tag for delivery in taken], [delivery.entry for delivery in taken])

    def take_over(self) -> Claim | None:
        """See `Source`: a message alone out of a dead-letter queue. The broker has counted it as delivered."""
        with self._free():
            if not self._may_start():
                return None
            with self._translated():
                self._alone = self._alone or self._connected()
                for queue in self._queues:
                    message: Any = self._alone.default_channel.basic_get(queue + DEAD_SUFFIX)
                    if message is not None:
                        told, entry = message.delivery_info, entry_of(queue, message.properties, message.body)
                        starts = deliveries_of(message.properties, redelivered=told["redelivered"])
                        return self._hold(self._alone, [told["delivery_tag"]], [entry], starts=starts)
            hang_up(self._alone)
            self._drop_alone()
            return None

    def excuse(self, claim: Claim) -> None:
        """See `Source`. Nothing to take back: work begins only while the database answers."""

    def start(self, claim: Claim) -> None:
        """See `Source`. The broker counts by itself."""

    def split(self, claim: Claim) -> None:
        """See `Source`. What is taken over is alone already."""

    def touch(self, claim: Claim) -> None:
        """See `Source`: a heartbeat."""
        with self._lock:
            if self._held is not None and self._held.claim_id == claim.id:
                with self._translated():
                    for connection in (self._consumer, self._alone):
                        if connection is not None:
                            connection.connection.send_heartbeat()

    def acknowledge(self, claim: Claim) -> None:
        """See `Source`. A claim whose connection was lost has gone back already: its messages come again, as duplicates."""
        with self._lock:
            held = self._held
            if held is None or held.claim_id != claim.id:
                return
            with self._translated():
                channel = held.connection.default_channel
                if not self._aside and not claim.taken_over:  # everything before the last one is settled
                    channel.basic_ack(held.tags[-1], multiple=True)
                else:
                    for tag in held.tags:
                        channel.basic_ack(tag)
            self._held = None

    def backlog(self) -> dict[str, int]:
        """See `Source`; on RabbitMQ the messages that wait in the dead-letter queues, and no claims, which only the broker knows."""
        with _told(), connected(self._url) as channel:
            names = [*self._queues, *(queue + DEAD_SUFFIX for queue in self._queues)]
            return {name: int(channel.queue_declare(name, passive=True).message_count) for name in names}

    def look_for_foreign(self) -> None:
        """See `Source`. RabbitMQ names its queues to its management interface alone: nothing is looked for."""

    def foreign(self) -> dict[str, int]:
        """See `Source`."""
        return {}

    def give_back(self, claim: Claim) -> None:
        """See `Source`: the broker puts back what a lost connection had."""
        with self._lock:
            if self._held is not None and self._held.claim_id == claim.id:
                self._drop()

    def close(self) -> None:
        """See `Source`: what was delivered ahead goes back as well."""
        with self._lock:
            if self._consumer is not None and self._held is None:
                self._discarding = True
                hang_up(self._consumer)
            self._drop()

    @contextmanager
    def _free(self) -> Iterator[None]:
        """Under the lock, with no claim in hand: one that was abandoned goes back, for a later acknowledgement would cover it."""
        with self._lock:
            if self._held is not None and self._held.connection is self._alone:
                self._drop_alone()
            elif self._held is not None:
                self._drop()
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """After any error the connections are dropped, and with them everything that was delivered on them."""
        try:
            with _told():
                yield
        except BaseException as error:
            self._drop()
            if not self._was_allowed and isinstance(cause := error.__cause__, amqp.AMQPError) and (refused := refusal(cause)) is not None:
                raise refused from None  # by the broker itself; later it may allow it again, and a wrong certificate is somebody else's
            raise

    def _drop(self) -> None:
        connection, self._consumer = self._consumer, None
        self._held, self._discarding = None, False
        self._delivered.clear()
        self._aside.clear()
        if connection is not None:
            connection.collect()
        self._drop_alone()

    def _drop_alone(self) -> None:
        connection, self._alone = self._alone, None
        if connection is not None:
            if self._held is not None and self._held.connection is connection:
                self._held = None
            connection.collect()

    def _connected(self) -> Any:
        connection: Any = connect(self._url, heartbeat_seconds=self._heartbeat_seconds)
        try:
            declare(connection.default_channel, [*self._queues, *(queue + DEAD_SUFFIX for queue in self._queues)])
        except ERRORS:
            connection.collect()
            raise
        return connection

    def _consuming(self) -> Any:
        """The channel on which messages are delivered."""
        if self._consumer is None:
            self._consumer = self._connected()
            self._consumer.connection.on_delivery = self._on_delivery
            self._consumer.default_channel.basic_qos(0, self._prefetch_messages, a_global=False)
            for queue in self._queues:
                self._consumer.default_channel.basic_consume(queue, consumer_tag=queue)
        if monotonic() >= self._tick_at:
            self._consumer.heartbeat_check()
            self._tick_at = monotonic() + min(1.0, self._heartbeat_seconds / 4)
        return self._consumer.default_channel

    def _on_delivery(self, queue: str, tag: int, redelivered: bool, properties: bytes, body: bytes) -> None:
        if self._discarding:
            return
        too_often = deliveries_of(properties, redelivered=redelivered) > REDELIVERIES_MAX
        self._delivered.append(_Delivery(tag, entry_of(queue, properties, body), properties, too_often))

    def _gather(self, messages_max: int, bytes_max: int) -> None:
        """Reads deliveries until there are enough for a claim, or, after a while, until none is there at once."""
        delivered, connection = self._delivered, self._consumer.connection
        size, seen, until = sum(len(delivery.entry.body) for delivery in delivered), len(delivered), monotonic() + _GATHER_SECONDS
        with connection.transport.having_timeout(_QUIET_SECONDS):
            while seen < messages_max and size < bytes_max:
                if monotonic() > until and not connection.transport.has_more():
                    return
                try:
                    connection.on_inbound_frame(connection.transport.read_frame())
                except TimeoutError:
                    return
                if len(delivered) > seen:
                    seen += 1
                    size += len(delivered[-1].entry.body)

    def _put_aside(self, channel: Any) -> None:
        """Moves what was redelivered too often into the dead-letter queues: published, confirmed, and only then acknowledged.

        Where that can't be done now (the broker's memory is full, say), it stays unacknowledged, and the others go on.
        """
        if suspects := [delivery for delivery in self._delivered if delivery.too_often]:
            self._aside.extend(suspects)
            self._delivered = deque(delivery for delivery in self._delivered if not delivery.too_often)
        if not self._aside or monotonic() < self._aside_at:
            return
        try:
            with connected(self._url) as publisher:  # of its own: the broker stops reading from one that publishes while memory is short
                publish_confirmed(
                    publisher,
                    [(one.entry.queue + DEAD_SUFFIX, copy_of(one.properties, one.entry.body)) for one in self._aside],
                    seconds=_ASIDE_SECONDS,
                )
            while self._aside:
                channel.basic_ack(self._aside.popleft().tag)
        except ERRORS as error:
            log.warning("intake.not_put_aside", messages=len(self._aside), error=f"{type(error).__name__}: {error}")
            self._aside_at = monotonic() + _ASIDE_PAUSE_SECONDS

    def _hold(self, connection: Any, tags: list[int], entries: list[QueueEntry], *, starts: int | None = None) -> Claim:
        claim = Claim(next(self._ids), entries, taken_over=starts is not None, starts=starts or 0)
        self._held = _Held(claim.id, tags, connection)
        return claim


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ERRORS as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
