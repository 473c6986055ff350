"""What workers, beat and the broker answer now, for whoever looks from outside: with short limits, and nothing is changed."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import amqp

from core.errors import Misconfigured, StorageUnavailable
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, connected, is_amqp, refusal
from worker.intake.foreign import ForeignLists
from worker.intake.redis_source import RedisSource, connect, lists_of
from worker.intake.source import BrokerUnavailable
from worker.queue_limits import SERVED_QUEUES, USAGE_QUEUES

ANSWER_SECONDS = 1.0
_BEAT = "celerybeat@"


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What one worker says of its intake. `rate` in events per second; version and revision are empty of releases that don't tell."""

    name: str
    states: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    held: int = 0
    rate: float = 0.0
    last_error: str = ""
    version: str = ""
    revision: str = ""
    foreign: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answered: workers, and beats by name."""

    workers: list[WorkerAnswer]
    beats: list[str]


def ask_everybody(seconds: float = ANSWER_SECONDS) -> Answers:
    """The workers and beats that answer within so many seconds; a broker that is away takes some more.

    Raises:
        StorageUnavailable: the broker can't be asked now.
    """
    found: dict[str, dict[str, Any] | Exception] = {}
    asking = [threading.Thread(target=_ask, args=(command, seconds, found), daemon=True) for command in ("intake", "ping")]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(seconds * 2 + 10)
    for command in ("intake", "ping"):
        failed = found.get(command)
        if not isinstance(failed, Mapping):
            raise StorageUnavailable(f"the broker carries no question: {failed or 'no answer'}")
    said, nodes = found["intake"], found["ping"]
    assert isinstance(said, Mapping)
    assert isinstance(nodes, Mapping)
    names = sorted({*said, *(name for name in nodes if not name.startswith(_BEAT))})
    return Answers([_worker(name, said.get(name) or {}) for name in names], sorted(name for name in nodes if name.startswith(_BEAT)))


def _ask(command: str, seconds: float, found: dict[str, dict[str, Any] | Exception]) -> None:
    try:
        from worker.app import app  # noqa: PLC0415 - reads the configuration, which commands complete first

        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            replies = app.control.broadcast(command, reply=True, timeout=seconds, connection=connection) or []
        found[command] = {name: said for reply in replies for name, said in reply.items()}
    except Exception as failure:  # noqa: BLE001 - whatever a broker's client raises: it can't be asked
        found[command] = failure
    except SystemExit:  # celeryconfig.py refuses the configuration, and has said why
        found[command] = Misconfigured("the configuration can't be used")


def _worker(name: str, said: Mapping[str, Any]) -> WorkerAnswer:
    foreign = said.get("foreign")
    return WorkerAnswer(
        name,
        [str(state) for state in said.get("state", ())],
        [str(queue) for queue in said.get("queues", ())],
        int(said.get("held", 0)),
        float(said.get("rate", 0.0)),
        str(said.get("last_error", "")),
        str(said.get("version", "")),
        str(said.get("revision", "")),
        {str(one): int(n) for one, n in foreign.items()} if isinstance(foreign, Mapping) else {},
    )


def backlog_of(url: str) -> dict[str, int]:
    """Messages that wait, by queue; on Redis also `claims`: how many are in the hands of pumps. On RabbitMQ without queues that don't exist.

    Raises:
        StorageUnavailable: the broker can't be asked now. Misconfigured: it refuses.
    """
    if is_amqp(url):
        return _backlog_of_rabbitmq(url)
    client = connect(url)
    try:
        return RedisSource(client, SERVED_QUEUES, worker="status", visibility_seconds=60.0).backlog()
    except BrokerUnavailable as error:
        raise StorageUnavailable(str(error)) from error
    finally:
        client.close()


def _backlog_of_rabbitmq(url: str) -> dict[str, int]:
    waiting: dict[str, int] = {}
    try:
        with connected(url) as channel:
            for queue in (*sorted(SERVED_QUEUES), *(queue + DEAD_SUFFIX for queue in USAGE_QUEUES)):
                one = channel.connection.channel()  # which the broker closes where there is no such queue
                with suppress(amqp.NotFound):
                    waiting[queue] = int(one.queue_declare(queue, passive=True).message_count)
                    one.close()
    except ERRORS as error:
        raise refusal(error) or StorageUnavailable(f"{type(error).__name__}: {error}") from error
    return waiting


def foreign_lists(url: str, *, seconds: float, clock: Callable[[], float] = monotonic) -> tuple[dict[str, int], bool]:
    """Lists of Redis that look like ours and that nobody reads, with how much waits in each, and whether all keys were gone through.

    RabbitMQ names its queues to its management interface alone: nothing is looked for.

    Args:
        url: the broker's.
        seconds: how long to look at most.
        clock: in seconds.

    Raises:
        redis.RedisError: the broker can't answer, or its login may not look.
    """
    if is_amqp(url):
        return {}, True
    client, until = connect(url), clock() + seconds
    try:
        lists = ForeignLists(client, lists_of(SERVED_QUEUES))
        lists.look()
        while not lists.has_seen_all and clock() < until:
            lists.look()
        return lists.found, lists.has_seen_all
    finally:
        client.close()
