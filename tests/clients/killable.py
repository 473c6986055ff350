"""Does a role of the outbox again and again, killed with SIGKILL at its first statement, at its second, and so on until it gets through.

`python -m tests.clients.killable ROLE DATABASE_URL BROKER_URL`, with the roles `produce` and `relay`. Prints how often it was killed. Each
life is a forked process, so that only the first has to import anything; before it there is no connection.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
from kombu import Producer
from tollbook_client.outbox import add
from tollbook_client.relay import Relay
from tollbook_client.sequence import uuid7

from tests.sample_events import event

ORDERS_PER_LIFE, ROWS_MAX, LIVES_MAX = 2, 2, 500
_left = 0  # steps of this life


def step() -> None:
    """Dies if it is time."""
    global _left  # noqa: PLW0603 - one life, one count
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def stepped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a step before and after it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        step()
        done = function(*args, **kwargs)
        step()
        return done

    return call


class SteppedSqlite(sqlite3.Connection):
    """A connection each of whose statements is a step."""

    execute = stepped(sqlite3.Connection.execute)
    executemany = stepped(sqlite3.Connection.executemany)
    commit = stepped(sqlite3.Connection.commit)


def make_steps() -> None:
    """From here on every statement and every message is one."""
    sqlite3.connect = partial(sqlite3.connect, factory=SteppedSqlite)  # type: ignore[assignment]
    psycopg.Cursor.execute = stepped(psycopg.Cursor.execute)  # type: ignore[method-assign]
    psycopg.Connection.commit = stepped(psycopg.Connection.commit)  # type: ignore[method-assign]
    Producer.publish = stepped(Producer.publish)  # type: ignore[method-assign]


def produce(database: str, _broker: str) -> None:
    """A caller's transaction: orders, and an event for each."""
    connection: Any = psycopg.connect(database) if database.startswith("postgresql") else sqlite3.connect(database.removeprefix("sqlite:///"))
    with closing(connection):
        for _ in range(ORDERS_PER_LIFE):
            event_id = uuid7()
            connection.execute(f"INSERT INTO orders VALUES ('{event_id}')")
            add(connection, event(event_id=event_id))
            connection.commit()


def relay(database: str, broker: str) -> None:
    """Carries what is there."""
    Relay(database, broker, rows_max=ROWS_MAX).drain()


def main() -> None:
    """Lives until one life gets through."""
    global _left  # noqa: PLW0603 - as above
    role, database, broker = sys.argv[1:]
    live = {"produce": produce, "relay": relay}[role]
    make_steps()
    for steps in range(1, LIVES_MAX):
        if (pid := os.fork()) == 0:
            _left = steps
            live(database, broker)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != -signal.SIGKILL:
            sys.stdout.write(str(steps - 1))
            sys.exit(code)
    sys.exit("it never gets through")


if __name__ == "__main__":
    main()
