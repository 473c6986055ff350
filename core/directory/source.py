"""The application's database as the source of the directory: three SELECTs, read as one moment, in bounded memory and time.

Their rows come as the text of COPY, with the columns picked by name and cast there, so that they go on to the mirror's
database without being taken apart here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from core.config import Configuration, variable_name
from core.database.answers import ImpatientConnection
from core.database.urls import connection_parameters
from core.errors import Misconfigured, StorageUnavailable, TollbookError

_UNAVAILABLE = ("08", "53", "55", "57", "58", "40")  # connection, resources, locks, shutdown and timeout, I/O, rollback
_CONNECT_SECONDS_MAX = 10
_ANSWER_MARGIN_SECONDS = 5.0  # beyond the statement's time limit, when PostgreSQL itself would have answered


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One of the three SELECTs: the table of the mirror that it fills, the columns that it must give, with their types, and its key."""

    name: str
    columns: dict[str, str]
    keys: tuple[str, ...]

    @property
    def field(self) -> str:
        """The field of the configuration that has the SELECT."""
        return f"directory_{self.name}_select"

    @property
    def variable(self) -> str:
        """The environment variable that sets the SELECT."""
        return variable_name(self.field)


MANDATES = Part("mandates", {"id": "text", "name": "text", "label": "text", "enabled": "boolean", "time_zone": "text"}, ("id",))
MEMBERSHIPS = Part("memberships", {"user_id": "text", "mandate_id": "text", "enabled": "boolean"}, ("mandate_id", "user_id"))
USERS = Part("users", {"id": "text", "username": "text", "display_name": "text"}, ("id",))


class DirectorySource:
    """One read-only transaction in the application's database."""

    def __init__(self, connection: psycopg.Connection[object], config: Configuration) -> None:
        self._connection, self._config = connection, config
        self._deadline = monotonic() + config.directory_timeout_seconds

    def rows(self, part: Part) -> Iterator[bytes]:
        """The rows that the part's SELECT gives, as blocks of COPY's text format.

        Raises:
            Misconfigured: the SELECT is wrong: the message names its variable, and the column that is missing.
            StorageUnavailable: the source has gone, or takes too long.
        """
        statement = f"COPY ({self._select(part)}) TO STDOUT"
        with self._answering(part), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for block in copy:
                self._check_time()
                yield bytes(block)

    def try_out(self, part: Part) -> None:
        """Returns if the part's SELECT can be run; no row of it is read. Raises as `rows`."""
        with self._answering(part):
            self._connection.execute(f"{self._select(part)} LIMIT 0".encode())

    def _select(self, part: Part) -> str:
        picked = ", ".join(f"CAST(answer.{column} AS {kind})" for column, kind in part.columns.items())
        select = str(getattr(self._config, part.field)).strip().rstrip(";")
        return f"SELECT {picked} FROM (\n{select}\n) AS answer"

    def begin(self) -> None:
        """Fixes the limits of the transaction: it reads, all of it at one moment, and no statement takes longer than is allowed."""
        with self._answering(None):
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.execute(f"SET LOCAL statement_timeout = {int(self._config.directory_timeout_seconds * 1000)}")

    def _check_time(self) -> None:
        if monotonic() > self._deadline:
            raise StorageUnavailable(_too_slow(self._config))

    @contextmanager
    def _answering(self, part: Part | None) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise _refusal(error, part, self._config) from error


@contextmanager
def directory_source(config: Configuration) -> Iterator[DirectorySource]:
    """The application's database, for the length of the block.

    Raises:
        Misconfigured: `DIRECTORY_URL` is missing or unusable, or the login is refused.
        StorageUnavailable: it doesn't answer.
    """
    given = connection_parameters(config.require_directory_url(), "DIRECTORY_URL")
    seconds = max(2, min(_CONNECT_SECONDS_MAX, int(config.directory_timeout_seconds)))
    parameters: dict[str, Any] = {"connect_timeout": seconds, "application_name": "tollbook directory", **given, "client_encoding": "UTF8"}
    try:
        connection = ImpatientConnection.connect(**parameters, prepare_threshold=None)  # the session may be a pooler's
    except psycopg.Error as error:
        raise _refusal(error, None, config) from error
    connection.answer_seconds = config.directory_timeout_seconds + _ANSWER_MARGIN_SECONDS
    try:
        source = DirectorySource(connection, config)
        source.begin()
        yield source
    finally:
        if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            connection.pgconn.finish()  # in the middle of an answer that nobody waits for any more
        connection.close()


def _refusal(error: psycopg.Error, part: Part | None, config: Configuration) -> TollbookError:
    state = error.sqlstate or ""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, psycopg.errors.QueryCanceled):
        return StorageUnavailable(_too_slow(config))
    if part is not None and state and not state.startswith(_UNAVAILABLE):
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        given = ", ".join(part.columns)
        return Misconfigured(f"{part.variable}: {error.diag.message_primary or lines[0]}{hint}; the SELECT must give the columns {given}")
    if isinstance(error, psycopg.ProgrammingError) or state.startswith(("28", "3D")) or "authentication failed" in str(error):
        return Misconfigured(f"DIRECTORY_URL can't be used: {lines[0]}")
    return StorageUnavailable(f"DIRECTORY_URL: the application's database can't answer: {lines[0]}")


def _too_slow(config: Configuration) -> str:
    return f"DIRECTORY_URL: the application's database gave no whole answer within {config.directory_timeout_seconds:g} s"
