"""How a relay takes rows out of the outbox: claimed by one relay at a time, and free again the moment that it dies."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from tollbook_client.logins import refuse_raw_password

BUSY_SECONDS = 15.0

_CLAIM = """
SELECT id, body FROM tollbook_outbox WHERE error IS NULL ORDER BY id LIMIT {0}"""
_DELETE = "DELETE FROM tollbook_outbox WHERE id = {0}"
_SET_ASIDE = "UPDATE tollbook_outbox SET error = {0} WHERE id = {0}"


class Row(NamedTuple):
    """A row of the outbox; `body` is the JSON of its event."""

    id: int
    body: str


class Store(Protocol):
    """The outbox of one database, as one relay sees it."""

    errors: tuple[type[Exception], ...]

    def claim(self, rows_max: int) -> list[Row]:
        """The oldest rows that nobody has, ours until `finish` or `give_back`; none where other relays have them all."""

    def finish(self, sent: Sequence[int], refused: Mapping[int, str]) -> None:
        """Deletes what was sent and sets aside what was refused, with its reason; both or neither."""

    def give_back(self) -> None:
        """The claimed rows are free again, as they were. Never raises."""

    def close(self) -> None:
        """Gives back, and ends the connection; the next `claim` makes another. Never raises."""


class PostgresStore:
    """An outbox in PostgreSQL. A claim is the lock of its rows in a transaction, which ends with its connection.

    Any number of relays work side by side, each on rows of its own.

    Args:
        url: of the database, as libpq takes it.
    """

    def __init__(self, url: str) -> None:
        import psycopg  # noqa: PLC0415 - whoever has SQLite needn't install it

        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self._url, self._psycopg = url, psycopg
        self._connection: Any = None

    def claim(self, rows_max: int) -> list[Row]:
        """See `Store`."""
        if self._connection is None:
            self._connection = self._psycopg.connect(
                self._url,
                application_name="tollbook-relay",
                connect_timeout=5,
                tcp_user_timeout=int(BUSY_SECONDS * 1000),
                prepare_threshold=None,  # a pooler may give each transaction another session
            )
        claimed = self._connection.execute(_CLAIM.format("%s") + " FOR UPDATE SKIP LOCKED", (rows_max,))
        return [Row(*row) for row in claimed.fetchall()]

    def finish(self, sent: Sequence[int], refused: Mapping[int, str]) -> None:
        """See `Store`."""
        if sent:
            self._connection.execute("DELETE FROM tollbook_outbox WHERE id = ANY(%s)", (list(sent),))
        for row, error in refused.items():
            self._connection.execute(_SET_ASIDE.format("%s"), (error, row))
        self._connection.commit()

    def give_back(self) -> None:
        """See `Store`."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except self.errors:
            self.close()

    def close(self) -> None:
        """See `Store`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self.errors):
                connection.close()


class SqliteStore:
    """An outbox in SQLite. One relay at a time has all rows: whoever holds the file `FILE-relay`, until its process ends.

    The database itself is locked for no longer than it takes to delete, so a broker that hangs holds nobody up.

    Args:
        path: of the database's file, which exists.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._turn: sqlite3.Connection | None = None

    def claim(self, rows_max: int) -> list[Row]:
        """See `Store`."""
        if not self._has_turn():
            return []
        claimed = self._opened().execute(_CLAIM.format("?"), (rows_max,))
        return [Row(*row) for row in claimed.fetchall()]

    def finish(self, sent: Sequence[int], refused: Mapping[int, str]) -> None:
        """See `Store`."""
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_DELETE.format("?"), [(row,) for row in sent])
            connection.executemany(_SET_ASIDE.format("?"), [(error, row) for row, error in refused.items()])
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def give_back(self) -> None:
        """See `Store`: another relay may have the next turn."""
        turn, self._turn = self._turn, None
        if turn is not None:
            with suppress(sqlite3.Error):
                turn.close()

    def close(self) -> None:
        """See `Store`."""
        self.give_back()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _has_turn(self) -> bool:
        if self._turn is not None:
            return True
        turn = sqlite3.connect(f"{self._path}-relay", isolation_level=None, timeout=0, check_same_thread=False)
        try:
            turn.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            turn.close()
            if "locked" in str(error):
                return False
            raise
        self._turn = turn
        return True

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"file:{self._path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
            self._connection.text_factory = _text
        return self._connection


def _text(value: bytes) -> str:
    """Where it is no UTF-8, with surrogates, which no event may have: the row is set aside, and doesn't keep others from being read."""
    return value.decode(errors="surrogateescape")


def store_of(url: str) -> Store:
    """The outbox in the database of a URL.

    Args:
        url: postgresql://…, also with a driver behind a plus sign; sqlite:///relative/path or sqlite:////absolute/path.

    Raises:
        ValueError: it names no database that is served, or holds a password as it is.
        ImportError: psycopg is not installed.
    """
    scheme, _, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        refuse_raw_password(url, "the database's URL", at_signs=1)
        return PostgresStore(f"postgresql://{rest}")
    if kind == "sqlite" and len(rest) > 1 and rest.startswith("/") and ":memory:" not in rest:
        return SqliteStore(unquote(rest[1:].partition("?")[0]))
    raise ValueError("the database's URL is postgresql://…, sqlite:///relative/path or sqlite:////absolute/path")
