"""One producer of a torture run, a process of its own: it sends until it is told to stop, and its journal knows what.

`celery` is a stock Celery client, `json` writes plain JSON into the queue `usage.json`, `client` is our client library, and `outbox` commits
events into a table of its own, from which a relay sends them. Each may be killed at any moment and started again.
"""

import argparse
import json
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import amqp
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from lab.torture.journal import Journal
from lab.torture.traffic import GARBAGE, READABLE, Message, Traffic
from worker.intake.amqp_connection import QUORUM, connected, is_amqp, publish_confirmed
from worker.intake.redis_source import connect

Way = Literal["celery", "json", "client", "outbox"]
WAYS: tuple[Way, ...] = ("celery", "json", "client", "outbox")
UNREACHABLE = (OSError, RedisError, KombuError, amqp.AMQPError)
ANSWER_SECONDS = 5.0
HOLDS_SECONDS, HOLDS_BYTES = 1.0, 20_000
OUTAGE_SECONDS = 90.0  # the client sends again and again meanwhile
Publish = Callable[[Message], bool]  # whether it is certain that the message arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a producer process is told."""

    name: str
    way: Way
    folder: str
    broker_url: str
    seed: int
    mandates: dict[str, list[str]]
    events_per_second: float
    events_max: int | None = None

    @property
    def journal(self) -> Path:
        """Where it keeps its journal."""
        return Path(self.folder) / f"{self.name}.journal"

    @property
    def open_holds(self) -> Path:
        """Where the operator writes which holds it was granted."""
        return Path(self.folder) / "holds-open.jsonl"

    @property
    def outbox(self) -> Path:
        """The database with its outbox, where it has one."""
        return Path(self.folder) / f"{self.name}.sqlite"

    def write(self) -> Path:
        """Puts the plan where the process finds it."""
        path = Path(self.folder) / f"{self.name}.plan"
        path.write_text(json.dumps(asdict(self)))
        return path


class _Holds:
    """Those that the operator was granted last; some of them are used by now, or over."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._found = path, 0.0, list[dict[str, str]]()

    def draw(self, chance: random.Random, mandate: str) -> dict[str, str] | None:
        """One of them, of a mandate's."""
        if time.monotonic() - self._read > HOLDS_SECONDS and self._path.exists():
            lines = self._path.read_bytes()[-HOLDS_BYTES:].splitlines()[1:]
            self._found, self._read = [json.loads(line) for line in lines if line.endswith(b"}")], time.monotonic()
        fitting = [hold for hold in self._found if hold["mandate_id"] == mandate]
        return chance.choice(fitting) if fitting else None


class _Stop:
    """SIGTERM and SIGINT end the loop between two messages."""

    def __init__(self) -> None:
        self.told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True


def produce(plan: Plan) -> None:
    """Sends until it is stopped, or has sent its last event; a message that isn't confirmed stays a *maybe*, and is never sent again."""
    stop = _Stop()
    garbage = GARBAGE if plan.way == "json" else READABLE if plan.way == "celery" else ()
    with Journal(plan.journal) as journal, _publisher(plan, journal) as publish:
        traffic = Traffic(plan.name, plan.seed, plan.mandates, garbage=garbage, start=journal.next * 1_000, hold=_Holds(plan.open_holds).draw)
        for message in traffic.messages():
            if stop.told or (plan.events_max is not None and journal.events >= plan.events_max):
                return
            begun = time.monotonic()
            number = journal.intend(message.kind, plan.way, message.bodies)
            if publish(message):
                journal.confirm(number)
            time.sleep(max(0.0, len(message.bodies) / plan.events_per_second - (time.monotonic() - begun)))


@contextmanager
def _publisher(plan: Plan, journal: Journal) -> Iterator[Publish]:
    match plan.way:
        case "celery":
            with Celery(plan.name, broker=plan.broker_url, set_as_current=False) as app:
                yield _by_celery(app, plan.broker_url)
        case "json":
            yield _by_amqp(plan.broker_url) if is_amqp(plan.broker_url) else _by_redis(plan.broker_url)
        case "client":
            with _client(plan.broker_url, journal) as publish:
                yield publish
        case "outbox":
            yield _by_outbox(plan.outbox)


def _by_celery(app: Celery, url: str) -> Publish:
    app.conf.broker_connection_timeout = ANSWER_SECONDS
    if is_amqp(url):
        app.conf.task_create_missing_queue_type = "quorum"
        app.conf.broker_transport_options = {"confirm_publish": True, "write_timeout": ANSWER_SECONDS, "read_timeout": ANSWER_SECONDS}
    else:
        app.conf.broker_transport_options = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}

    producers: list[Any] = []  # at most one: what half-sent bytes stand in is not used again

    def publish(message: Message) -> bool:
        events = [json.loads(body) for body in message.bodies]
        task, argument = ("usage.record", events[0]) if len(events) == 1 else ("usage.record_batch", events)
        try:
            if not producers:
                producers.append(app.amqp.Producer(app.connection_for_write()))
            app.send_task(task, args=[argument], queue="usage", ignore_result=True, retry=False, producer=producers[0])
        except UNREACHABLE:
            for producer in producers:
                producer.connection.collect()
            producers.clear()
            return False
        return True

    return publish


def _by_redis(url: str) -> Publish:
    client = connect(url)

    def publish(message: Message) -> bool:
        with suppress(RedisError):
            client.lpush("usage.json", _plain(message.bodies))
            return True
        return False

    return publish


def _by_amqp(url: str) -> Publish:
    def publish(message: Message) -> bool:
        with suppress(*UNREACHABLE), connected(url) as channel:
            channel.queue_declare("usage.json", durable=True, auto_delete=False, arguments=QUORUM)
            sent = amqp.Message(_plain(message.bodies), content_type="application/json", delivery_mode=2)
            publish_confirmed(channel, [("usage.json", sent)], seconds=ANSWER_SECONDS)
            return True
        return False

    return publish


def _plain(bodies: Sequence[str]) -> bytes:
    return (bodies[0] if len(bodies) == 1 else f"[{','.join(bodies)}]").encode()


@contextmanager
def _client(url: str, journal: Journal) -> Iterator[Publish]:
    from tollbook_client import Client, ClientError  # noqa: PLC0415 - the one producer that needs it

    failed: list[object] = []
    with Client(url, on_error=lambda events, _: failed.extend(events), ask_seconds=1.0, ask_attempts=1) as client:

        def publish(message: Message) -> bool:
            failed.clear()
            event = json.loads(message.bodies[0])
            with suppress(ClientError):  # what else producers ask, by the queue `checks`
                client.check(event["mandate_id"], event["user_id"])
                journal.answered()
            with suppress(ClientError):
                client.record_many([json.loads(body) for body in message.bodies])
                return client.flush(OUTAGE_SECONDS) and not failed
            return False

        yield publish


def _by_outbox(path: Path) -> Publish:
    from tollbook_client.outbox import add, ddl  # noqa: PLC0415 - as above

    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.executescript(ddl("sqlite"))

    def publish(message: Message) -> bool:
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            for body in message.bodies:
                add(connection, json.loads(body))
        return True  # committed: the relay owes it

    return publish


def main(arguments: Sequence[str]) -> None:
    """Runs the producer of a plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    plan: dict[str, Any] = json.loads(parser.parse_args(arguments).plan.read_text())
    produce(Plan(**plan))


if __name__ == "__main__":
    main(sys.argv[1:])
