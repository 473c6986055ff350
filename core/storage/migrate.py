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
from core.errors import Misconfigured, NeedsAdministrator, StorageUnavailable
from core.storage.database import driver_url
from core.storage.failures import translated
from core.storage.locks import Lock, hold
from core.storage.reading.zones import UnknownZone, find_unknown_zones
from core.storage.rights import some, strangers
from core.storage.role_setup import prepare, rename, repair, require_owned, troubles
from core.storage.roles import called, roles_of
from core.storage.schema import metadata

_CURE = "check what DATABASE_OWNER_URL's login may do: it must own the database and its tables, and have CREATEROLE"
_ZONES_SHOWN_MAX = 20
_ENCODING = text("SHOW server_encoding")
_IDENTITY = text("SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()) AS database FROM pg_control_system()")
_MAY_CHANGE = text("SELECT has_table_privilege('public.transactions', 'UPDATE, DELETE, TRUNCATE')")
_LOCK_TIMEOUT_SECONDS = 2  # a migration that can't get its lock gives up rather than make recorders queue behind it


def upgrade(owner_url: str, worker_url: str | None = None, *, roles_prefix: str = "", rename_roles: bool = False) -> tuple[str | None, str]:
    """Brings the database to the newest revision, its roles to their rights, and the worker's login into its role. Repeatable.

    Args:
        owner_url: the login that owns the tables.
        worker_url: the worker's login, made a member of the worker's role where it is another one.
        roles_prefix: what the names of new roles begin with; by default the database's name.
        rename_roles: give the database roles of that name, also where it has others.

    Returns:
        The revision before (none: an empty database) and after.

    Raises:
        StorageUnavailable: no connection, or a lock was not free within two seconds; try again.
        NeedsAdministrator: the login may not do all of it; what it may do is done, or nothing where nothing goes without.
        Misconfigured: the login may not do this, or the roles or tables are another's.
    """
    with _connected(owner_url) as connection:
        hold(connection, Lock.MIGRATION)
        require_owned(connection)
        before = _revision(connection)
        _require_known(before)
        roles = roles_of(connection, roles_prefix)
        prepare(connection, roles, new=before is None)
        with called(connection, roles):
            command.upgrade(_alembic(connection), "head")
        login, renamed = _worker_login(owner_url, worker_url), list[str]()
        if rename_roles:
            roles, renamed = rename(connection, roles, roles_prefix, login)
        left = repair(connection, roles, login) + renamed
    if left:
        raise NeedsAdministrator("the tables are up to date, but DATABASE_OWNER_URL's login may not do the rest", left)
    return before, head()


def check(owner_url: str, worker_url: str | None = None) -> list[str]:
    """What differs between the database and this program, one line each with its cure: nothing if all is well.

    Args:
        owner_url: the login that owns the tables.
        worker_url: the worker's login, with which is looked, too.

    Raises:
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with _connected(owner_url) as connection:
        found = [one.name for one in strangers(connection)]
        if found:
            return [f"DATABASE_OWNER_URL's login doesn't own {some(found)}: run `tollbook db upgrade`, which says whose login does"]
        revision = _revision(connection)
        if revision != head():
            return [_revision_trouble(revision)]
        context = MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_server_default": False})
        with warnings.catch_warnings():  # SQLAlchemy trips over checks that were added as NOT VALID, which are not compared
            warnings.filterwarnings("ignore", "Can't validate argument 'dialect_options'", SAWarning)
            lines = [f"tables differ from the models: {change}" for change in compare_metadata(context, metadata)]
        if lines:
            return lines
        encoding = connection.execute(_ENCODING).scalar_one()
        if encoding != "UTF8":
            lines.append(f"the database's encoding is {encoding}: make it anew with ENCODING 'UTF8', and restore a dump into it")
        login = _worker_login(owner_url, worker_url)
        lines += troubles(connection, roles_of(connection), login)
        lines += [_zone_trouble(zone) for zone in find_unknown_zones(connection, _ZONES_SHOWN_MAX).mandates]
        identity = connection.execute(_IDENTITY).one()
    if worker_url is not None and login is not None:
        lines += _troubles_of_worker(worker_url, identity)
    return lines


def _troubles_of_worker(worker_url: str, identity: Any) -> list[str]:
    """What the worker's login finds: the same database, the revision, and no right to change what is written."""
    try:
        with _connected(worker_url, "run `tollbook db upgrade`") as connection:
            if connection.execute(_IDENTITY).one() != identity:
                return ["DATABASE_URL and DATABASE_OWNER_URL name different databases: set both to one"]
            require_current(connection)
            if connection.execute(_MAY_CHANGE).scalar_one():
                return ["DATABASE_URL's login may update or delete transactions, as a superuser or a member of the owner: use one that is neither"]
    except (StorageUnavailable, Misconfigured) as error:
        return [f"with DATABASE_URL's login: {error}"]
    return []


def _worker_login(owner_url: str, worker_url: str | None) -> str | None:
    """The worker's login where it is another than the owner's."""
    worker = make_url(worker_url).username if worker_url else None
    return worker if worker != make_url(owner_url).username else None


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


@contextmanager
def _connected(url: str, cure: str = _CURE) -> Iterator[Connection]:
    engine = create_engine(
        driver_url(url), connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={_LOCK_TIMEOUT_SECONDS}s -c timezone=UTC"}
    )
    try:
        with translated(cure), engine.begin() as connection:
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
        Misconfigured: it is not; the message names what helps.
    """
    revision = _revision(connection)
    if revision != head():
        raise Misconfigured(_revision_trouble(revision))


def _revision_trouble(revision: str | None) -> str:
    if revision is not None and revision not in _known_revisions():
        return f"the database is at revision {revision}, which this program doesn't know: it was upgraded by a newer one, which must be used"
    return f"the database is at revision {revision or 'none'}, this program needs {head()}: run `tollbook db upgrade`"


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in _known_revisions():
        raise Misconfigured(_revision_trouble(revision))


def _known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory(_scripts()).walk_revisions()}
