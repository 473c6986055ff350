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
from sqlalchemy import Connection, text
from sqlalchemy.exc import SAWarning

from core.database.failures import translated
from core.database.locks import Lock, hold
from core.database.sessions import Way, open_engine
from core.database.urls import connection_parameters
from core.directory.sql.unknown_zones import UnknownZone, find_unknown_zones
from core.errors import Misconfigured, NeedsAdministrator, StorageUnavailable
from core.printable import shown
from core.schema import metadata
from core.schema.concurrent_indexes import Tell, build_indexes
from core.schema.revision import head, later_than, require_current, require_known, revision_of, trouble_with
from core.schema.rights import some, strangers
from core.schema.role_setup import prepare, rename, repair, require_owned, troubles
from core.schema.roles import called, roles_of
from core.schema.standing import may_change_entries

_CURE = "check what DATABASE_OWNER_URL's login may do: it must own the database and its tables, and have CREATEROLE"
_ZONES_SHOWN_MAX = 20
OWNER_VARIABLE = "DATABASE_OWNER_URL"
_LOGIN = text("SELECT session_user")
_ROLE = text("SELECT rolname FROM pg_roles WHERE rolname = :name")
_IDENTITY = text("SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()) AS database FROM pg_control_system()")
# A migration that can't get its lock gives up rather than make recorders queue behind it.
# The transaction that holds the lock of upgrades is idle while indexes are built.
_SETTINGS = {"timezone": "UTC", "search_path": "public", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "0"}
_UNHURRIED = {"lock_timeout": "0", "statement_timeout": "0"}


def upgrade(
    owner_url: str,
    worker_url: str | None = None,
    *,
    roles_prefix: str = "",
    rename_roles: bool = False,
    variable: str = OWNER_VARIABLE,
    tell: Tell = lambda _: None,
) -> tuple[str | None, str]:
    """Brings the database to the newest revision, its roles to their rights, and the worker's login into its role. Repeatable.

    Args:
        owner_url: the login that owns the tables.
        worker_url: the worker's login, made a member of the worker's role where it is another one.
        roles_prefix: what the names of new roles begin with; by default the database's name.
        rename_roles: give the database roles of that name, also where it has others.
        variable: which variable has `owner_url`, for messages.
        tell: what takes long, in words, before it begins.

    Returns:
        The revision before (none: an empty database) and after.

    Raises:
        StorageUnavailable: no connection, or a lock was not free within two seconds; try again.
        NeedsAdministrator: the login may not do all of it; what it may do is done, or nothing where nothing goes without.
        Misconfigured: the login may not do this, or the roles or tables are another's.
    """
    with _connected(owner_url, variable) as connection:
        hold(connection, Lock.MIGRATION)
        require_owned(connection)
        before = revision_of(connection)
        require_known(before)
        if before is not None:
            build_indexes(Way(owner_url, variable, _UNHURRIED), later_than(before), tell)
        roles = roles_of(connection, roles_prefix)
        prepare(connection, roles, new=before is None)
        with called(connection, roles):
            command.upgrade(_alembic(connection), "head")
        login, renamed = _worker_login(connection, worker_url), list[str]()
        if rename_roles:
            roles, renamed = rename(connection, roles, roles_prefix, login)
        left = repair(connection, roles, login) + renamed
    if left:
        raise NeedsAdministrator("the tables are up to date, but DATABASE_OWNER_URL's login may not do the rest", left)
    return before, head()


def check(owner_url: str, worker_url: str | None = None, *, variable: str = OWNER_VARIABLE) -> list[str]:
    """What differs between the database and this program, one line each with its cure: nothing if all is well.

    Args:
        owner_url: the login that owns the tables.
        worker_url: the worker's login, with which is looked, too.
        variable: which variable has `owner_url`, for messages.
    """
    with _connected(owner_url, variable) as connection:
        found = [one.name for one in strangers(connection)]
        if found:
            return [f"DATABASE_OWNER_URL's login doesn't own {some(found)}: run `tollbook db upgrade`, which says whose login does"]
        revision = revision_of(connection)
        if revision != head():
            return [trouble_with(revision)]
        context = MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_server_default": False})
        with warnings.catch_warnings():  # SQLAlchemy trips over checks that were added as NOT VALID, which are not compared
            warnings.filterwarnings("ignore", "Can't validate argument 'dialect_options'", SAWarning)
            lines = [f"tables differ from the models: {change}" for change in compare_metadata(context, metadata)]
        if lines:
            return lines
        login = _worker_login(connection, worker_url)
        lines += troubles(connection, roles_of(connection), login)
        lines += [_zone_trouble(zone) for zone in find_unknown_zones(connection, _ZONES_SHOWN_MAX).mandates]
        identity = connection.execute(_IDENTITY).one()
    if worker_url is not None and login is not None:
        lines += _troubles_of_worker(worker_url, identity)
    return lines


def _troubles_of_worker(worker_url: str, identity: Any) -> list[str]:
    """What the worker's login finds: the same database, the revision, and no right to change what is written."""
    try:
        with _connected(worker_url, "DATABASE_URL", "run `tollbook db upgrade`") as connection:
            if connection.execute(_IDENTITY).one() != identity:
                return ["DATABASE_URL and DATABASE_OWNER_URL name different databases: set both to one"]
            require_current(connection)
            if may_change_entries(connection):
                return ["DATABASE_URL's login may update or delete transactions, as a superuser or a member of the owner: use one that is neither"]
    except (StorageUnavailable, Misconfigured) as error:
        return [f"with DATABASE_URL's login: {error}"]
    return []


def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:
    """Leaves the monthly partitions of `transactions` and what hangs on them out of comparisons."""
    table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", None)
    return not (reflected and table is not None and table.startswith("transactions_"))


def _zone_trouble(found: UnknownZone) -> str:
    then = f"; its settings have {found.taken}" if found.taken else ""
    return f"mandate {shown(found.mandate_id)}: time zone {shown(found.time_zone)} is or was not known{then}: see `tollbook zones check`"


def _worker_login(connection: Connection, url: str | None) -> str | None:
    """The role that the worker's login has, where it is another than the owner's.

    The user name in its URL may be a pooler's, such as `role.project`, or be left to the system.
    """
    if url is None:
        return None
    role = connection_parameters(url, "DATABASE_URL").get("user")
    if not role or connection.execute(_ROLE, {"name": role}).first() is None:
        with _connected(url, "DATABASE_URL") as own:
            role = own.execute(_LOGIN).scalar_one()
    return None if role == connection.execute(_LOGIN).scalar_one() else role


@contextmanager
def _connected(url: str, variable: str, cure: str = _CURE) -> Iterator[Connection]:
    engine = open_engine(Way(url, variable, _SETTINGS))
    try:
        with translated(cure), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _scripts() -> str:
    return str(files("core.schema") / "migrations")


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", _scripts().replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
