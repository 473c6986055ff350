"""The two kinds of broker as tests see them: where they are, what is put into their queues, and what is left there."""

import re
from typing import Protocol

import amqp
import redis

from lab.rabbitmq import RabbitServer, amqp_message
from worker.installation import MARK
from worker.intake.amqp_connection import QUORUM, connected, publish_confirmed

QUEUES = ("usage", "usage.json", "usage.dead", "usage.json.dead", "maintenance", "checks", "views", "movements")


def acl_words(line: str) -> list[str]:
    """The words of a line of an ACL file, as ACL SETUSER takes them: what stands in brackets is one."""
    return re.findall(r"\([^)]*\)|\S+", line)


class Broker(Protocol):
    """What tests ask of either kind."""

    url: str

    def put(self, queue: str, *messages: bytes) -> None:
        """Puts messages into a queue: for `usage` in kombu's envelope, for `usage.json` as they are."""

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue, those in hand not among them."""

    def in_hand(self) -> int:
        """What is delivered and not yet acknowledged: on Redis the number of claims, on RabbitMQ that of messages."""

    def is_held_by(self, pid: int) -> bool:
        """Whether a stopped worker process has messages in hand, as far as the broker can tell."""

    def is_drained(self) -> bool:
        """Whether no usage message waits or is in hand."""

    def is_watched(self) -> bool:
        """Whether somebody listens to Celery's events."""


class RedisBroker:
    """A Redis or Valkey."""

    def __init__(self, url: str) -> None:
        self.url, self._client = url, redis.Redis.from_url(url)

    def put(self, queue: str, *messages: bytes) -> None:
        """See `Broker`."""
        self._client.lpush(queue, *messages)

    def waiting(self, queue: str) -> int:
        """See `Broker`."""
        return int(self._client.llen(queue))

    def in_hand(self) -> int:
        """See `Broker`."""
        return int(self._client.zcard("tollbook.claims"))

    def is_held_by(self, pid: int) -> bool:
        """See `Broker`."""
        claims: list[bytes] = self._client.zrange("tollbook.claims", 0, -1)  # type: ignore[assignment]
        return any(f":{pid}:".encode() in claim for claim in claims)

    def is_drained(self) -> bool:
        """See `Broker`."""
        return not any(self.waiting(name) for name in ("usage", "usage.json")) and not self.in_hand()

    def is_watched(self) -> bool:
        """See `Broker`."""
        return int(self._client.pubsub_numpat()) >= 1

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


class RabbitBroker:
    """A RabbitMQ node."""

    def __init__(self, server: RabbitServer) -> None:
        self.server, self.url = server, server.url()

    def declare(self) -> None:
        """Declares all queues, empty; the broker is nobody's."""
        with connected(self.url) as channel:
            channel.queue_delete(MARK)
            for name in QUEUES:
                channel.queue_delete(name)
                channel.queue_declare(name, durable=True, auto_delete=False, arguments=QUORUM)

    def put(self, queue: str, *messages: bytes) -> None:
        """See `Broker`."""
        with connected(self.url) as channel:
            made = (amqp_message(message) if queue == "usage" else amqp.Message(message, delivery_mode=2) for message in messages)
            publish_confirmed(channel, ((queue, message) for message in made))

    def waiting(self, queue: str) -> int:
        """See `Broker`."""
        with connected(self.url) as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def in_hand(self) -> int:
        """See `Broker`."""
        return self._counted("query_messages_checked_out")

    def is_held_by(self, pid: int) -> bool:
        """See `Broker`: some worker has; which one is not told."""
        return self.in_hand() > 0

    def is_drained(self) -> bool:
        """See `Broker`."""
        return not any(self.waiting(name) for name in QUEUES[:4]) and self._counted("query_messages_total") == 0

    def _counted(self, query: str) -> int:
        """The sum over the usage queues, asked of their leaders: what `list_queues` tells is seconds old."""
        names = ", ".join(f'"%2F_{name}"' for name in QUEUES[:4])
        asked = f"ra:leader_query({{list_to_atom(Q), node()}}, fun rabbit_fifo:{query}/1)"
        return int(self.server.control("eval", f"lists:sum([begin {{ok, {{_, N}}, _}} = {asked}, N end || Q <- [{names}]])."))

    def is_watched(self) -> bool:
        """See `Broker`."""
        return "celeryev" in self.server.control("list_consumers")
