"""The way to PostgreSQL: one pool of connections per process, one transaction per piece of work."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError

from core.config import Configuration, configuration
from core.errors import Misconfigured
from core.storage.answers import ImpatientConnection
from core.storage.failures import translated

_UNHURRIED = text("SET LOCAL statement_timeout = 0")
_READ_ONLY = "25006"  # read_only_sql_transaction
_ANSWER_MARGIN_SECONDS = 5.0  # beyond statement_timeout, when PostgreSQL itself would have answered
_NOW = text("SELECT now()")


class Database:
    """A pool of connections to one PostgreSQL database, with the session settings that the books rest on."""

    def __init__(self, url: str, config: Configuration) -> None:
        self._engine = create_engine(
            driver_url(url),
            pool_size=config.database_pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=config.lock_timeout_seconds,
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": 10,
                "application_name": "tollbook",
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,  # milliseconds: a vanished host is noticed while its claims are still ours
                # synchronous_commit: an acknowledged message must be on disk, whatever the database's default is
                "options": f"-c synchronous_commit=on -c timezone=UTC"
                f" -c statement_timeout={int(config.statement_timeout_seconds * 1000)}"
                f" -c lock_timeout={int(config.lock_timeout_seconds * 1000)}"
                f" -c idle_in_transaction_session_timeout={int(config.statement_timeout_seconds * 1000)}",
            },
        )

        self._answer_seconds = config.statement_timeout_seconds + _ANSWER_MARGIN_SECONDS
        event.listen(self._engine, "do_connect", self._open)
        event.listen(self._engine, "checkin", self._bound)
        event.listen(self._engine, "handle_error", _drop_read_only_session)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StorageUnavailable: it may or may not be committed; recording the same events again is safe.
            BadData, Misconfigured: as `core.storage.failures` tells; nothing was committed.
        """
        with translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One read-only REPEATABLE READ transaction: every read in the block sees the same moment."""
        with translated(), self._engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def dispose(self) -> None:
        """Closes every connection that is not in use."""
        self._engine.dispose()

    def _open(self, _dialect: object, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]) -> ImpatientConnection:
        connection = ImpatientConnection.connect(*arguments, **options)
        connection.answer_seconds = self._answer_seconds
        return connection

    def _bound(self, connection: ImpatientConnection | None, _record: object) -> None:
        if connection is not None:  # it is still there
            connection.answer_seconds = self._answer_seconds


def _drop_read_only_session(context: ExceptionContext) -> None:
    """After a failover an old session may be read-only for ever, while a new one finds the primary: it must not go back to the pool."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def allow_time(connection: Connection) -> None:
    """Until the transaction ends, statements may take as long as reading whole books takes."""
    connection.execute(_UNHURRIED)
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, ImpatientConnection)
    driver_connection.answer_seconds = None


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that is undone alone when the block raises; errors come out as errors of core."""
    with translated(), connection.begin_nested():
        yield


def transaction_time(connection: Connection) -> datetime:
    """When the transaction began, by the database's clock: `recorded_at` of everything that it writes."""
    time: datetime = connection.execute(_NOW).scalar_one()
    return time


@lru_cache(maxsize=1)
def database() -> Database:
    """The process's database under the worker's login, made at the first call; a forked child makes its own (worker/lifecycle.py).

    Raises:
        Misconfigured: `DATABASE_URL` is missing or unusable.
    """
    config = configuration()
    return Database(config.require_database_url(), config)


def driver_url(url: str) -> URL:
    """`url` as SQLAlchemy takes it, for psycopg.

    Raises:
        Misconfigured: it is no URL of a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Misconfigured("DATABASE_URL is not a database URL such as postgresql://user:password@host:5432/tollbook") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise Misconfigured(f"DATABASE_URL names {parsed.get_backend_name()}, but the books live in PostgreSQL only")
    return parsed.set(drivername="postgresql+psycopg")
