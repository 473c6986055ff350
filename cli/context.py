"""Where the commands find the database and the broker: the environment, else the embedded servers that run."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cli.output.notes import warn
from core.config import Configuration, configuration, unread_variables
from core.database.database import Database, check_urls
from core.errors import Misconfigured, StorageUnavailable


def find_servers() -> Configuration:
    """The configuration, after the URLs of running embedded servers took the place of those that the environment lacks.

    They go into this process's environment, so that whatever reads it later finds the same servers. Call it before anything
    else asks for the configuration.

    Raises:
        Misconfigured: the environment contradicts itself, or a database's URL can't be used.
    """
    use_embedded()
    return _told()


def use_embedded() -> None:
    """The URLs of running embedded servers, where there are any, stand in the environment in place of those that it lacks."""
    try:
        from lab import services  # noqa: PLC0415 - an installation may lack the embedded servers
    except ModuleNotFoundError:
        return
    found = services.running(services.default_dir())
    if found is not None:
        for name, url in found.environment().items():
            if not os.environ.get(name):
                os.environ[name] = url


def _told() -> Configuration:
    config = configuration()
    check_urls(config)
    for line in unread_variables():
        warn(f"{line}")
    return config


def process_name(command: str) -> str:
    """What the rows that this process writes carry as their worker."""
    return f"tollbook {command}@{socket.gethostname()}:{os.getpid()}"


@contextmanager
def opened(url: str, config: Configuration) -> Iterator[Database]:
    """The database at this URL, closed when the block ends."""
    database = Database(url, config)
    try:
        yield database
    finally:
        database.dispose()


@contextmanager
def open_database() -> Iterator[Database]:
    """The database under the worker's login, closed when the block ends.

    Raises:
        Misconfigured: no URL is set and no embedded server runs; or the block failed because the tables aren't what this
            program needs, and the message says which command helps.
    """
    config = find_servers()
    with opened(config.require_database_url(), config) as database:
        try:
            yield database
        except Misconfigured:
            _require_tables(database)
            raise


def _require_tables(database: Database) -> None:
    from core.schema.revision import require_current  # noqa: PLC0415 - only a failure needs it

    with suppress(StorageUnavailable), database.transaction() as connection:
        require_current(connection)
