"""The outbox: events in a table of the caller's own database, written in the caller's own transaction.

What the caller commits and what is billed are then one: an event whose transaction is rolled back is never sent, and one whose transaction
is committed is sent by the relay (`python -m tollbook_client.relay`), however often anything dies in between.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Literal

from tollbook_client.contract import EVENT_BYTES_MAX, encoded
from tollbook_client.errors import ContractError
from tollbook_client.sequence import uuid7

Dialect = Literal["postgresql", "sqlite"]
INSERT = "INSERT INTO tollbook_outbox (body) VALUES (%s)"

_KEYS = {"postgresql": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "sqlite": "integer PRIMARY KEY AUTOINCREMENT"}
_TIMES = {
    "postgresql": "timestamptz NOT NULL DEFAULT clock_timestamp()",
    "sqlite": "text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
}
_PLACES = {"qmark": "?", "format": "%s", "pyformat": "%s", "numeric_dollar": "$1"}


def ddl(dialect: Dialect = "postgresql") -> str:
    """The statements that make the table and its index; to repeat them is safe."""
    return f"""\
CREATE TABLE IF NOT EXISTS tollbook_outbox (
    id {_KEYS[dialect]},
    body text NOT NULL,
    added_at {_TIMES[dialect]},
    error text
);
CREATE INDEX IF NOT EXISTS tollbook_outbox_waiting ON tollbook_outbox (id) WHERE error IS NULL;
"""


def add(connection: Any, event: Mapping[str, Any]) -> str:
    """The event is sent if, and only if, the caller's transaction is committed; nothing is committed here.

    Args:
        connection: of psycopg, SQLAlchemy (a Connection or a Session; of asyncio's by `run_sync(add, event)`), Django, sqlite3, or another
            one with DB-API's cursors and `%s`. The table is in its database.
        event: the fields of the contract, by its names. Where `event_id` or `occurred_at` is missing, a new id or the present time is taken.

    Returns:
        The event id. Another call without one makes another event.

    Raises:
        ContractError: the event would be refused; the database was not asked, and the transaction is as it was.
    """
    whole = {"event_id": uuid7(), "occurred_at": datetime.now(timezone.utc), **{name: value for name, value in event.items() if value is not None}}
    _insert(connection, encoded(whole).decode())
    return str(whole["event_id"])


def checked(body: str) -> dict[str, Any]:
    """The fields of a row's event, which may be sent beside others.

    Raises:
        ValueError: it would be refused, or spoil those that are sent with it; the message says why.
    """
    if not isinstance(body, str):  # SQLite keeps whatever is written into a column
        raise ContractError("event", body, "is not text")
    if len(body) > EVENT_BYTES_MAX:
        raise ContractError("event", f"{len(body)} characters", f"is larger than {EVENT_BYTES_MAX} bytes")
    try:
        fields = json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        if not isinstance(fields, dict):
            raise ContractError("event", body, "is not a JSON object")
        if "usage" in fields:  # its numbers are the provider's
            fields["usage"] = json.loads(body)["usage"]
    except RecursionError:
        raise ContractError("event", "…", "is nested too deep") from None
    encoded(fields)
    return fields


def _insert(connection: Any, body: str) -> None:
    if hasattr(connection, "get_bind"):  # SQLAlchemy's Session
        connection = connection.connection()
    if hasattr(connection, "exec_driver_sql"):
        connection.exec_driver_sql(INSERT.replace("%s", _PLACES[connection.dialect.paramstyle]), (body,))
    elif isinstance(connection, sqlite3.Connection):
        connection.execute(INSERT.replace("%s", "?"), (body,))
    else:
        with closing(connection.cursor()) as cursor:
            cursor.execute(INSERT, (body,))


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def main() -> None:
    """`python -m tollbook_client.outbox ddl`: prints the statements that make the table."""
    parser = argparse.ArgumentParser(prog="python -m tollbook_client.outbox", description="The table `tollbook_outbox`.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    printed = commands.add_parser("ddl", help="print the statements that make it")
    printed.add_argument("--dialect", choices=sorted(_KEYS), default="postgresql")
    sys.stdout.write(ddl(parser.parse_args().dialect))


if __name__ == "__main__":
    main()
