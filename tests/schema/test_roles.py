"""Roles: each database's own, with exactly the rights that are declared, mended where they are not, told by `db check`."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from core.database.sessions import Way, open_engine
from core.errors import Misconfigured, NeedsAdministrator
from core.schema import migrate, revision
from lab.postgres import SUPERUSER, PostgresServer
from tests.conftest import DatabaseUrls, Rows
from tests.schema.logins import execute, records

_numbers = itertools.count(1)
Execute = Callable[..., list[tuple[Any, ...]]]


def _name(urls: DatabaseUrls) -> str:
    return make_url(urls.owner).database or ""


@pytest.fixture
def administrate(postgres: PostgresServer) -> Execute:
    """Runs SQL as the superuser; `database` is where."""

    def run(*statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        return execute(postgres.url(SUPERUSER, database), *statements)

    return run


@dataclass(frozen=True)
class Installation(DatabaseUrls):
    """A database with an owner and a worker's login of its own, and its name."""

    name: str


@contextmanager
def _installation(server: PostgresServer, rights: str = "CREATEROLE") -> Iterator[Installation]:
    name, address = f"books_{next(_numbers)}", server.url(SUPERUSER, "").partition("@")[2]
    superuser = server.url(SUPERUSER, "postgres")
    execute(superuser, f"CREATE ROLE {name}_owner LOGIN {rights} PASSWORD 'own'", f"CREATE ROLE {name}_app LOGIN PASSWORD 'app'")
    execute(superuser, f"CREATE DATABASE {name} OWNER {name}_owner")
    try:
        yield Installation(f"postgresql://{name}_owner:own@{address}{name}", f"postgresql://{name}_app:app@{address}{name}", name)
    finally:
        execute(superuser, f"DROP DATABASE {name} WITH (FORCE)")
        for (role,) in execute(superuser, f"SELECT rolname FROM pg_roles WHERE rolname ~ '^{name}_' ORDER BY rolname = '{name}_owner'"):
            execute(superuser, f"DROP ROLE {role}")


@pytest.fixture
def first(postgres: PostgresServer) -> Iterator[Installation]:
    """One of two installations in the cluster, without tables yet."""
    with _installation(postgres) as made:
        yield made


@pytest.fixture
def second(postgres: PostgresServer) -> Iterator[Installation]:
    """The other one."""
    with _installation(postgres) as made:
        yield made


def test_two_installations_in_a_cluster_have_nothing_in_common(first: Installation, second: Installation) -> None:
    """Both are upgraded by their owners alone, and the worker of one can't even connect to the other's books."""
    for one in (first, second):
        migrate.upgrade(one.owner, one.worker)
        assert migrate.check(one.owner, one.worker) == []
        assert records(one.worker)
    for one, other in ((first, second), (second, first)):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            execute(str(make_url(one.worker).set(database=other.name).render_as_string(hide_password=False)), "SELECT 1")


def test_roles_of_another_database_are_not_taken(first: Installation, second: Installation) -> None:
    """A beginning of names that is in use is refused by name, and nothing is made; another one will do."""
    migrate.upgrade(first.owner, first.worker, roles_prefix="books_shared")
    with pytest.raises(Misconfigured, match=f"have rights in database {first.name}: set TOLLBOOK_DATABASE_ROLES"):
        migrate.upgrade(second.owner, second.worker, roles_prefix="books_shared")
    assert execute(second.owner, "SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
    migrate.upgrade(second.owner, second.worker, roles_prefix=f"{second.name}_its")
    assert execute(second.owner, "SELECT worker_role, reader_role FROM installation") == [(f"{second.name}_its_worker", f"{second.name}_its_reader")]
    execute(
        first.owner, *[f"REVOKE ALL ON ALL {kind} IN SCHEMA public FROM books_shared_worker, books_shared_reader" for kind in ("TABLES", "SEQUENCES")]
    )


def test_a_name_that_postgresql_would_cut_is_refused(first: Installation) -> None:
    """Two long names would become one role."""
    with pytest.raises(Misconfigured, match="too long for the name of a role: set TOLLBOOK_DATABASE_ROLES"):
        migrate.upgrade(first.owner, first.worker, roles_prefix="b" * 60)


def _share(administrate: Execute, first: Installation, second: Installation) -> None:
    """Two installations as they were before each had its own roles."""
    for one in (first, second):
        migrate.upgrade(one.owner, one.worker)
    old, new = second.name, first.name
    for kind in ("worker", "reader"):
        administrate(f"UPDATE installation SET {kind}_role = '{new}_{kind}'", database=second.name)
        administrate(f"DROP OWNED BY {old}_{kind}", database=second.name)
        administrate(f"DROP ROLE {old}_{kind}", f"GRANT {new}_{kind} TO {second.name}_owner WITH ADMIN OPTION")
    administrate(f"GRANT {new}_worker TO {second.name}_app")
    migrate.upgrade(second.owner, second.worker)


def test_shared_roles_are_told_and_parted(first: Installation, second: Installation, administrate: Execute) -> None:
    """`db check` names who else is let in; after `--rename-roles` each database has its own, and the SQL that is left shuts the door."""
    _share(administrate, first, second)
    for one in (first, second):
        assert any("--rename-roles" in line for line in migrate.check(one.owner, one.worker))
    with pytest.raises(NeedsAdministrator) as needed:
        migrate.upgrade(second.owner, second.worker, rename_roles=True)
    (statement,) = needed.value.statements
    assert statement == f"REVOKE {first.name}_worker FROM {second.name}_app  -- unless it works in {first.name}, too"
    administrate(statement)
    for one in (first, second):
        assert migrate.check(one.owner, one.worker) == []
        assert records(one.worker)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        execute(str(make_url(second.worker).set(database=first.name).render_as_string(hide_password=False)), "SELECT 1")


def test_a_login_is_not_let_into_roles_that_another_database_uses(first: Installation, second: Installation, administrate: Execute) -> None:
    """It could write there: the upgrade says what to do instead, and doing it helps."""
    _share(administrate, first, second)
    administrate(f"REVOKE {first.name}_worker FROM {second.name}_app")
    with pytest.raises(Misconfigured, match="--rename-roles"):
        migrate.upgrade(second.owner, second.worker)
    assert migrate.upgrade(second.owner, second.worker, rename_roles=True)
    assert migrate.check(second.owner, second.worker) == []


def test_roles_of_one_database_are_renamed_with_all_who_are_in_them(first: Installation, administrate: Execute) -> None:
    """Nobody is shut out: a report's login stays in the reader's role."""
    migrate.upgrade(first.owner, first.worker, roles_prefix=f"{first.name}_old")
    administrate(f"CREATE ROLE {first.name}_report LOGIN PASSWORD 'rep'", f"GRANT {first.name}_old_reader TO {first.name}_report")
    migrate.upgrade(first.owner, first.worker, rename_roles=True)
    assert migrate.check(first.owner, first.worker) == []
    report = make_url(first.worker).set(username=f"{first.name}_report", password="rep")
    assert execute(report.render_as_string(hide_password=False), "SELECT count(*) FROM transactions") == [(0,)]
    assert execute(first.owner, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%_old_%'") == []


WRONG = [
    "REVOKE INSERT ON transactions FROM tollbook_worker",
    "REVOKE SELECT ON alembic_version FROM tollbook_worker",
    "REVOKE UPDATE (balance) ON accounts FROM tollbook_worker",
    "REVOKE USAGE ON SEQUENCE transactions_id_seq FROM tollbook_worker",
    "REVOKE EXECUTE ON FUNCTION ensure_partitions(int) FROM tollbook_worker",
    "REVOKE SELECT ON batches FROM tollbook_reader",
    "GRANT UPDATE ON transactions TO tollbook_worker",
    "GRANT DELETE ON transactions_default TO tollbook_worker",
    "GRANT UPDATE ON accounts TO tollbook_worker",
    "GRANT INSERT ON accounts TO tollbook_reader",
    "GRANT SELECT ON transactions TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION move_default_month() TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION count_alert() TO tollbook_worker",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_right_too_few_or_too_many_is_told_and_mended(wrong: str, database_urls: DatabaseUrls, rows: Rows) -> None:
    """`db check` says it in one line that names role and object, `db upgrade` makes it right, and says so the second time too."""
    rows(wrong)
    (line,) = migrate.check(database_urls.owner, database_urls.worker)[:1]
    assert line.endswith(": run `tollbook db upgrade`")
    assert ("everybody" if "PUBLIC" in wrong else "role tollbook_") in line
    migrate.upgrade(database_urls.owner, database_urls.worker)
    assert migrate.check(database_urls.owner, database_urls.worker) == []


def test_everybody_is_shut_out_of_the_database(first: Installation, administrate: Execute) -> None:
    """A login that is in neither role can't connect, and one that may read can't make temporary tables."""
    migrate.upgrade(first.owner, first.worker)
    administrate(f"CREATE ROLE {first.name}_stranger LOGIN PASSWORD 'x'", f"CREATE ROLE {first.name}_report LOGIN PASSWORD 'x'")
    administrate(f"GRANT {first.name}_reader TO {first.name}_report")
    stranger, report = (
        make_url(first.worker).set(username=f"{first.name}_{who}", password="x").render_as_string(hide_password=False)
        for who in ("stranger", "report")
    )
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        execute(stranger, "SELECT 1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(report, "CREATE TEMPORARY TABLE t (a int)")


def test_an_owner_without_the_right_to_make_roles_gets_the_sql(postgres: PostgresServer, administrate: Execute) -> None:
    """Nothing is changed; an administrator runs what is printed, and the upgrade passes then, but for the login, whose SQL it prints."""
    with _installation(postgres, "NOCREATEROLE") as one:
        for _ in range(2):
            with pytest.raises(NeedsAdministrator) as needed:
                migrate.upgrade(one.owner, one.worker)
            administrate(*needed.value.statements, database=one.name)
        assert migrate.upgrade(one.owner, one.worker) == (revision.head(), revision.head())
        assert migrate.check(one.owner, one.worker) == []
        assert records(one.worker)


def test_tables_of_another_login_are_told_with_the_sql(first: Installation, administrate: Execute) -> None:
    """As after a restore by a superuser without owners: `db check` says so, and the SQL makes the owner's login the owner."""
    migrate.upgrade(first.owner, first.worker)
    administrate(f"REASSIGN OWNED BY {first.name}_owner TO {SUPERUSER}", database=first.name)
    administrate(f"ALTER DATABASE {first.name} OWNER TO {first.name}_owner")
    assert any("doesn't own" in line for line in migrate.check(first.owner, first.worker))
    with pytest.raises(NeedsAdministrator) as needed:
        migrate.upgrade(first.owner, first.worker)
    administrate(*needed.value.statements, database=first.name)
    assert migrate.upgrade(first.owner, first.worker)
    assert migrate.check(first.owner, first.worker) == []


def test_the_check_looks_with_the_workers_login(first: Installation, second: Installation, administrate: Execute) -> None:
    """Another database, a login that is refused, one that may change what is written: one line each."""
    for one in (first, second):
        migrate.upgrade(one.owner, one.worker)
    (line,) = (line for line in migrate.check(first.owner, second.worker) if "different databases" in line)
    wrong = make_url(first.worker).set(password="wrong")
    (line,) = migrate.check(first.owner, wrong.render_as_string(hide_password=False))
    assert "refuses the login" in line
    administrate(f"GRANT {first.name}_owner TO {first.name}_app")
    (line,) = migrate.check(first.owner, first.worker)
    assert "may update or delete transactions" in line


def test_a_database_of_a_newer_program_is_told(database_urls: DatabaseUrls, rows: Rows) -> None:
    """Neither check nor upgrade advises an upgrade, which couldn't help."""
    rows("UPDATE alembic_version SET version_num = '9999_future'")
    (line,) = migrate.check(database_urls.owner)
    with pytest.raises(Misconfigured) as refused:
        migrate.upgrade(database_urls.owner, database_urls.worker)
    assert str(refused.value) == line
    assert "newer" in line
    assert "tollbook db upgrade" not in line


def test_an_upgrade_that_may_not_never_advises_itself(empty_database_urls: DatabaseUrls, administrate: Execute) -> None:
    """An owner's login that may not create tables is told what it needs, not to run the command that it runs."""
    urls = empty_database_urls
    administrate("REVOKE ALL ON SCHEMA public FROM pg_database_owner", database=_name(urls))
    with pytest.raises(Misconfigured) as refused:
        migrate.upgrade(urls.owner, urls.worker)
    assert "tollbook db upgrade" not in str(refused.value)
    assert "42501" in str(refused.value)


def test_books_of_before_keep_their_roles(empty_database_urls: DatabaseUrls) -> None:
    """An upgrade renames nothing by itself, although the database is called otherwise."""
    urls = empty_database_urls
    engine = open_engine(Way(urls.owner, "DATABASE_OWNER_URL", {}))
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(files("core.schema") / "migrations"))
        command.upgrade(config, "0013_reconcile")
    engine.dispose()
    assert migrate.upgrade(urls.owner, urls.worker) == ("0013_reconcile", revision.head())
    assert execute(urls.owner, "SELECT worker_role, reader_role FROM installation") == [("tollbook_worker", "tollbook_reader")]
    assert migrate.check(urls.owner, urls.worker) == []
    assert records(urls.worker)
