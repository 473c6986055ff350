"""What the tests of the clients share with those of the delivery: real brokers, real workers; and a database of a caller's own."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import redis
from tollbook_client.outbox import ddl

from tests.conftest import DatabaseUrls
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import (  # noqa: F401 - fixtures
    acme,
    broker,
    broker_kind,
    broker_url,
    counts,
    environment,
    own_connections,
    producer,
    queue,
    rabbit,
    shared_rabbit,
    shared_valkey,
    start_worker,
)
from worker.intake.amqp_connection import connected

Kind = Literal["postgresql", "sqlite"]
ORDERS = "CREATE TABLE orders (event_id text PRIMARY KEY)"


class CallersDatabase:
    """A database of a caller's own, with its orders and the outbox."""

    def __init__(self, kind: Kind, url: str) -> None:
        self.kind, self.url = kind, url
        for statement in (ORDERS, *ddl(kind).split(";")[:-1]):
            self.rows(statement)

    def connect(self) -> Any:
        """A connection, whose `execute` begins a transaction."""
        return psycopg.connect(self.url) if self.kind == "postgresql" else sqlite3.connect(self.url.removeprefix("sqlite:///"))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Runs a statement in a transaction of its own."""
        with closing(self.connect()) as connection:
            done = connection.execute(statement)
            found = done.fetchall() if done.description else []
            connection.commit()
            return [tuple(row) for row in found]

    def waiting(self) -> list[dict[str, Any]]:
        """The events that are in the outbox and not set aside."""
        return [json.loads(body) for (body,) in self.rows("SELECT body FROM tollbook_outbox WHERE error IS NULL ORDER BY id")]


def sent_events(broker: Broker) -> list[dict[str, Any]]:  # noqa: F811 - not the fixture
    """Takes all events out of the broker's queue `usage`, in the order in which they came."""
    taken: list[bytes] = []
    if isinstance(broker, RabbitBroker):
        with connected(broker.url) as channel:
            while (message := channel.basic_get("usage", no_ack=True)) is not None:
                taken.append(message.body)
    else:
        with redis.Redis.from_url(broker.url) as client:
            entries: Any = client.lrange("usage", 0, -1)
            client.delete("usage")
            taken = [base64.b64decode(json.loads(entry)["body"]) for entry in reversed(entries)]
    return [event for body in taken for event in json.loads(body)[1]["events"]]


@pytest.fixture
def postgres_caller(empty_database_urls: DatabaseUrls) -> CallersDatabase:
    """A caller's own PostgreSQL database."""
    return CallersDatabase("postgresql", empty_database_urls.owner)


@pytest.fixture
def sqlite_caller(tmp_path: Path) -> CallersDatabase:
    """A caller's own SQLite database."""
    return CallersDatabase("sqlite", f"sqlite:///{tmp_path / 'caller.sqlite'}")


@pytest.fixture(params=["postgresql", "sqlite"])
def caller(request: pytest.FixtureRequest) -> CallersDatabase:
    """A caller's own database, of either kind."""
    own: CallersDatabase = request.getfixturevalue("postgres_caller" if request.param == "postgresql" else "sqlite_caller")
    return own
