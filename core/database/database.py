"""The way to PostgreSQL: one pool of connections per process, one transaction per piece of work."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, text

from core.config import Configuration, configuration
from core.database.answers import ImpatientConnection
from core.database.failures import translated
from core.database.sessions import Way, open_engine

_UNHURRIED = text("SET LOCAL statement_timeout = 0")
_PLANNED_EACH_TIME = text("SET LOCAL plan_cache_mode = force_custom_plan")
_ANSWER_MARGIN_SECONDS = 5.0  # beyond statement_timeout, when PostgreSQL itself would have answered
_NOW = text("SELECT now()")


class Database:
    """A pool of connections to one PostgreSQL database, with the session settings that the books rest on."""

    def __init__(self, url: str, config: Configuration) -> None:
        self._engine = open_engine(
            Way(url, "DATABASE_URL", _settings(config), pooled=config.database_pooler == "transaction"),
            answer_seconds=config.statement_timeout_seconds + _ANSWER_MARGIN_SECONDS,
            pool_size=config.database_pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=config.lock_timeout_seconds,
            isolation_level="READ COMMITTED",
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StorageUnavailable: it may or may not be committed; recording the same events again is safe. NotLetIn among it: a login
                that was let in before is refused now.
            BadData, Misconfigured: as `core.database.failures` and `core.database.sessions` tell; nothing was committed.
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


def _settings(config: Configuration) -> dict[str, str]:
    """PostgreSQL's settings in every transaction."""
    patience = f"{int(config.statement_timeout_seconds * 1000)}ms"
    return {
        "synchronous_commit": "on",  # an acknowledged message must be on disk, whatever the database's default is
        "timezone": "UTC",
        "search_path": "public",  # where the tables are, whatever the login's default is
        "statement_timeout": patience,
        "lock_timeout": f"{int(config.lock_timeout_seconds * 1000)}ms",
        "idle_in_transaction_session_timeout": patience,
    }


def allow_time(connection: Connection) -> None:
    """Until the transaction ends, statements may take as long as reading whole books takes."""
    connection.execute(_UNHURRIED)
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, ImpatientConnection)
    driver_connection.answer_seconds = None


def plan_each_time(connection: Connection) -> None:
    """Until the transaction ends, statements are planned each time: in tables that grow meanwhile, a plan that is kept may soon be a wrong one."""
    connection.execute(_PLANNED_EACH_TIME)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that is undone alone when the block raises; errors come out as errors of core."""
    with translated(), connection.begin_nested():
        yield


def transaction_time(connection: Connection) -> datetime:
    """When the transaction began, by the database's clock: `recorded_at` of everything that it writes."""
    time: datetime = connection.execute(_NOW).scalar_one()
    return time


def check_urls(config: Configuration) -> None:
    """Returns if each database URL that is set can be used; nothing is connected.

    Raises:
        Misconfigured: one can't; the message names its variable and the cure.
    """
    urls = {"DATABASE_URL": config.database_url, "DATABASE_OWNER_URL": config.database_owner_url, "DIRECTORY_URL": config.directory_url}
    for variable, url in urls.items():
        if url is not None and (value := url.get_secret_value()):
            Way(value, variable, _settings(config) if variable == "DATABASE_URL" else {})


@lru_cache(maxsize=1)
def database() -> Database:
    """The process's database under the worker's login, made at the first call; a forked child makes its own (worker/lifecycle.py).

    Raises:
        Misconfigured: `DATABASE_URL` is missing or unusable.
    """
    config = configuration()
    return Database(config.require_database_url(), config)
