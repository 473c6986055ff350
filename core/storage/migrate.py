"""Migrations: brings a database's tables to what this program expects, and tells whether they are."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import SAWarning

from core.domain.rejection import shown
from core.errors import Misconfigured
from core.storage.database import driver_url
from core.storage.failures import translated
from core.storage.locks import Lock, hold
from core.storage.reading.zones import UnknownZone, find_unknown_zones
from core.storage.schema import metadata

WORKER_ROLE = "tollbook_worker"
_ZONES_SHOWN_MAX = 20
_LOCK_TIMEOUT_SECONDS = 2  # a migration that can't get its lock gives up rather than make recorders queue behind it


def upgrade(owner_url: str, worker_url: str | None = None) -> tuple[str | None, str]:
    """Brings the database to the newest revision and lets the worker's login do its work. Repeatable.

    Args:
        owner_url: the login that owns the tables.
        worker_url: the worker's login, made a member of the role `tollbook_worker` where it is another one.

    Returns:
        The revision before (none: an empty database) and after.

    Raises:
        StorageUnavailable: no connection, or a lock was not free within two seconds; try again.
        Misconfigured: the login may not do this.
    """
    with _connected(owner_url) as connection:
        hold(connection, Lock.MIGRATION)
        before = _revision(connection)
        command.upgrade(_alembic(connection), "head")
        owner, worker = make_url(owner_url).username, make_url(worker_url).username if worker_url else None
        if worker and worker != owner:
            _let_in(connection, worker)
        return before, head()


def check(owner_url: str) -> list[str]:
    """What differs between the database and this program, and time zones that one of them doesn't know: nothing if all is well.

    Raises:
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with _connected(owner_url) as connection:
        revision = _revision(connection)
        if revision != head():
            return [f"the database is at revision {revision or 'none'}, this program needs {head()}: run `tollbook db upgrade`"]
        context = MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_server_default": False})
        with warnings.catch_warnings():  # SQLAlchemy trips over checks that were added as NOT VALID, which are not compared
            warnings.filterwarnings("ignore", "Can't validate argument 'dialect_options'", SAWarning)
            differences = [f"tables differ from the models: {change}" for change in compare_metadata(context, metadata)]
        return differences or [_zone_trouble(zone) for zone in find_unknown_zones(connection, _ZONES_SHOWN_MAX).mandates]


def head() -> str:
    """The newest revision that this program has."""
    revision = ScriptDirectory(_scripts()).get_current_head()
    assert revision is not None
    return revision


def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:
    """Leaves the monthly partitions of `transactions` and what hangs on them out of comparisons."""
    table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", None)
    return not (reflected and table is not None and table.startswith("transactions_"))


def _zone_trouble(found: UnknownZone) -> str:
    then = f"; its settings have {found.taken}" if found.taken else ""
    return f"mandate {shown(found.mandate_id)}: time zone {shown(found.time_zone)} is or was not known{then}: see `tollbook zones check`"


def _let_in(connection: Connection, worker: str) -> None:
    login = connection.dialect.identifier_preparer.quote(worker)
    member = connection.execute(text("SELECT pg_has_role(:login, :role, 'MEMBER')"), {"login": worker, "role": WORKER_ROLE}).scalar_one()
    if not member:
        connection.execute(text(f"GRANT {WORKER_ROLE} TO {login}"))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(
        driver_url(url), connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={_LOCK_TIMEOUT_SECONDS}s -c timezone=UTC"}
    )
    try:
        with translated(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> str:
    return str(files("core.storage") / "migrations")


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", _scripts().replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def require_current(connection: Connection) -> None:
    """Returns if the database is at this program's revision.

    Raises:
        Misconfigured: it is not; the message names the command that helps.
    """
    revision = _revision(connection)
    if revision != head():
        raise Misconfigured(f"the database is at revision {revision or 'none'}, this program needs {head()}: run `tollbook db upgrade`")
