"""Messages that stand where no worker reads them are brought to where one does. Killed at any moment, nothing is lost.

On Redis each message is moved by the server alone, so that it is never in two lists. On RabbitMQ it is published, confirmed and only then
acknowledged: after a kill it may be in both queues, and is recorded once all the same, for its event's key is known then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import amqp
import redis

from core.errors import Misconfigured, RequestRefused
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, connected, declare, publish_confirmed, refusal
from worker.intake.amqp_message import copy_of
from worker.intake.foreign import named, queue_meant
from worker.intake.redis_source import connect
from worker.queue_limits import SERVED_QUEUES, USAGE_QUEUES

MIGRATING_SUFFIX = ".migrating"  # where a queue's messages stand while it is made anew
_AT_ONCE = 100


def adopt_list(url: str, text: str, to: str | None) -> Iterator[int]:
    """Moves the messages of a list to the end of one that the pump reads; yields how many more were moved.

    Args:
        url: redis:// or rediss://.
        text: the list, as `inspect intake` shows it.
        to: `usage` or `usage.json`; none: which of them the name means.

    Raises:
        RequestRefused: there is no such list, it is one of ours, or its name means no queue of usage.
        Misconfigured: the broker can't be asked, or refuses.
    """
    name = _name(text)
    target = _entrance(to or queue_meant(name.decode(errors="surrogateescape")), text)
    if name.decode(errors="surrogateescape") in SERVED_QUEUES or name.startswith((b"tollbook.", b"_kombu.", b"unacked")):
        raise RequestRefused(f"{text} is one of Tollbook's own, or of Celery's", field="list", value=text)
    client = connect(url)
    try:
        if client.type(name) != b"list":
            raise RequestRefused(f"there is no list {text} (inspect intake shows which there are)", field="list", value=text)
        while True:
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(_AT_ONCE):
                    pipeline.lmove(name, target, "RIGHT", "LEFT")  # type: ignore[arg-type]
                moved = sum(entry is not None for entry in pipeline.execute())
            if not moved:
                return
            yield moved
    except redis.RedisError as error:
        raise Misconfigured(f"the broker does not do it: {error}; check CELERY_BROKER_URL and the login's rights") from None
    finally:
        client.close()


def adopt_queue(url: str, name: str, to: str | None) -> Iterator[int]:
    """As `adopt_list`, for a queue of RabbitMQ: amqp:// or amqps://."""
    target = _entrance(to or queue_meant(name), name)
    if name.removesuffix(DEAD_SUFFIX) in SERVED_QUEUES:
        raise RequestRefused(
            f"{name} is one of Tollbook's own; `tollbook intake migrate {name}` makes a classic one a quorum queue", field="queue", value=name
        )
    with _translated(url) as channel:
        declare(channel, [target])
        yield from _moved(url, name, target)


def migrate(url: str, name: str) -> Iterator[int]:
    """Makes a queue of ours that was declared in another way a quorum queue, with its messages; yields how many more were moved.

    Where it is one already, it brings back what an interrupted migration has left aside.

    Raises:
        RequestRefused: it is none of Tollbook's queues, somebody consumes it, or messages keep coming.
        Misconfigured: the broker can't be asked, or refuses.
    """
    if name.removesuffix(DEAD_SUFFIX) not in SERVED_QUEUES:
        raise RequestRefused(f"{name} is none of Tollbook's ({', '.join(sorted(SERVED_QUEUES))})", field="queue", value=name)
    aside = name + MIGRATING_SUFFIX
    with _translated(url) as channel:
        channel.queue_declare(aside, durable=True, auto_delete=False)  # a classic one: only such may be deleted under the condition that it is empty
    while not _is_quorum(url, name):
        yield from _moved(url, name, aside)
        with _translated(url) as channel:
            try:
                channel.queue_delete(name, if_empty=True, if_unused=True)
            except amqp.PreconditionFailed as error:
                if "in use" in str(error.reply_text):
                    raise RequestRefused(f"{name} has consumers; stop them first ({error.reply_text})", field="queue", value=name) from None
                continue  # a message came meanwhile
            except amqp.NotFound:
                pass
    yield from _moved(url, aside, name)
    with _translated(url) as channel:
        channel.queue_delete(aside, if_empty=True)


def _is_quorum(url: str, name: str) -> bool:
    """Whether the queue is as we declare it; where there is none, it is declared."""
    try:
        with connected(url) as channel:
            declare(channel, [name])
    except amqp.PreconditionFailed:
        return False
    except ERRORS as error:
        raise _told(error) from None
    return True


def _moved(url: str, source: str, target: str) -> Iterator[int]:
    with _translated(url) as channel, _translated(url) as publisher:
        while True:
            taken: list[Any] = []
            while len(taken) < _AT_ONCE and (message := channel.basic_get(source)) is not None:
                taken.append(message)
            if not taken:
                return
            publish_confirmed(publisher, [(target, copy_of(message.properties, message.body)) for message in taken])
            channel.basic_ack(taken[-1].delivery_info["delivery_tag"], multiple=True)
            yield len(taken)


def _name(text: str) -> bytes:
    try:
        return named(text)
    except ValueError:
        raise RequestRefused(f"{text} holds an escape that is none", field="list", value=text) from None


def _entrance(target: str | None, name: str) -> str:
    if target not in USAGE_QUEUES:
        raise RequestRefused(f"{name} names neither usage nor usage.json; say where its messages belong (--to)", field="to", value=name)
    return target


@contextmanager
def _translated(url: str) -> Iterator[Any]:
    """A channel of a connection of its own.

    Raises:
        RequestRefused: a queue that is named doesn't exist.
        Misconfigured: the broker can't be asked, or refuses.
    """
    try:
        with connected(url) as channel:
            yield channel
    except amqp.NotFound as error:
        raise RequestRefused(f"{error.reply_text}", field="queue") from None
    except ERRORS as error:
        raise _told(error) from None


def _told(error: Exception) -> Misconfigured:
    return refusal(error) or Misconfigured(f"the broker can't be asked: {type(error).__name__}: {error}")
